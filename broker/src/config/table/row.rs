//! One row of the table of keys: what a key is called, what it accepts, and what Cauce does with it.
//!
//! Checks single values. Rules between keys (a listener that must be mapped, retention in hours or milliseconds) are in
//! `node_config.rs`.

use metadata::configs::ConfigType;

/// Whether the admin API may change a key of a running node, and for whom (`DynamicBrokerConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only at a start.
    ReadOnly,
    /// For one broker or for all of them.
    Cluster,
    /// Only for one broker.
    PerBroker,
}

/// The values that a key accepts besides being of its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepts {
    /// Every value of the type.
    Any,
    /// Text or a list that is not empty.
    NotEmpty,
    /// A number of at least this.
    AtLeast(i64),
    /// A number between these, both included.
    Between(i64, i64),
    /// A number between these, or -1.
    RangeOrMinusOne(i64, i64),
    /// One of these words; of a list, each of its words. Case does not matter.
    OneOf(&'static [&'static str]),
}

/// What Cauce does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The value takes effect; `text` documents the key.
    Honoured,
    /// Another value than the default is accepted and reported as being without effect; `text` says why.
    NoEffect,
    /// Another value than the default stops the start, because ignoring it would break a promise; `text` says why.
    Refused,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct KeyRow {
    /// Kafka's name of the key.
    pub name: &'static str,
    /// Its type.
    pub key_type: ConfigType,
    /// Its default as text; `None` where Kafka has none or `null`.
    pub default: Option<&'static str>,
    /// Whether it can be changed while the node runs.
    pub update: Update,
    /// The values it accepts.
    pub accepts: Accepts,
    /// What Cauce does with it.
    pub standing: Standing,
    /// Documentation of an honoured key, the reason of any other.
    pub text: &'static str,
}

impl KeyRow {
    /// Whether the value must not be shown: to a client, in a log, in an error.
    pub fn is_secret(&self) -> bool {
        self.key_type.is_sensitive()
    }

    /// Whether the two texts mean the same value of this key.
    pub fn same_value(&self, one: &str, other: &str) -> bool {
        match self.key_type {
            ConfigType::Int | ConfigType::Short | ConfigType::Long => {
                one.trim().parse::<i64>() == other.trim().parse::<i64>()
            }
            ConfigType::Double => one.trim().parse::<f64>() == other.trim().parse::<f64>(),
            ConfigType::Boolean => one.trim().eq_ignore_ascii_case(other.trim()),
            ConfigType::List => words(one).eq(words(other)),
            ConfigType::String | ConfigType::Class | ConfigType::Password => one.trim() == other.trim(),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What the key wants instead, as the end of a sentence: `must be an integer of at least 1`.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let value = value.trim();
        match self.key_type {
            ConfigType::Boolean if !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") => {
                Err("must be true or false".to_owned())
            }
            ConfigType::Double if value.parse::<f64>().is_err() => Err("must be a number".to_owned()),
            ConfigType::Short => self.check_integer(value, i64::from(i16::MIN), i64::from(i16::MAX)),
            ConfigType::Int => self.check_integer(value, i64::from(i32::MIN), i64::from(i32::MAX)),
            ConfigType::Long => self.check_integer(value, i64::MIN, i64::MAX),
            ConfigType::String | ConfigType::List => self.check_words(value),
            ConfigType::Boolean | ConfigType::Double | ConfigType::Class | ConfigType::Password => Ok(()),
        }
    }

    fn check_integer(&self, value: &str, least: i64, most: i64) -> Result<(), String> {
        let Ok(number) = value.parse::<i64>() else {
            return Err("must be an integer".to_owned());
        };
        let (least, most, or) = match self.accepts {
            Accepts::AtLeast(bound) => (bound, most, None),
            Accepts::Between(low, high) => (low, high, None),
            Accepts::RangeOrMinusOne(low, high) => (low, high, Some(-1)),
            Accepts::Any | Accepts::NotEmpty | Accepts::OneOf(_) => (least, most, None),
        };
        if (least..=most).contains(&number) || or == Some(number) {
            return Ok(());
        }
        Err(match or {
            Some(or) => format!("must be an integer from {least} to {most}, or {or}"),
            None => format!("must be an integer from {least} to {most}"),
        })
    }

    fn check_words(&self, value: &str) -> Result<(), String> {
        match self.accepts {
            Accepts::NotEmpty if value.is_empty() => Err("must not be empty".to_owned()),
            Accepts::OneOf(known) => {
                let is_known = |word: &str| known.iter().any(|k| k.eq_ignore_ascii_case(word));
                let all_known = match self.key_type {
                    ConfigType::List => words(value).all(is_known),
                    _ => is_known(value),
                };
                if all_known {
                    Ok(())
                } else {
                    Err(format!("must be one of {}", known.join(", ")))
                }
            }
            _ => Ok(()),
        }
    }
}

/// The words of a list: separated by commas, blanks around them dropped, empty ones left out.
pub fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Writes rows as a table: name, type and default, update, accepted values, standing, text.
macro_rules! keys {
    ($($name:literal: $kind:ident $(= $default:literal)?, $update:ident, $accepts:ident $(($($bound:expr),*))?, $standing:ident, $text:literal;)*) => {
        &[$(
            $crate::config::table::KeyRow {
                name: $name,
                key_type: metadata::configs::ConfigType::$kind,
                default: keys!(@default $($default)?),
                update: $crate::config::table::Update::$update,
                accepts: $crate::config::table::Accepts::$accepts $(($($bound),*))?,
                standing: $crate::config::table::Standing::$standing,
                text: $text,
            },
        )*]
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use keys;
