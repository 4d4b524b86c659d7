//! Reads the fields of an answer where it lies, without a copy, and never past its end.
//!
//! The codec crate is not used for answers: it makes objects of every field and trusts lengths, and a generator should
//! cost little beside the broker and survive any bytes.

use super::error::Malformed;

/// What of an answer was not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// All of an answer, from its correlation id on.
    pub fn of(answer: &'a [u8]) -> Self {
        Self(answer)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// INT16.
    pub fn int16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// INT32.
    pub fn int32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// INT64.
    pub fn int64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// UNSIGNED_VARINT.
    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Malformed::Varint);
            }
        }
        Err(Malformed::Varint)
    }

    /// The count of a compact array, or the length of compact bytes; none if it is null.
    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        let length = self.varint()?.checked_sub(1);
        Ok(length.and_then(|length| usize::try_from(length).ok()))
    }

    /// The count of a compact array; null has none. Nothing is allocated for it: a count that lies ends where the
    /// bytes do.
    pub fn compact_array(&mut self) -> Result<usize, Malformed> {
        Ok(self.compact_length()?.unwrap_or(0))
    }

    /// A compact string or compact bytes; null is empty.
    pub fn compact_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        match self.compact_length()? {
            Some(length) => self.take(length),
            None => Ok(&[]),
        }
    }

    /// Passes over the tagged fields (KIP-482).
    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(usize::try_from(length).map_err(|_| Malformed::Truncated)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_the_end_is_an_error() {
        let mut fields = Fields::of(&[0, 1, 0, 0, 0, 2, 3, b'a', b'b', 0, 1, 7, 2, 9, 9]);
        assert_eq!(fields.int16(), Ok(1));
        assert_eq!(fields.int32(), Ok(2));
        assert_eq!(fields.compact_bytes(), Ok(&b"ab"[..]));
        assert_eq!(fields.compact_array(), Ok(0));
        assert_eq!(fields.skip_tags(), Ok(()));
        assert_eq!(fields.int16(), Err(Malformed::Truncated));
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1];
        assert_eq!(Fields::of(&huge).compact_bytes(), Err(Malformed::Truncated));
        assert_eq!(Fields::of(&huge).skip_tags(), Err(Malformed::Truncated));
        assert_eq!(Fields::of(&[0xFF; 9]).varint(), Err(Malformed::Varint));
        assert_eq!(
            Fields::of(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).varint(),
            Err(Malformed::Varint)
        );
        assert_eq!(Fields::of(&[]).int64(), Err(Malformed::Truncated));
    }
}
