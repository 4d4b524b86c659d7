//! How one value stands on the wire: integers, text, byte strings, arrays and structs in both forms of the protocol.
//!
//! The form is plain (16- and 32-bit lengths) or flexible (KIP-482: variable-length lengths, one more than the length,
//! zero for null). Nothing here trusts a length: no value takes memory that its bytes do not back. Which fields a
//! message has at which version is said by [`declare`](super::declare).

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::ByteBuf;
use uuid::Uuid;

use super::base_records::Records;
use super::output::Output;
use crate::error::{DecodeError, EncodeError};
use crate::guard::shape::{Kind, Wire};
use crate::types::{BrokerId, LeaderEpoch, ProducerId, TopicId};

/// A count alone reserves this many elements, and as many more as take this much memory for each byte that is left: the
/// smallest element of a request takes less. The guard has refused what is too much before, so that what is reserved is
/// what is needed, and no vector is held twice while it grows.
const RESERVED_ELEMENTS: usize = 1024;
const RESERVED_BYTES_PER_BYTE: usize = 128;

/// The version of the enclosing message and the form of its lengths.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The message's version.
    pub version: i16,
    /// Whether lengths are compact and structs end in tagged fields.
    pub flexible: bool,
}

/// A value that knows its own bytes.
pub trait Field: Wire + Sized {
    /// Appends the value.
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError>;

    /// Takes the value from the front of `input`.
    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError>;

    /// The bytes that [`write`](Field::write) appends.
    fn size(&self, form: Form) -> usize;

    /// Whether the value is written as null.
    fn is_null(&self) -> bool {
        false
    }
}

fn require<B: ByteBuf>(input: &B, needed: usize) -> Result<(), DecodeError> {
    let left = input.remaining();
    if left < needed {
        return Err(DecodeError::Truncated { needed, left });
    }
    Ok(())
}

/// Reads an unsigned variable-length integer of at most five bytes and 32 bits.
pub fn read_varint<B: ByteBuf>(input: &mut B) -> Result<u32, DecodeError> {
    let mut value: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        require(input, 1)?;
        let byte = input.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).map_err(|_| DecodeError::InvalidVarint);
        }
    }
    Err(DecodeError::InvalidVarint)
}

/// Appends an unsigned variable-length integer.
pub fn write_varint<O: Output>(out: &mut O, mut value: u32) {
    while value >= 0x80 {
        out.put_slice(&[(value & 0x7f) as u8 | 0x80]);
        value >>= 7;
    }
    out.put_slice(&[value as u8]);
}

/// The bytes that [`write_varint`] appends.
pub const fn varint_size(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}

/// Takes `length` bytes; without a copy where the input is `Bytes`.
pub fn take<B: ByteBuf>(input: &mut B, length: usize) -> Result<Bytes, DecodeError> {
    require(input, length)?;
    Ok(input.get_bytes(length))
}

/// How wide the length before a value is in the plain form.
#[derive(Clone, Copy)]
enum PlainLength {
    Int16,
    Int32,
}

fn read_length<B: ByteBuf>(
    input: &mut B,
    form: Form,
    plain: PlainLength,
) -> Result<Option<usize>, DecodeError> {
    let length = match (form.flexible, plain) {
        (true, _) => i64::from(read_varint(input)?) - 1,
        (false, PlainLength::Int16) => i64::from(i16::read(input, form)?),
        (false, PlainLength::Int32) => i64::from(i32::read(input, form)?),
    };
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeError::InvalidLength(length)),
    }
}

fn write_length<O: Output>(
    out: &mut O,
    form: Form,
    plain: PlainLength,
    length: Option<usize>,
) -> Result<(), EncodeError> {
    let too_long = || EncodeError::TooLong(length.unwrap_or_default());
    if form.flexible {
        let stored = length.map_or(Ok(0), |length| {
            i32::try_from(length).map(|l| l.unsigned_abs() + 1)
        });
        write_varint(out, stored.map_err(|_| too_long())?);
        return Ok(());
    }
    match plain {
        PlainLength::Int16 => out.put_slice(
            &length
                .map_or(Ok(-1), i16::try_from)
                .map_err(|_| too_long())?
                .to_be_bytes(),
        ),
        PlainLength::Int32 => out.put_slice(
            &length
                .map_or(Ok(-1), i32::try_from)
                .map_err(|_| too_long())?
                .to_be_bytes(),
        ),
    }
    Ok(())
}

fn length_size(form: Form, plain: PlainLength, length: Option<usize>) -> usize {
    match (form.flexible, plain) {
        // A length that does not fit is an error when it is written.
        (true, _) => {
            varint_size(length.map_or(0, |l| u32::try_from(l).unwrap_or(u32::MAX).saturating_add(1)))
        }
        (false, PlainLength::Int16) => 2,
        (false, PlainLength::Int32) => 4,
    }
}

macro_rules! fixed_fields {
    ($($ty:ty: $bytes:literal, $get:ident;)*) => {$(
        impl Wire for $ty {
            const KIND: Kind = Kind::Fixed($bytes);
        }

        impl Field for $ty {
            fn write<O: Output>(&self, out: &mut O, _form: Form) -> Result<(), EncodeError> {
                out.put_slice(&self.to_be_bytes());
                Ok(())
            }

            fn read<B: ByteBuf>(input: &mut B, _form: Form) -> Result<Self, DecodeError> {
                require(input, $bytes)?;
                Ok(input.$get())
            }

            fn size(&self, _form: Form) -> usize {
                $bytes
            }
        }
    )*};
}

fixed_fields! {
    i8: 1, get_i8;
    i16: 2, get_i16;
    u16: 2, get_u16;
    i32: 4, get_i32;
    i64: 8, get_i64;
    f64: 8, get_f64;
}

macro_rules! wrapped_fields {
    ($($ty:ident($inner:ty) from $construct:expr, as $open:expr;)*) => {$(
        impl Wire for $ty {
            const KIND: Kind = <$inner as Wire>::KIND;
        }

        impl Field for $ty {
            fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
                let open: fn(&$ty) -> $inner = $open;
                open(self).write(out, form)
            }

            fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
                let construct: fn($inner) -> $ty = $construct;
                Ok(construct(<$inner>::read(input, form)?))
            }

            fn size(&self, form: Form) -> usize {
                let open: fn(&$ty) -> $inner = $open;
                open(self).size(form)
            }
        }
    )*};
}

wrapped_fields! {
    bool(i8) from |byte| byte != 0, as |&value| i8::from(value);
    BrokerId(i32) from BrokerId, as |id| id.0;
    LeaderEpoch(i32) from LeaderEpoch, as |epoch| epoch.0;
    ProducerId(i64) from ProducerId, as |id| id.0;
    TopicId(Uuid) from TopicId, as |id| id.0;
}

impl Wire for Uuid {
    const KIND: Kind = Kind::Fixed(16);
}

impl Field for Uuid {
    fn write<O: Output>(&self, out: &mut O, _form: Form) -> Result<(), EncodeError> {
        out.put_slice(self.as_bytes());
        Ok(())
    }

    fn read<B: ByteBuf>(input: &mut B, _form: Form) -> Result<Self, DecodeError> {
        require(input, 16)?;
        let mut bytes = [0; 16];
        input.copy_to_slice(&mut bytes);
        Ok(Uuid::from_bytes(bytes))
    }

    fn size(&self, _form: Form) -> usize {
        16
    }
}

fn write_text<O: Output>(out: &mut O, form: Form, text: Option<&str>) -> Result<(), EncodeError> {
    write_length(out, form, PlainLength::Int16, text.map(str::len))?;
    out.put_slice(text.unwrap_or_default().as_bytes());
    Ok(())
}

fn read_text<B: ByteBuf>(input: &mut B, form: Form) -> Result<Option<StrBytes>, DecodeError> {
    let Some(length) = read_length(input, form, PlainLength::Int16)? else {
        return Ok(None);
    };
    let bytes = take(input, length)?;
    StrBytes::from_utf8(bytes)
        .map(Some)
        .map_err(|_| DecodeError::InvalidText)
}

fn text_size(form: Form, text: Option<&str>) -> usize {
    length_size(form, PlainLength::Int16, text.map(str::len)) + text.map_or(0, str::len)
}

macro_rules! text_fields {
    ($($ty:ty: $from:expr;)*) => {$(
        impl Wire for $ty {
            const KIND: Kind = Kind::Text;
        }

        impl Field for $ty {
            fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
                write_text(out, form, Some(self))
            }

            fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
                let convert: fn(StrBytes) -> $ty = $from;
                read_text(input, form)?.map(convert).ok_or(DecodeError::InvalidLength(-1))
            }

            fn size(&self, form: Form) -> usize {
                text_size(form, Some(self))
            }
        }

        impl Wire for Option<$ty> {
            const KIND: Kind = Kind::Text;
        }

        impl Field for Option<$ty> {
            fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
                write_text(out, form, self.as_deref())
            }

            fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
                let convert: fn(StrBytes) -> $ty = $from;
                Ok(read_text(input, form)?.map(convert))
            }

            fn size(&self, form: Form) -> usize {
                text_size(form, self.as_deref())
            }

            fn is_null(&self) -> bool {
                self.is_none()
            }
        }
    )*};
}

text_fields! {
    // Shares the memory of the frame it came from.
    StrBytes: |text| text;
    // Own memory, for what outlives the frame.
    Arc<str>: |text| Arc::from(text.as_str());
}

impl Wire for Bytes {
    const KIND: Kind = Kind::Bytes;
}

impl Field for Bytes {
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
        write_length(out, form, PlainLength::Int32, Some(self.len()))?;
        out.put_shared(self);
        Ok(())
    }

    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
        let length = read_length(input, form, PlainLength::Int32)?;
        take(input, length.ok_or(DecodeError::InvalidLength(-1))?)
    }

    fn size(&self, form: Form) -> usize {
        length_size(form, PlainLength::Int32, Some(self.len())) + self.len()
    }
}

impl Wire for Option<Records> {
    const KIND: Kind = Kind::Bytes;
}

impl Field for Option<Records> {
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(Records::Memory(bytes)) => bytes.write(out, form),
            Some(Records::File(part)) => {
                write_length(out, form, PlainLength::Int32, Some(part.length))?;
                out.put_file(part)
            }
            None => write_length(out, form, PlainLength::Int32, None),
        }
    }

    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
        Ok(Option::<Bytes>::read(input, form)?.map(Records::Memory))
    }

    fn size(&self, form: Form) -> usize {
        let length = self.as_ref().map(Records::len);
        length_size(form, PlainLength::Int32, length) + length.unwrap_or(0)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl Wire for Option<Bytes> {
    const KIND: Kind = Kind::Bytes;
}

impl Field for Option<Bytes> {
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(bytes) => bytes.write(out, form),
            None => write_length(out, form, PlainLength::Int32, None),
        }
    }

    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
        let length = read_length(input, form, PlainLength::Int32)?;
        length.map(|length| take(input, length)).transpose()
    }

    fn size(&self, form: Form) -> usize {
        match self {
            Some(bytes) => bytes.size(form),
            None => length_size(form, PlainLength::Int32, None),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

fn write_array<T: Field, O: Output>(
    out: &mut O,
    form: Form,
    elements: Option<&[T]>,
) -> Result<(), EncodeError> {
    write_length(out, form, PlainLength::Int32, elements.map(<[T]>::len))?;
    elements
        .unwrap_or_default()
        .iter()
        .try_for_each(|element| element.write(out, form))
}

fn read_array<T: Field, B: ByteBuf>(input: &mut B, form: Form) -> Result<Option<Vec<T>>, DecodeError> {
    let Some(count) = read_length(input, form, PlainLength::Int32)? else {
        return Ok(None);
    };
    // No element is smaller than a byte.
    require(input, count)?;
    let backed = input.remaining().saturating_mul(RESERVED_BYTES_PER_BYTE) / size_of::<T>().max(1);
    let mut elements = Vec::with_capacity(count.min(backed.saturating_add(RESERVED_ELEMENTS)));
    for read in 0..count {
        if elements.len() == elements.capacity() {
            elements.reserve_exact(read.min(count - read));
        }
        elements.push(T::read(input, form)?);
    }
    Ok(Some(elements))
}

fn array_size<T: Field>(form: Form, elements: Option<&[T]>) -> usize {
    let content: usize = elements
        .unwrap_or_default()
        .iter()
        .map(|element| element.size(form))
        .sum();
    length_size(form, PlainLength::Int32, elements.map(<[T]>::len)) + content
}

impl<T: Wire> Wire for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);
}

impl<T: Field> Field for Vec<T> {
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
        write_array(out, form, Some(self))
    }

    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
        read_array(input, form)?.ok_or(DecodeError::InvalidLength(-1))
    }

    fn size(&self, form: Form) -> usize {
        array_size(form, Some(self))
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    const KIND: Kind = Kind::Array(&T::KIND);
}

impl<T: Field> Field for Option<Vec<T>> {
    fn write<O: Output>(&self, out: &mut O, form: Form) -> Result<(), EncodeError> {
        write_array(out, form, self.as_deref())
    }

    fn read<B: ByteBuf>(input: &mut B, form: Form) -> Result<Self, DecodeError> {
        read_array(input, form)
    }

    fn size(&self, form: Form) -> usize {
        array_size(form, self.as_deref())
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}
