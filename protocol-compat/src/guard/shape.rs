//! The compact description of a message: its fields in wire order, the versions of each, and how much memory it takes
//! decoded.
//!
//! [`declare::message!`](crate::messages::declare) writes it for our own messages; `shapes/` has it for the codec
//! crate's. It describes; [`guard`](crate::guard) walks.

use std::marker::PhantomData;

/// How a value stands on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// So many bytes, at least one.
    Fixed(usize),
    /// UTF-8 behind a 16-bit or compact length.
    Text,
    /// Bytes behind a 32-bit or compact length.
    Bytes,
    /// Elements behind a 32-bit or compact count.
    Array(&'static Kind),
    /// Fields one after the other, tagged fields last where the version is flexible.
    Struct(&'static Shape),
    /// A struct behind one byte that is negative where it is null.
    NullableStruct(&'static Shape),
}

/// A field and the versions that have it; bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub struct FieldShape {
    /// The field's name, for errors.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// First version with the field.
    pub first: i16,
    /// Last version with the field.
    pub last: i16,
    /// The versions at which it may be null, if any.
    pub nullable: Option<(i16, i16)>,
    /// Its tag, where it is a tagged field.
    pub tag: Option<u32>,
}

impl FieldShape {
    /// Whether `version` has the field.
    pub const fn is_at(&self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// Whether the field may be null at `version`.
    pub const fn is_nullable_at(&self, version: i16) -> bool {
        match self.nullable {
            Some((first, last)) => first <= version && version <= last,
            None => false,
        }
    }
}

/// A struct: a message, or an element of one.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Kafka's name.
    pub name: &'static str,
    /// The fields in wire order; tagged ones anywhere.
    pub fields: &'static [FieldShape],
    /// First flexible version; `i16::MAX` if none is.
    pub first_flexible: i16,
    /// Bytes of memory that the decoded struct takes, not counting what its fields point to.
    pub decoded_bytes: usize,
}

/// A type with a place on the wire.
pub trait Wire {
    /// How it stands there.
    const KIND: Kind;
}

/// Marks a struct that may be null.
pub struct Nullable<T>(PhantomData<T>);

impl<T: Wire> Wire for Nullable<T> {
    const KIND: Kind = match T::KIND {
        Kind::Struct(shape) => Kind::NullableStruct(shape),
        other => other,
    };
}
