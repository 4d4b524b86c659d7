//! The walk over a message's bytes by its shape.
//!
//! Every step either moves forward inside the bytes or fails; depth is that of the shape, which is static.

use super::shape::{Kind, Shape};
use crate::error::DecodeError;

/// Memory of a text or byte string that shares the frame: the handle alone.
const HANDLE_BYTES: usize = size_of::<bytes::Bytes>();
/// The codec crate keeps unknown tagged fields in a `BTreeMap`: a node for the first of a struct, ...
const FIRST_UNKNOWN_TAG_BYTES: usize = 512;
/// ... and this much for each of them.
const UNKNOWN_TAG_BYTES: usize = 96;
/// A tagged field is at least a tag and a length.
const MIN_TAGGED_FIELD_BYTES: usize = 2;

/// What is left of the bytes, and of the budget.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    version: i16,
    flexible: bool,
    budget_bytes: usize,
    spent_bytes: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8], version: i16, flexible: bool, budget_bytes: usize) -> Walk<'a> {
        Walk {
            bytes,
            version,
            flexible,
            budget_bytes,
            spent_bytes: 0,
        }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Walks the fields of a struct and its tagged fields.
    pub(super) fn fields_of(&mut self, shape: &Shape) -> Result<(), DecodeError> {
        for field in shape.fields {
            if field.tag.is_none() && field.is_at(self.version) {
                let nullable = field.is_nullable_at(self.version);
                self.value(&field.kind, nullable.then_some(()).ok_or(field.name))?;
            }
        }
        if self.flexible {
            self.tagged_fields_of(shape)
        } else {
            Ok(())
        }
    }

    /// Walks a value; `nullable` is the field's name where null is refused.
    fn value(&mut self, kind: &Kind, nullable: Result<(), &'static str>) -> Result<(), DecodeError> {
        let length = match kind {
            Kind::Fixed(bytes) => return self.skip(*bytes),
            Kind::Struct(shape) => return self.fields_of(shape),
            Kind::NullableStruct(shape) => {
                return match self.byte()? {
                    1 => self.fields_of(shape),
                    // Any negative number is null to Kafka, and any other one is a struct; nobody writes them.
                    0xff => nullable.map_err(DecodeError::UnexpectedNull),
                    other => Err(DecodeError::InvalidLength(other.into())),
                };
            }
            Kind::Text => self.length(2)?,
            Kind::Bytes | Kind::Array(_) => self.length(4)?,
        };
        let Some(length) = length else {
            return nullable.map_err(DecodeError::UnexpectedNull);
        };
        match kind {
            Kind::Array(element) => self.elements(element, length),
            _ => self.skip(length),
        }
    }

    fn elements(&mut self, element: &Kind, count: usize) -> Result<(), DecodeError> {
        // Nothing is reserved for elements that cannot be there.
        let needed = count.saturating_mul(self.min_bytes(element));
        if needed > self.left() {
            return Err(DecodeError::Truncated {
                needed,
                left: self.left(),
            });
        }
        self.spend(count.saturating_mul(decoded_bytes(element)))?;
        if let Kind::Fixed(bytes) = element {
            return self.skip(count.saturating_mul(*bytes));
        }
        for _ in 0..count {
            self.value(element, Err("element"))?;
        }
        Ok(())
    }

    fn tagged_fields_of(&mut self, shape: &Shape) -> Result<(), DecodeError> {
        let count = self.varint()? as usize;
        let needed = count.saturating_mul(MIN_TAGGED_FIELD_BYTES);
        if needed > self.left() {
            return Err(DecodeError::Truncated {
                needed,
                left: self.left(),
            });
        }
        let mut unknown = 0;
        for _ in 0..count {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            if length > self.left() {
                return Err(DecodeError::Truncated {
                    needed: length,
                    left: self.left(),
                });
            }
            match shape.fields.iter().find(|field| field.tag == Some(tag)) {
                // As in Kafka, a tag that means something later is refused before it does.
                Some(field) if !field.is_at(self.version) => {
                    return Err(DecodeError::UnsupportedVersion(self.version));
                }
                Some(field) => {
                    let before = self.left();
                    let nullable = field.is_nullable_at(self.version);
                    self.value(&field.kind, nullable.then_some(()).ok_or(field.name))?;
                    let walked = before - self.left();
                    if walked != length {
                        return Err(DecodeError::InvalidLength(
                            i64::try_from(length).unwrap_or(i64::MAX),
                        ));
                    }
                }
                None => {
                    self.spend(if unknown == 0 {
                        FIRST_UNKNOWN_TAG_BYTES
                    } else {
                        UNKNOWN_TAG_BYTES
                    })?;
                    unknown += 1;
                    self.skip(length)?;
                }
            }
        }
        Ok(())
    }

    /// The fewest bytes that a value of this kind takes at this version.
    fn min_bytes(&self, kind: &Kind) -> usize {
        match kind {
            Kind::Fixed(bytes) => *bytes,
            Kind::Text if !self.flexible => 2,
            Kind::Bytes | Kind::Array(_) if !self.flexible => 4,
            Kind::Text | Kind::Bytes | Kind::Array(_) | Kind::NullableStruct(_) => 1,
            Kind::Struct(shape) => {
                let fields = shape
                    .fields
                    .iter()
                    .filter(|f| f.tag.is_none() && f.is_at(self.version));
                fields.map(|field| self.min_bytes(&field.kind)).sum::<usize>() + usize::from(self.flexible)
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.spent_bytes = self.spent_bytes.saturating_add(bytes);
        if self.spent_bytes > self.budget_bytes {
            return Err(DecodeError::TooLarge {
                budget_bytes: self.budget_bytes,
            });
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Result<(), DecodeError> {
        let Some(rest) = self.bytes.get(bytes..) else {
            return Err(DecodeError::Truncated {
                needed: bytes,
                left: self.left(),
            });
        };
        self.bytes = rest;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let Some((&byte, rest)) = self.bytes.split_first() else {
            return Err(DecodeError::Truncated { needed: 1, left: 0 });
        };
        self.bytes = rest;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| DecodeError::InvalidVarint);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A length or count: compact, or of so many bytes; `None` is null.
    fn length(&mut self, plain_bytes: usize) -> Result<Option<usize>, DecodeError> {
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else {
            self.plain_length(plain_bytes)?
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length)
                .map(Some)
                .map_err(|_| DecodeError::InvalidLength(length)),
        }
    }

    fn plain_length(&mut self, bytes: usize) -> Result<i64, DecodeError> {
        let truncated = DecodeError::Truncated {
            needed: bytes,
            left: self.left(),
        };
        let length = match bytes {
            2 => self
                .bytes
                .first_chunk()
                .map(|&chunk| i64::from(i16::from_be_bytes(chunk))),
            _ => self
                .bytes
                .first_chunk()
                .map(|&chunk| i64::from(i32::from_be_bytes(chunk))),
        };
        self.skip(bytes)?;
        length.ok_or(truncated)
    }
}

/// Memory that one element takes in a vector.
fn decoded_bytes(kind: &Kind) -> usize {
    match kind {
        Kind::Fixed(bytes) => *bytes,
        Kind::Text | Kind::Bytes => HANDLE_BYTES,
        Kind::Array(_) => size_of::<Vec<u8>>(),
        Kind::Struct(shape) | Kind::NullableStruct(shape) => shape.decoded_bytes,
    }
}
