//! What was set, by whom: texts that passed the table, the last source winning.
//!
//! Values keep their text, because DescribeConfigs shows it and the topic keys read it.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::table::{self, KeyRow, Standing};

/// One value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    value: String,
    origin: String,
}

/// The keys that somebody set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    set: BTreeMap<&'static str, Setting>,
}

impl Settings {
    /// Sets a key, over what was set before. `origin` is where the value was found, for messages.
    ///
    /// # Errors
    /// A key that the table does not have, or a value that the key does not accept.
    pub fn set(&mut self, key: &str, value: &str, origin: &str) -> Result<(), ConfigError> {
        let Some(row) = table::find(key.trim()) else {
            return Err(ConfigError::UnknownKey {
                key: key.to_owned(),
                origin: origin.to_owned(),
                nearest: table::nearest(key),
            });
        };
        let setting = Setting {
            value: value.trim().to_owned(),
            origin: origin.to_owned(),
        };
        check_standing(row, &setting)?;
        row.check(value).map_err(|wanted| ConfigError::InvalidValue {
            key: row.name,
            wanted,
            value: shown(row, &setting.value),
            origin: origin.to_owned(),
        })?;
        self.set.insert(row.name, setting);
        Ok(())
    }

    /// The value that somebody set.
    pub fn explicit(&self, key: &str) -> Option<&str> {
        self.set.get(key).map(|setting| setting.value.as_str())
    }

    /// The value that somebody set, else the default of the table; `None` where neither exists.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.explicit(key).or_else(|| table::find(key)?.default)
    }

    /// Every value that somebody set, by key.
    pub fn from_file(&self) -> BTreeMap<String, String> {
        let pairs = self.set.iter();
        pairs
            .map(|(key, setting)| ((*key).to_owned(), setting.value.clone()))
            .collect()
    }

    /// One sentence per reason that names the keys whose values have no effect here.
    pub fn without_effect(&self) -> Vec<String> {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, setting) in &self.set {
            let Some(row) = table::find(key) else { continue };
            if row.standing == Standing::NoEffect && differs(row, &setting.value) {
                by_reason.entry(row.text).or_default().push(row.name);
            }
        }
        let sentences = by_reason.into_iter();
        sentences
            .map(|(reason, keys)| format!("no effect of {}: {reason}", keys.join(", ")))
            .collect()
    }

    /// A value that another key or the rest of the node does not accept.
    pub(super) fn refuse(&self, key: &'static str, wanted: impl Into<String>) -> ConfigError {
        let setting = self.set.get(key);
        ConfigError::InvalidValue {
            key,
            wanted: wanted.into(),
            value: self.text(key).unwrap_or_default().to_owned(),
            origin: setting.map_or_else(|| "default".to_owned(), |setting| setting.origin.clone()),
        }
    }
}

fn differs(row: &KeyRow, value: &str) -> bool {
    !row.default.is_some_and(|default| row.same_value(default, value))
}

fn check_standing(row: &'static KeyRow, setting: &Setting) -> Result<(), ConfigError> {
    let harmless = setting.value.is_empty() && row.default.is_none_or(str::is_empty);
    if row.standing == Standing::Refused && !harmless && differs(row, &setting.value) {
        return Err(ConfigError::NotBuilt {
            key: row.name,
            value: shown(row, &setting.value),
            origin: setting.origin.clone(),
            reason: row.text.to_owned(),
        });
    }
    Ok(())
}

fn shown(row: &KeyRow, value: &str) -> String {
    if row.is_secret() {
        "[hidden]".to_owned()
    } else {
        format!("\"{value}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_source_wins() {
        let mut settings = Settings::default();
        assert_eq!(settings.text("num.partitions"), Some("1"));
        settings.set("num.partitions", "2", "file").expect("a value");
        settings
            .set("num.partitions", " 3 ", "--override")
            .expect("a value");
        assert_eq!(settings.text("num.partitions"), Some("3"));
        assert_eq!(settings.explicit("broker.rack"), None);
    }

    #[test]
    fn an_unknown_key_is_told_its_neighbour() {
        let error = Settings::default()
            .set("num.partition", "2", "server.properties")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown key num.partition (server.properties), did you mean num.partitions?"
        );
    }

    #[test]
    fn what_is_not_built_is_refused_unless_it_is_the_default() {
        let mut settings = Settings::default();
        settings
            .set("security.inter.broker.protocol", "PLAINTEXT", "file")
            .expect("the default");
        settings
            .set("ssl.keystore.location", "", "file")
            .expect("nothing");
        let error = settings
            .set("ssl.keystore.password", "secret", "file")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ssl.keystore.password") && error.contains("not built"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn keys_without_effect_are_named_with_the_reason() {
        let mut settings = Settings::default();
        settings.set("num.io.threads", "8", "file").expect("the default");
        settings.set("num.network.threads", "9", "file").expect("a value");
        settings.set("background.threads", "3", "file").expect("a value");
        let sentences = settings.without_effect();
        assert_eq!(sentences.len(), 1);
        assert!(sentences[0].starts_with("no effect of background.threads, num.network.threads: "));
    }
}
