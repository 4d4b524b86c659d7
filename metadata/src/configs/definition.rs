//! What a configuration key is: its type, its default, the values that it accepts, and how its text is read.
//!
//! Reads and refuses values as Kafka's `ConfigDef` does, wording included, since clients show the message to people.
//! Which keys exist is the business of `topic_keys` here and of the broker's own table.

use std::collections::BTreeSet;
use std::fmt;

/// The type of a key (`ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text, trimmed.
    String,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// Floating point.
    Double,
    /// Texts between commas.
    List,
    /// A Java class name.
    Class,
    /// A secret.
    Password,
}

impl ConfigType {
    /// The number in DescribeConfigs answers.
    pub fn id(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Short => 4,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
            ConfigType::Class => 8,
            ConfigType::Password => 9,
        }
    }

    /// Kafka's upper-case name.
    pub fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }

    /// Whether values are never shown.
    pub fn is_sensitive(self) -> bool {
        self == ConfigType::Password
    }
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    /// Of a [`ConfigType::Boolean`].
    Boolean(bool),
    /// Of an integer type.
    Integer(i64),
    /// Of a [`ConfigType::Double`].
    Double(f64),
    /// Of a text type.
    Text(String),
    /// Of a [`ConfigType::List`].
    List(Vec<String>),
}

impl ConfigValue {
    /// The text that DescribeConfigs shows (`ConfigDef.convertToString`).
    pub fn to_text(&self) -> String {
        match self {
            ConfigValue::Boolean(value) => value.to_string(),
            ConfigValue::Integer(value) => value.to_string(),
            ConfigValue::Double(value) => format!("{value:?}"),
            ConfigValue::Text(value) => value.clone(),
            ConfigValue::List(values) => values.join(","),
        }
    }
}

/// As Java prints the value inside an error message: a list stands in brackets.
impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigValue::List(values) => write!(f, "[{}]", values.join(", ")),
            other => f.write_str(&other.to_text()),
        }
    }
}

/// Why a configuration was refused: INVALID_CONFIG with this message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(pub String);

fn invalid(name: &str, value: &dyn fmt::Display, why: &str) -> InvalidConfig {
    InvalidConfig(format!("Invalid value {value} for configuration {name}: {why}"))
}

/// Which values of its type a key accepts.
#[derive(Clone, Copy, Debug)]
pub enum Validator {
    /// Every value.
    Any,
    /// Numbers from this one up.
    AtLeast(i64),
    /// Numbers between these two, both included.
    Between(i64, i64),
    /// Numbers between the first two, both included, or the third.
    BetweenOr(i64, i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of these texts, or an empty list; repeated ones count once.
    ListOf(&'static [&'static str]),
    /// `*`, or partition and broker pairs such as `0:1,1:1`.
    ThrottledReplicas,
}

impl Validator {
    fn check(self, name: &str, value: &ConfigValue) -> Result<(), InvalidConfig> {
        match self {
            Validator::Any => Ok(()),
            Validator::AtLeast(min) => at_least(name, value, min),
            Validator::Between(min, max) => {
                at_least(name, value, min).and_then(|()| at_most(name, value, max))
            }
            Validator::BetweenOr(min, max, other) => between_or(name, value, min, max, other),
            Validator::OneOf(known) => one_of(name, &value.to_text(), known),
            Validator::ListOf(known) => list_of(name, value, known),
            Validator::ThrottledReplicas => throttled_replicas(name, value),
        }
    }
}

fn number(value: &ConfigValue) -> f64 {
    match value {
        ConfigValue::Integer(value) => *value as f64,
        ConfigValue::Double(value) => *value,
        ConfigValue::Boolean(_) | ConfigValue::Text(_) | ConfigValue::List(_) => f64::NAN,
    }
}

fn at_least(name: &str, value: &ConfigValue, min: i64) -> Result<(), InvalidConfig> {
    if number(value) >= min as f64 {
        return Ok(());
    }
    Err(invalid(name, value, &format!("Value must be at least {min}")))
}

fn at_most(name: &str, value: &ConfigValue, max: i64) -> Result<(), InvalidConfig> {
    if number(value) <= max as f64 {
        return Ok(());
    }
    Err(invalid(name, value, &format!("Value must be no more than {max}")))
}

fn between_or(name: &str, value: &ConfigValue, min: i64, max: i64, other: i64) -> Result<(), InvalidConfig> {
    let number = number(value);
    if number == other as f64 || (number >= min as f64 && number <= max as f64) {
        return Ok(());
    }
    let why = format!("Value must be between {min} and {max} or equal to {other}");
    Err(invalid(name, value, &why))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), InvalidConfig> {
    if known.contains(&value) {
        return Ok(());
    }
    let why = format!("String must be one of: {}", known.join(", "));
    Err(invalid(name, &value, &why))
}

fn list_of(name: &str, value: &ConfigValue, known: &[&str]) -> Result<(), InvalidConfig> {
    let ConfigValue::List(values) = value else {
        return one_of(name, &value.to_text(), known);
    };
    for value in values {
        if value.is_empty() {
            let why = format!("Configuration '{name}' values must not be empty.");
            return Err(InvalidConfig(why));
        }
        one_of(name, value, known)?;
    }
    Ok(())
}

fn throttled_replicas(name: &str, value: &ConfigValue) -> Result<(), InvalidConfig> {
    let ConfigValue::List(values) = value else {
        return Ok(());
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |text: &String| {
        text.is_empty()
            || text
                .split_once(':')
                .is_some_and(|(partition, broker)| digits(partition) && digits(broker))
    };
    if values.iter().all(is_pair) || values.concat() == "*" {
        return Ok(());
    }
    let why = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(invalid(name, value, &why))
}

/// Java's `String.trim`: what is at most a blank goes, at both ends.
pub fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Reads a value of type `kind` for the key `name`.
///
/// # Errors
/// [`InvalidConfig`] with Kafka's wording when the text is not of that type.
pub fn parse_value(name: &str, kind: ConfigType, raw: &str) -> Result<ConfigValue, InvalidConfig> {
    let text = java_trim(raw);
    let no_number = || invalid(name, &raw, &format!("Not a number of type {}", kind.name()));
    match kind {
        ConfigType::Boolean if text.eq_ignore_ascii_case("true") => Ok(ConfigValue::Boolean(true)),
        ConfigType::Boolean if text.eq_ignore_ascii_case("false") => Ok(ConfigValue::Boolean(false)),
        ConfigType::Boolean => Err(invalid(name, &raw, "Expected value to be either true or false")),
        ConfigType::String | ConfigType::Class | ConfigType::Password => {
            Ok(ConfigValue::Text(text.to_owned()))
        }
        ConfigType::Short => text
            .parse::<i16>()
            .map(|value| ConfigValue::Integer(value.into()))
            .map_err(|_| no_number()),
        ConfigType::Int => text
            .parse::<i32>()
            .map(|value| ConfigValue::Integer(value.into()))
            .map_err(|_| no_number()),
        ConfigType::Long => text.parse().map(ConfigValue::Integer).map_err(|_| no_number()),
        ConfigType::Double => text.parse().map(ConfigValue::Double).map_err(|_| no_number()),
        ConfigType::List if text.is_empty() => Ok(ConfigValue::List(Vec::new())),
        ConfigType::List => {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            Ok(ConfigValue::List(parts.collect()))
        }
    }
}

/// How the value of a broker key becomes the value of a topic key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// As it is.
    None,
    /// Hours to milliseconds.
    Hours,
    /// Minutes to milliseconds.
    Minutes,
}

impl Conversion {
    /// The converted text. Kafka reads a broken number as 0.
    pub fn apply(self, text: &str) -> String {
        let unit_ms: i64 = match self {
            Conversion::None => return text.to_owned(),
            Conversion::Hours => 3_600_000,
            Conversion::Minutes => 60_000,
        };
        let count: i32 = java_trim(text).parse().unwrap_or(0);
        i64::from(count).saturating_mul(unit_ms).to_string()
    }
}

/// A broker key that gives a topic key its default.
#[derive(Clone, Copy, Debug)]
pub struct BrokerSynonym {
    /// The broker key.
    pub name: &'static str,
    /// How its value is converted.
    pub conversion: Conversion,
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// The key.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ConfigType,
    /// Kafka's default, as text.
    pub default: &'static str,
    /// Which values it accepts.
    pub validator: Validator,
    /// Broker keys that replace the default, the strongest first.
    pub synonyms: &'static [BrokerSynonym],
    /// One sentence for people.
    pub documentation: &'static str,
}

impl ConfigKey {
    /// Reads and checks a value.
    ///
    /// # Errors
    /// [`InvalidConfig`] with Kafka's wording.
    pub fn parse(&self, raw: &str) -> Result<ConfigValue, InvalidConfig> {
        let value = self.without_repetition(parse_value(self.name, self.kind, raw)?);
        self.validator.check(self.name, &value)?;
        Ok(value)
    }

    /// Kafka drops repeated values from lists of known values (KIP-1161) and keeps the order of the others.
    fn without_repetition(&self, value: ConfigValue) -> ConfigValue {
        match (self.validator, value) {
            (Validator::ListOf(_), ConfigValue::List(values)) => {
                let mut seen = BTreeSet::new();
                let first = values.into_iter().filter(|value| seen.insert(value.clone()));
                ConfigValue::List(first.collect())
            }
            (_, value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: ConfigKey = ConfigKey {
        name: "compression.gzip.level",
        kind: ConfigType::Int,
        default: "-1",
        validator: Validator::BetweenOr(1, 9, -1),
        synonyms: &[],
        documentation: "",
    };

    fn refusal(key: &ConfigKey, raw: &str) -> String {
        key.parse(raw).expect_err("must be refused").0
    }

    #[test]
    fn numbers_are_trimmed_and_refused_in_kafkas_words() {
        assert_eq!(LEVEL.parse(" 7 "), Ok(ConfigValue::Integer(7)));
        assert_eq!(LEVEL.parse("-1"), Ok(ConfigValue::Integer(-1)));
        assert_eq!(
            refusal(&LEVEL, "0"),
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"
        );
        assert_eq!(
            refusal(&LEVEL, "3000000000"),
            "Invalid value 3000000000 for configuration compression.gzip.level: Not a number of type INT"
        );
    }

    #[test]
    fn a_list_takes_known_values_once() {
        let key = ConfigKey {
            name: "cleanup.policy",
            kind: ConfigType::List,
            validator: Validator::ListOf(&["compact", "delete"]),
            ..LEVEL
        };
        assert_eq!(
            key.parse("compact , delete").map(|v| v.to_text()),
            Ok("compact,delete".into())
        );
        assert_eq!(key.parse(""), Ok(ConfigValue::List(vec![])));
        assert_eq!(
            key.parse("delete,compact,delete").map(|v| v.to_text()),
            Ok("delete,compact".into())
        );
        assert_eq!(
            refusal(&key, "delete,"),
            "Configuration 'cleanup.policy' values must not be empty."
        );
        assert_eq!(
            refusal(&key, "delte"),
            "Invalid value delte for configuration cleanup.policy: String must be one of: compact, delete"
        );
    }

    #[test]
    fn throttled_replicas_are_pairs_or_a_star() {
        let key = ConfigKey {
            name: "leader.replication.throttled.replicas",
            kind: ConfigType::List,
            validator: Validator::ThrottledReplicas,
            ..LEVEL
        };
        assert!(key.parse("0:1, 1:1").is_ok());
        assert!(key.parse("*").is_ok());
        assert!(refusal(&key, "0:1,*").starts_with("Invalid value [0:1, *] for configuration leader."));
        assert!(key.parse("0:x").is_err());
    }
}
