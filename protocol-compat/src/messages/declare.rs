//! `message!`: one declaration gives a message's structs, their encoding and decoding at every version, their size and
//! the shape that the guard walks.
//!
//! Versions are written as Kafka writes them: `v(2+)`, `v(0-7)`. A field that a version does not have is an error when
//! it is set and that version is written, unless it is marked `ignorable`, as in Kafka. Tagged fields stand in ascending order
//! of their tags, are written where they differ from their default, and unknown ones are skipped.

/// The last version of a range; open where there is none.
macro_rules! last_version {
    () => {
        i16::MAX
    };
    ($last:literal) => {
        $last
    };
}

/// The first flexible version.
macro_rules! flexible_from {
    (none) => {
        i16::MAX
    };
    ($first:literal) => {
        $first
    };
}

/// The second argument where the first is not empty, else the third.
macro_rules! if_given {
    ([] $given:tt { $($absent:tt)* }) => { $($absent)* };
    ([$($any:tt)+] { $($given:tt)* } $absent:tt) => { $($given)* };
}

/// A field's default: the given expression or the type's own.
macro_rules! default_or {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Declares the structs of one message; see the module.
macro_rules! message {
    (
        versions $min:literal - $max:literal, flexible $flexible:tt $(+)?;
        $(
            $(#[$struct_meta:meta])*
            pub struct $name:ident {
                $(
                    $(#[$field_meta:meta])*
                    $field:ident : $ty:ty $(= $default:expr)?,
                    v($first:literal $(- $last:literal)? $(+)? $(; $ignorable:ident)?)
                    $(, nullable($null_first:literal $(- $null_last:literal)? $(+)?))?
                    $(, tag($tag:literal))?;
                )*
            }
        )+
    ) => {$(
        $(#[$struct_meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: default_or!($($default)?),)* }
            }
        }

        impl $crate::guard::shape::Wire for $name {
            const KIND: $crate::guard::shape::Kind = $crate::guard::shape::Kind::Struct(&$name::SHAPE);
        }

        impl $name {
            /// What the guard walks before this is decoded.
            pub const SHAPE: $crate::guard::shape::Shape = $crate::guard::shape::Shape {
                name: stringify!($name),
                fields: &[$($crate::guard::shape::FieldShape {
                    name: stringify!($field),
                    kind: <$ty as $crate::guard::shape::Wire>::KIND,
                    first: $first,
                    last: last_version!($($last)?),
                    nullable: if_given!([$($null_first)?] { Some(($($null_first)?, last_version!($($($null_last)?)?))) } { None }),
                    tag: if_given!([$($tag)?] { Some($($tag)?) } { None }),
                },)*],
                first_flexible: flexible_from!($flexible),
                decoded_bytes: std::mem::size_of::<$name>(),
            };
        }

        impl $crate::messages::field::Field for $name {
            #[allow(unused_variables, unused_mut, reason = "a struct without fields")]
            fn write<O: $crate::messages::output::Output>(
                &self,
                out: &mut O,
                form: $crate::messages::field::Form,
            ) -> Result<(), $crate::error::EncodeError> {
                let shape = &Self::SHAPE;
                let mut fields = shape.fields.iter();
                $(
                    if let Some(field) = fields.next() {
                        if !field.is_at(form.version) {
                            if_given!([$($ignorable)?] {} {
                                if self.$field != Self::default().$field {
                                    return Err($crate::error::EncodeError::NotAtThisVersion(field.name));
                                }
                            });
                        } else {
                            if $crate::messages::field::Field::is_null(&self.$field)
                                && !field.is_nullable_at(form.version)
                            {
                                return Err($crate::error::EncodeError::UnexpectedNull(field.name));
                            }
                            if_given!([$($tag)?] {} {
                                $crate::messages::field::Field::write(&self.$field, out, form)?;
                            });
                        }
                    }
                )*
                if form.flexible {
                    self.write_tagged(out, form)?;
                }
                Ok(())
            }

            #[allow(unused_variables, unused_mut, reason = "a struct without fields")]
            fn read<B: kafka_protocol::protocol::buf::ByteBuf>(
                input: &mut B,
                form: $crate::messages::field::Form,
            ) -> Result<Self, $crate::error::DecodeError> {
                let mut message = Self::default();
                let shape = &Self::SHAPE;
                let mut fields = shape.fields.iter();
                $(
                    if let Some(field) = fields.next() {
                        if_given!([$($tag)?] {} {
                            if field.is_at(form.version) {
                                message.$field = $crate::messages::field::Field::read(input, form)?;
                                if $crate::messages::field::Field::is_null(&message.$field)
                                    && !field.is_nullable_at(form.version)
                                {
                                    return Err($crate::error::DecodeError::UnexpectedNull(field.name));
                                }
                            }
                        });
                    }
                )*
                if form.flexible {
                    message.read_tagged(input, form)?;
                }
                Ok(message)
            }

            #[allow(unused_variables, unused_mut, reason = "a struct without fields")]
            fn size(&self, form: $crate::messages::field::Form) -> usize {
                use $crate::messages::field::varint_size;
                let mut bytes = 0;
                $(
                    if_given!([$($tag)?] {} {
                        if $first <= form.version && form.version <= last_version!($($last)?) {
                            bytes += $crate::messages::field::Field::size(&self.$field, form);
                        }
                    });
                )*
                if form.flexible {
                    let mut tagged: u32 = 0;
                    $(if_given!([$($tag)?] {
                        if form.version >= $first && self.$field != Self::default().$field {
                            let length = $crate::messages::field::Field::size(&self.$field, form);
                            bytes += varint_size($($tag)?) + varint_size(u32::try_from(length).unwrap_or(u32::MAX)) + length;
                            tagged += 1;
                        }
                    } {});)*
                    bytes += varint_size(tagged);
                }
                bytes
            }
        }

        impl $name {
            #[allow(unused_mut, unused_variables, reason = "a struct without tagged fields")]
            fn write_tagged<O: $crate::messages::output::Output>(
                &self,
                out: &mut O,
                form: $crate::messages::field::Form,
            ) -> Result<(), $crate::error::EncodeError> {
                use $crate::messages::field::write_varint;
                let mut tagged: u32 = 0;
                $(if_given!([$($tag)?] {
                    if form.version >= $first && self.$field != Self::default().$field {
                        tagged += 1;
                    }
                } {});)*
                write_varint(out, tagged);
                $(if_given!([$($tag)?] {
                    if form.version >= $first && self.$field != Self::default().$field {
                        let length = $crate::messages::field::Field::size(&self.$field, form);
                        write_varint(out, $($tag)?);
                        write_varint(out, u32::try_from(length).map_err(|_| $crate::error::EncodeError::TooLong(length))?);
                        $crate::messages::field::Field::write(&self.$field, out, form)?;
                    }
                } {});)*
                Ok(())
            }

            #[allow(unused_mut, unused_variables, reason = "a struct without tagged fields")]
            fn read_tagged<B: kafka_protocol::protocol::buf::ByteBuf>(
                &mut self,
                input: &mut B,
                form: $crate::messages::field::Form,
            ) -> Result<(), $crate::error::DecodeError> {
                use $crate::messages::field::{read_varint, take};
                for _ in 0..read_varint(input)? {
                    let tag = read_varint(input)?;
                    let length = read_varint(input)? as usize;
                    let mut content = take(input, length)?;
                    match tag {
                        $($($tag if form.version >= $first => {
                            self.$field = $crate::messages::field::Field::read(&mut content, form)?;
                            if !content.is_empty() {
                                return Err($crate::error::DecodeError::TrailingBytes(content.len()));
                            }
                        })?)*
                        _ => {}
                    }
                }
                Ok(())
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
                Ok($crate::messages::field::Field::write(self, &mut $crate::messages::output::Plain(buf), Self::form(version)?)?)
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                Ok($crate::messages::field::Field::size(self, Self::form(version)?))
            }
        }

        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
                let form = Self::form(version)?;
                Ok($crate::messages::field::Field::read(buf, form)?)
            }
        }

        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange =
                kafka_protocol::protocol::VersionRange { min: $min, max: $max };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl $name {
            /// The form of `version`, if the message has that version.
            pub(crate) fn form(version: i16) -> Result<$crate::messages::field::Form, $crate::error::EncodeError> {
                if !($min..=$max).contains(&version) {
                    return Err($crate::error::EncodeError::UnsupportedVersion(version));
                }
                Ok($crate::messages::field::Form { version, flexible: version >= flexible_from!($flexible) })
            }
        }
    )+};
}

/// Ties a request to its key and its answer.
macro_rules! request {
    ($request:ident => $response:ident, $key:ident) => {
        impl kafka_protocol::protocol::HeaderVersion for $request {
            fn header_version(version: i16) -> i16 {
                $crate::api_key::ApiKey::$key.request_header_version(version)
            }
        }

        impl kafka_protocol::protocol::HeaderVersion for $response {
            fn header_version(version: i16) -> i16 {
                $crate::api_key::ApiKey::$key.response_header_version(version)
            }
        }

        impl kafka_protocol::protocol::Request for $request {
            const KEY: i16 = $crate::api_key::ApiKey::$key.code();
            type Response = $response;
        }
    };
}

pub(crate) use {default_or, flexible_from, if_given, last_version, message, request};
