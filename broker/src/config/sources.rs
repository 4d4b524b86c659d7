//! Where values come from, weakest first: `KAFKA_*` environment variables as in the apache/kafka image, the properties
//! file, `--override`.
//!
//! The only reader of files and environment in `config`. An unknown `KAFKA_*` variable may belong to another program of
//! the same shell, so it is reported and left; an unknown key of the file or of an override stops the start.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::settings::Settings;

/// What the command line names.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// Environment variables, name and value.
    pub environment: Vec<(String, String)>,
    /// The properties file.
    pub file: Option<PathBuf>,
    /// `key=value` texts, the last one of a key winning.
    pub overrides: Vec<String>,
}

/// Variables of the image that are no keys of the broker.
const NOT_KEYS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HOME",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_PORT",
];

/// Reads every source. The texts that come with the settings are sentences to report once logging is up.
///
/// # Errors
/// The first source that cannot be read or value that cannot be used.
pub fn read_settings(sources: &ConfigSources) -> Result<(Settings, Vec<String>), ConfigError> {
    let mut settings = Settings::default();
    let mut reports = Vec::new();
    for (name, value) in &sources.environment {
        let Some(key) = key_of_variable(name) else {
            continue;
        };
        match settings.set(&key, value, &format!("environment variable {name}")) {
            Err(ConfigError::UnknownKey { key, nearest, .. }) => {
                reports.push(unknown_variable(name, &key, nearest))
            }
            outcome => outcome?,
        }
    }
    if let Some(path) = &sources.file {
        for (key, value) in read_properties(path)? {
            settings.set(&key, &value, &path.display().to_string())?;
        }
    }
    for text in &sources.overrides {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| ConfigError::NotAnOverride(text.clone()))?;
        settings.set(key, value, "--override")?;
    }
    Ok((settings, reports))
}

fn unknown_variable(name: &str, key: &str, nearest: Option<&str>) -> String {
    let meant = nearest
        .map(|nearest| format!(", did you mean {nearest}?"))
        .unwrap_or_default();
    format!("environment variable {name} stands for the unknown key {key} and is left alone{meant}")
}

/// `KAFKA_LOG_DIRS` is `log.dirs`; two underscores are one, three are a hyphen.
fn key_of_variable(name: &str) -> Option<String> {
    if NOT_KEYS.contains(&name) {
        return None;
    }
    let rest = name.strip_prefix("KAFKA_")?.to_ascii_lowercase();
    Some(rest.replace('_', ".").replace("...", "-").replace("..", "_"))
}

fn read_properties(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let bytes = std::fs::read(path).map_err(|cause| ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    parse_properties(&bytes).map_err(|cause| ConfigError::NotProperties {
        path: path.to_owned(),
        cause,
    })
}

/// The keys and values of a properties file, in its order; of a key that stands there twice the last one counts. As in Java
/// each byte is a character of ISO-8859-1, whatever stands first.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub fn parse_properties(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let bytes = with_escapes(bytes);
    java_properties::PropertiesIter::new(bytes.as_slice())
        .read_into(|key, value| pairs.push((key, value)))
        .map_err(|cause| cause.to_string())?;
    Ok(pairs)
}

/// The same text in ASCII. The parser would look for a byte order mark, take the rest for another encoding, and panic where
/// it is not one.
fn with_escapes(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    // Whether a backslash stands before that is not escaped itself: it becomes that of the escape, as it would be dropped.
    let mut is_escaped = false;
    for byte in bytes {
        if byte.is_ascii() {
            text.push(*byte);
            is_escaped = *byte == b'\\' && !is_escaped;
        } else {
            let escape = format!("\\u{byte:04x}");
            text.extend_from_slice(
                escape
                    .get(usize::from(is_escaped)..)
                    .unwrap_or_default()
                    .as_bytes(),
            );
            is_escaped = false;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_ascii_are_characters_of_iso_8859_1_wherever_they_stand() {
        let cases: [(&[u8], &str, &str); 6] = [
            (b"\xfe\xff\xff\xff=x?\n", "\u{fe}\u{ff}\u{ff}\u{ff}", "x?"),
            (b"\xff\xfea=1", "\u{ff}\u{fe}a", "1"),
            (b"\xef\xbb\xbfa=1", "\u{ef}\u{bb}\u{bf}a", "1"),
            (b"a=\x80\xe9", "a", "\u{80}\u{e9}"),
            (b"a=\\\xe9\\\\\xe9", "a", "\u{e9}\\\u{e9}"),
            (b"a=b\\\n  \xe9", "a", "b\u{e9}"),
        ];
        for (bytes, key, value) in cases {
            let parsed = parse_properties(bytes);
            assert_eq!(
                parsed,
                Ok(vec![(key.to_owned(), value.to_owned())]),
                "{bytes:02x?}"
            );
        }
    }

    fn variable(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn variables_are_named_as_in_the_image() {
        assert_eq!(key_of_variable("KAFKA_LOG_DIRS").as_deref(), Some("log.dirs"));
        assert_eq!(key_of_variable("KAFKA_A__B___C").as_deref(), Some("a_b-c"));
        assert_eq!(key_of_variable("KAFKA_HEAP_OPTS"), None);
        assert_eq!(key_of_variable("PATH"), None);
    }

    #[test]
    fn overrides_beat_the_file_and_the_file_beats_the_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("server.properties");
        std::fs::write(&file, "# comment\nnum.partitions = 2\nbroker.rack=a\\\n b\n").expect("a file");
        let sources = ConfigSources {
            environment: vec![
                variable("KAFKA_NUM_PARTITIONS", "1"),
                variable("KAFKA_NODE_ID", "7"),
            ],
            file: Some(file),
            overrides: vec!["num.partitions=3".to_owned()],
        };
        let (settings, reports) = read_settings(&sources).expect("settings");
        assert_eq!(settings.text("num.partitions"), Some("3"));
        assert_eq!(settings.text("node.id"), Some("7"));
        assert_eq!(settings.text("broker.rack"), Some("ab"));
        assert!(reports.is_empty());
    }

    #[test]
    fn a_stray_variable_is_reported_and_a_stray_key_stops_the_start() {
        let mut sources = ConfigSources {
            environment: vec![variable("KAFKA_LOG_DIR_S", "x")],
            ..ConfigSources::default()
        };
        let (_, reports) = read_settings(&sources).expect("settings");
        assert!(
            reports[0].contains("KAFKA_LOG_DIR_S") && reports[0].contains("log.dirs"),
            "{reports:?}"
        );
        sources.overrides.push("log.dir.s=x".to_owned());
        assert!(matches!(
            read_settings(&sources),
            Err(ConfigError::UnknownKey { .. })
        ));
        sources.overrides = vec!["log.dirs".to_owned()];
        assert!(matches!(
            read_settings(&sources),
            Err(ConfigError::NotAnOverride(_))
        ));
    }
}
