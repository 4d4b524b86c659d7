//! Names of the files of a log: Kafka's, the base offset in twenty digits, of which a segment has four.

use std::fmt;

/// What the parts of a segment are called.
const EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// File name of a segment's part.
pub fn file_name(base_offset: i64, extension: &str) -> String {
    format!("{base_offset:020}.{extension}")
}

/// Base offset of a segment file with this extension.
pub fn base_offset_of(name: &str, extension: &str) -> Option<i64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// A name that is kept while its log is open: that of a segment's part takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileName {
    /// A part of a segment.
    Part {
        base_offset: i64,
        extension: &'static str,
    },
    /// Any other.
    Other(Box<str>),
}

impl From<String> for FileName {
    fn from(name: String) -> FileName {
        let part = |extension: &'static str| {
            let base_offset = base_offset_of(&name, extension)?;
            // Digits may be read that are written otherwise, with a sign.
            (file_name(base_offset, extension) == name).then_some(FileName::Part {
                base_offset,
                extension,
            })
        };
        match EXTENSIONS.into_iter().find_map(part) {
            Some(part) => part,
            None => FileName::Other(name.into()),
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Part {
                base_offset,
                extension,
            } => write!(f, "{base_offset:020}.{extension}"),
            FileName::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_kept_as_it_is() {
        for name in [
            "00000000000000000000.log",
            "00000000000000000000.index",
            "00000000000000004096.timeindex",
            "09223372036854775807.txnindex",
        ] {
            let kept = FileName::from(name.to_owned());
            assert!(matches!(kept, FileName::Part { .. }), "{name}");
            assert_eq!(kept.to_string(), name);
        }
        for name in [
            "+0000000000000000001.log",
            "-0000000000000000001.log",
            "0.log",
            "00000000000000000000.log.deleted",
            "00000000000000000000.log.cleaned",
            "99999999999999999999.log",
            "00000000000000000000.snapshot",
            ".log",
            "segment",
        ] {
            let kept = FileName::from(name.to_owned());
            assert_eq!(kept.to_string(), name);
        }
    }
}
