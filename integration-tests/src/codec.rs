//! Messages as JSON values to bytes and back, by the shapes of [`crate::schema`].
//!
//! A field that a version lacks is left out, a field that the value lacks gets its default, and `null` is written even
//! where the protocol forbids it: the suite must be able to say wrong things. Bytes, records and ids are hexadecimal
//! strings.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Message, Type};

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// The body of `value` at `version`.
///
/// # Panics
/// When the value does not fit the shape: the case is wrong, not the broker.
pub fn encode(message: &Message, version: i16, value: &Value) -> Vec<u8> {
    let mut writer = Writer {
        bytes: Vec::new(),
        version,
        flexible: message.flexible.contains(version),
    };
    writer.fields(&message.fields, value);
    writer.bytes
}

/// The value of `body` at `version`, which must be used up.
pub fn decode(message: &Message, version: i16, body: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader {
        rest: body,
        version,
        flexible: message.flexible.contains(version),
    };
    let value = reader.fields(&message.fields)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(Malformed(format!(
            "{} bytes after the message",
            reader.rest.len()
        )))
    }
}

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hexadecimal string.
///
/// # Panics
/// When it is none.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("not hexadecimal: {text}")))
        .collect()
}

/// Appends an unsigned varint.
pub fn put_unsigned_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Writer {
    bytes: Vec<u8>,
    version: i16,
    flexible: bool,
}

impl Writer {
    fn fields(&mut self, fields: &[Field], value: &Value) {
        let version = self.version;
        let unknown = |name: &&String| !fields.iter().any(|field| field.name == **name);
        let misspelt = value.as_object().and_then(|object| object.keys().find(unknown));
        assert!(misspelt.is_none(), "no version has the field {misspelt:?}");
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            match &field.tag {
                Some((tag, versions)) if versions.contains(self.version) => {
                    if let Some(given) = value.get(&field.name) {
                        let mut inner = Writer {
                            bytes: Vec::new(),
                            ..*self
                        };
                        inner.field(field, given);
                        tagged.push((*tag, inner.bytes));
                    }
                }
                _ => self.field(
                    field,
                    &value
                        .get(&field.name)
                        .cloned()
                        .unwrap_or_else(|| default_of(field)),
                ),
            }
        }
        if self.flexible {
            tagged.sort_by_key(|(tag, _)| *tag);
            put_unsigned_varint(&mut self.bytes, tagged.len() as u64);
            for (tag, bytes) in tagged {
                put_unsigned_varint(&mut self.bytes, u64::from(tag));
                put_unsigned_varint(&mut self.bytes, bytes.len() as u64);
                self.bytes.extend(bytes);
            }
        }
    }

    /// A struct that may be null has a byte in front that says whether it is there.
    fn field(&mut self, field: &Field, value: &Value) {
        if matches!(field.kind, Type::Struct(_)) && field.nullable.contains(self.version) {
            self.bytes.push(if value.is_null() { 0xff } else { 1 });
            if value.is_null() {
                return;
            }
        }
        self.value(&field.kind, value);
    }

    fn value(&mut self, kind: &Type, value: &Value) {
        match kind {
            Type::Bool => self.bytes.push(u8::from(value.as_bool().expect("a bool"))),
            Type::Int(width) => {
                let bytes = integer(value).to_be_bytes();
                self.bytes.extend(&bytes[8 - width..]);
            }
            Type::Uint16 => self.bytes.extend(&integer(value).to_be_bytes()[6..]),
            Type::Float64 => self.bytes.extend(value.as_f64().expect("a number").to_be_bytes()),
            Type::Uuid => self.bytes.extend(from_hex(value.as_str().expect("an id"))),
            Type::String => self.sized(value.as_str().map(|text| text.as_bytes().to_vec()), 2),
            Type::Bytes | Type::Records => self.sized(value.as_str().map(from_hex), 4),
            Type::Struct(fields) => self.fields(fields, value),
            Type::List(element) => {
                let elements = value.as_array();
                self.length(elements.map(Vec::len), 4);
                for inner in elements.into_iter().flatten() {
                    self.value(element, inner);
                }
            }
        }
    }

    fn sized(&mut self, content: Option<Vec<u8>>, width: usize) {
        self.length(content.as_ref().map(Vec::len), width);
        self.bytes.extend(content.unwrap_or_default());
    }

    fn length(&mut self, length: Option<usize>, width: usize) {
        if self.flexible {
            put_unsigned_varint(&mut self.bytes, length.map_or(0, |length| length as u64 + 1));
        } else {
            let number = length.map_or(-1, |length| length as i64).to_be_bytes();
            self.bytes.extend(&number[8 - width..]);
        }
    }
}

/// Numbers that a run learns (a producer id) are substituted as text.
fn integer(value: &Value) -> i64 {
    let parsed = value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    parsed.unwrap_or_else(|| panic!("not an integer: {value}"))
}

fn default_of(field: &Field) -> Value {
    let text = field.default.as_deref().unwrap_or("");
    if text == "null" {
        return Value::Null;
    }
    match &field.kind {
        Type::Bool => json!(text == "true"),
        Type::Int(_) | Type::Uint16 => json!(text.parse::<i64>().unwrap_or(0)),
        Type::Float64 => json!(0.0),
        Type::Uuid => json!("00000000000000000000000000000000"),
        Type::String | Type::Bytes | Type::Records => json!(text),
        Type::Struct(_) => json!({}),
        Type::List(_) => json!([]),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<Value, Malformed> {
        let version = self.version;
        let mut object = Map::new();
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            let is_tagged = field
                .tag
                .as_ref()
                .is_some_and(|(_, versions)| versions.contains(self.version));
            if !is_tagged {
                let nullable = field.nullable.contains(self.version);
                let value = self
                    .value(&field.kind, nullable)
                    .map_err(|why| Malformed(format!("{}: {}", field.name, why.0)))?;
                object.insert(field.name.clone(), value);
            }
        }
        if self.flexible {
            self.tagged_fields(fields, &mut object)?;
        }
        Ok(Value::Object(object))
    }

    fn tagged_fields(&mut self, fields: &[Field], object: &mut Map<String, Value>) -> Result<(), Malformed> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            let bytes = self.take(length)?;
            let known = fields.iter().find(|field| {
                field.tag.as_ref().is_some_and(|(number, versions)| {
                    u64::from(*number) == tag && versions.contains(self.version)
                })
            });
            match known {
                Some(field) => {
                    let mut inner = Reader { rest: bytes, ..*self };
                    let value = inner.value(&field.kind, field.nullable.contains(self.version))?;
                    object.insert(field.name.clone(), value);
                }
                None => {
                    object.insert(format!("tag {tag}"), json!(to_hex(bytes)));
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &Type, nullable: bool) -> Result<Value, Malformed> {
        Ok(match kind {
            Type::Bool => json!(self.take(1)? != [0]),
            Type::Int(width) => json!(self.integer(*width)?),
            Type::Uint16 => json!(self.integer(2)? & 0xffff),
            Type::Float64 => json!(f64::from_bits(self.integer(8)? as u64)),
            Type::Uuid => json!(to_hex(self.take(16)?)),
            Type::String => match self.sized(2, nullable)? {
                Some(bytes) => {
                    json!(std::str::from_utf8(bytes).map_err(|_| Malformed("not UTF-8".to_owned()))?)
                }
                None => Value::Null,
            },
            Type::Bytes | Type::Records => self
                .sized(4, nullable)?
                .map_or(Value::Null, |bytes| json!(to_hex(bytes))),
            Type::Struct(fields) => {
                if nullable && self.take(1)? == [0xff] {
                    return Ok(Value::Null);
                }
                self.fields(fields)?
            }
            Type::List(element) => match self.length(4, nullable)? {
                Some(count) => {
                    let elements: Result<Vec<Value>, Malformed> =
                        (0..count).map(|_| self.value(element, false)).collect();
                    Value::Array(elements?)
                }
                None => Value::Null,
            },
        })
    }

    fn sized(&mut self, width: usize, nullable: bool) -> Result<Option<&'a [u8]>, Malformed> {
        match self.length(width, nullable)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    fn length(&mut self, width: usize, nullable: bool) -> Result<Option<u64>, Malformed> {
        let length = if self.flexible {
            self.unsigned_varint()? as i64 - 1
        } else {
            self.integer(width)?
        };
        match u64::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if nullable && length == -1 => Ok(None),
            Err(_) => Err(Malformed(format!("length {length} where null is not allowed"))),
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let (head, rest) =
            split.ok_or_else(|| Malformed(format!("{count} bytes wanted, {} left", self.rest.len())))?;
        self.rest = rest;
        Ok(head)
    }

    fn integer(&mut self, width: usize) -> Result<i64, Malformed> {
        let bytes = self.take(width as u64)?;
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        Ok(bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| {
            value << 8 | i64::from(*byte)
        }))
    }

    fn unsigned_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.integer(1)? as u64 & 0xff;
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("varint of more than five bytes".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{self, Direction};

    #[test]
    fn every_request_with_its_defaults_survives_the_way_there_and_back() {
        for message in schema::requests() {
            for version in message.versions.first..=message.versions.last {
                let bytes = encode(message, version, &json!({}));
                let value = decode(message, version, &bytes)
                    .unwrap_or_else(|why| panic!("{} {version}: {why:?}", message.name));
                assert_eq!(
                    encode(message, version, &value),
                    bytes,
                    "{} {version}",
                    message.name
                );
            }
        }
    }

    #[test]
    fn a_flexible_version_has_compact_lengths_and_tagged_fields() {
        let metadata = schema::message(Direction::Request, "Metadata").expect("in the table");
        let value = json!({"Topics": [{"Name": "ab"}], "AllowAutoTopicCreation": true});
        assert_eq!(to_hex(&encode(metadata, 1, &value)), "0000000100026162");
        assert_eq!(
            to_hex(&encode(metadata, 9, &value)),
            "02036162000100 0000".replace(' ', "")
        );
    }

    #[test]
    fn bytes_after_the_message_and_short_messages_are_malformed() {
        let metadata = schema::message(Direction::Request, "Metadata").expect("in the table");
        assert!(decode(metadata, 0, &from_hex("00000000ff")).is_err());
        assert!(decode(metadata, 0, &from_hex("00000005")).is_err());
    }
}
