//! Zig-zag variable-length integers, as records carry them (`org.apache.kafka.common.utils.ByteUtils`).
//!
//! A number that goes on after its last possible byte, or whose last byte carries bits that do not fit, is refused.

/// Takes a varint (32 bits, at most 5 bytes) off the front; `None` if it is cut off or too long.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let value = u32::try_from(take_unsigned(bytes, 5)?).ok()?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Takes a varlong (64 bits, at most 10 bytes) off the front; `None` if it is cut off or too long.
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let value = take_unsigned(bytes, 10)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Most numbers in records are lengths and deltas of one byte.
#[inline]
fn take_unsigned(bytes: &mut &[u8], most_bytes: u32) -> Option<u64> {
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *bytes = rest;
            Some(u64::from(byte))
        }
        _ => take_longer(bytes, most_bytes),
    }
}

fn take_longer(bytes: &mut &[u8], most_bytes: u32) -> Option<u64> {
    let mut value = 0u64;
    for position in 0..most_bytes {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let seven_bits = u64::from(byte & 0x7f);
        let shifted = seven_bits << (7 * position);
        if shifted >> (7 * position) != seven_bits {
            return None;
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Appends a varlong.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// How many bytes [`put_varlong`] writes.
pub(super) fn varlong_size(value: i64) -> usize {
    let bits = 64 - ((value << 1 ^ value >> 63).cast_unsigned() | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_the_size_that_was_announced() {
        for value in [
            0,
            1,
            -1,
            63,
            64,
            -64,
            -65,
            8191,
            8192,
            i64::from(i32::MAX),
            i64::MAX,
            i64::MIN,
        ] {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(bytes.len(), varlong_size(value), "{value}");
            assert_eq!(take_varlong(&mut bytes.as_slice()), Some(value));
            let mut short = bytes.as_slice();
            assert_eq!(take_varint(&mut short), i32::try_from(value).ok(), "{value}");
        }
    }

    #[test]
    fn cut_and_endless_numbers_are_refused() {
        assert_eq!(take_varint(&mut [0x80, 0x80].as_slice()), None);
        assert_eq!(take_varint(&mut [0xff; 6].as_slice()), None);
        assert_eq!(take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()), None);
        assert_eq!(take_varlong(&mut [0xff; 11].as_slice()), None);
        assert_eq!(take_varint(&mut [].as_slice()), None);
    }
}
