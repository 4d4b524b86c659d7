//! The shapes of the served messages, read from `integration-tests/testdata/messages.txt`.
//!
//! Owns the table and its parser. What bytes a shape means is the business of [`crate::codec`].

use std::sync::LazyLock;

const TABLE: &str = include_str!("../testdata/messages.txt");

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| parse(TABLE));

/// Which way a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client to broker.
    Request,
    /// Broker to client.
    Response,
}

/// An inclusive range of versions; open at the top when the table writes `3+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub first: i16,
    /// The last version.
    pub last: i16,
}

impl Versions {
    const NONE: Versions = Versions { first: 1, last: 0 };

    /// Whether `version` lies in the range.
    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    fn parse(text: &str) -> Versions {
        let number = |text: &str| text.parse::<i16>().expect("a version");
        if text == "none" {
            Versions::NONE
        } else if let Some(first) = text.strip_suffix('+') {
            Versions {
                first: number(first),
                last: i16::MAX,
            }
        } else if let Some((first, last)) = text.split_once('-') {
            Versions {
                first: number(first),
                last: number(last),
            }
        } else {
            Versions {
                first: number(text),
                last: number(text),
            }
        }
    }
}

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// One byte, 0 or 1.
    Bool,
    /// A signed integer of this many bytes.
    Int(usize),
    /// Two bytes, unsigned.
    Uint16,
    /// Eight bytes, IEEE 754.
    Float64,
    /// UTF-8 with a length.
    String,
    /// Bytes with a length.
    Bytes,
    /// Record batches with a length.
    Records,
    /// Sixteen bytes.
    Uuid,
    /// Fields in order.
    Struct(Vec<Field>),
    /// A count and that many elements.
    List(Box<Type>),
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Kafka's name.
    pub name: String,
    /// What it holds.
    pub kind: Type,
    /// Where it exists.
    pub versions: Versions,
    /// Where it may be null.
    pub nullable: Versions,
    /// Its tag, and where it is a tagged field.
    pub tag: Option<(u32, Versions)>,
    /// The value that a writer leaves unsaid.
    pub default: Option<String>,
}

/// One message of one API.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which way it goes.
    pub direction: Direction,
    /// The API's number.
    pub api_key: i16,
    /// Kafka's name without `Request` or `Response`.
    pub name: String,
    /// Versions that Kafka 4.3 serves.
    pub versions: Versions,
    /// Versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
    /// Its fields in wire order.
    pub fields: Vec<Field>,
}

/// The message of this API and direction, if the table has it.
pub fn message(direction: Direction, api: &str) -> Option<&'static Message> {
    MESSAGES
        .iter()
        .find(|message| message.direction == direction && message.name == api)
}

/// The response with this API key, if the table has it.
pub fn response_by_key(api_key: i16) -> Option<&'static Message> {
    MESSAGES
        .iter()
        .find(|message| message.direction == Direction::Response && message.api_key == api_key)
}

/// Every request of the table.
pub fn requests() -> impl Iterator<Item = &'static Message> {
    MESSAGES
        .iter()
        .filter(|message| message.direction == Direction::Request)
}

fn parse(table: &str) -> Vec<Message> {
    let mut lines = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .peekable();
    let mut messages = Vec::new();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let [direction, api_key, name, versions, _, flexible] = words.as_slice() else {
            panic!("not a message line: {line}")
        };
        messages.push(Message {
            direction: if *direction == "request" {
                Direction::Request
            } else {
                Direction::Response
            },
            api_key: api_key.parse().expect("an API key"),
            name: (*name).to_owned(),
            versions: Versions::parse(versions),
            flexible: Versions::parse(flexible),
            fields: parse_fields(&mut lines, 1),
        });
    }
    messages
}

fn parse_fields<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    depth: usize,
) -> Vec<Field> {
    let indent = |line: &str| (line.len() - line.trim_start().len()) / 2;
    let mut fields = Vec::new();
    while let Some(line) = lines.next_if(|line| indent(line) == depth) {
        let mut words = line.trim_start().split(' ');
        let name = words.next().expect("a field name").to_owned();
        let kind = words.next().expect("a field type");
        let mut field = Field {
            name,
            kind: Type::Bool,
            versions: Versions::parse(words.next().expect("field versions")),
            nullable: Versions::NONE,
            tag: None,
            default: None,
        };
        while let Some(word) = words.next() {
            let value = words.next().expect("a word after an attribute");
            match word {
                "null" => field.nullable = Versions::parse(value),
                "default" => field.default = Some(value.trim_matches('"').to_owned()),
                "tag" => {
                    let tag = value.parse().expect("a tag number");
                    field.tag = Some((tag, Versions::parse(words.next().expect("tag versions"))));
                }
                other => panic!("unknown attribute {other} in {line}"),
            }
        }
        field.kind = parse_type(kind, || parse_fields(lines, depth + 1));
        fields.push(field);
    }
    fields
}

fn parse_type(text: &str, fields: impl FnOnce() -> Vec<Field>) -> Type {
    match text {
        "[]" => Type::List(Box::new(Type::Struct(fields()))),
        "struct" => Type::Struct(fields()),
        "bool" => Type::Bool,
        "int8" => Type::Int(1),
        "int16" => Type::Int(2),
        "int32" => Type::Int(4),
        "int64" => Type::Int(8),
        "uint16" => Type::Uint16,
        "float64" => Type::Float64,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        "uuid" => Type::Uuid,
        list => match list.strip_prefix("[]") {
            Some(element) => Type::List(Box::new(parse_type(element, fields))),
            None => panic!("unknown type {text}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_compat::ApiKey;

    #[test]
    fn the_table_and_the_broker_agree_on_what_is_served() {
        for key in ApiKey::ALL {
            let row = message(Direction::Request, key.name());
            let table = row.map(|message| message.versions.first..=message.versions.last);
            assert_eq!(table, key.served_versions(), "{}", key.name());
        }
    }

    #[test]
    fn nested_fields_end_where_the_indent_ends() {
        let fetch = message(Direction::Request, "Fetch").expect("Fetch is in the table");
        let names: Vec<&str> = fetch.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(&names[..3], ["ClusterId", "ReplicaId", "ReplicaState"]);
        assert_eq!(names.last(), Some(&"RackId"));
    }
}
