//! The one table of the node's keys: it feeds the parser, DescribeConfigs and the documentation.
//!
//! A key that is not here is unknown and stops the start. One file per subject; what a row means is in `row.rs`.

mod cauce;
mod cluster;
mod groups;
mod log;
mod network;
mod row;
mod security;
mod tiered;
mod transactions;

pub use self::row::{Accepts, KeyRow, Standing, Update, words};

/// Every key, subject by subject.
pub fn rows() -> impl Iterator<Item = &'static KeyRow> {
    [
        cauce::ROWS,
        cluster::ROWS,
        groups::ROWS,
        log::ROWS,
        network::ROWS,
        security::ROWS,
        tiered::ROWS,
        transactions::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The row of a key.
pub fn find(name: &str) -> Option<&'static KeyRow> {
    rows().find(|row| row.name == name)
}

/// The known key that looks most like `name`, if one looks enough like it to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let (distance, nearest) = rows()
        .map(|row| (edit_distance(name, row.name), row.name))
        .min()?;
    (distance <= name.len().max(nearest.len()) / 3).then_some(nearest)
}

/// How many characters must be inserted, deleted or replaced to make one text of the other (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_key_has_two_rows() {
        let names: BTreeSet<&str> = rows().map(|row| row.name).collect();
        assert_eq!(names.len(), rows().count());
    }

    #[test]
    fn every_default_is_a_value_that_its_key_accepts() {
        // Kafka's own defaults of these lists are empty although its validator wants an entry when one is set.
        let exempt = ["controller.quorum.bootstrap.servers", "controller.quorum.voters"];
        for row in rows().filter(|row| !exempt.contains(&row.name)) {
            if let Some(default) = row.default {
                assert_eq!(row.check(default), Ok(()), "{}", row.name);
            }
        }
    }

    #[test]
    fn every_row_says_something() {
        for row in rows() {
            assert!(row.text.len() > 10, "{}", row.name);
            assert_eq!(
                row.text.ends_with('.'),
                row.standing == Standing::Honoured,
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn a_misspelled_key_finds_its_neighbour() {
        assert_eq!(nearest("log.retention.hour"), Some("log.retention.hours"));
        assert_eq!(nearest("advertised.listener"), Some("advertised.listeners"));
        assert_eq!(nearest("zookeeper.connect"), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn values_out_of_range_are_told_the_range() {
        let segment = find("log.segment.bytes").expect("a row");
        assert!(segment.check("1").unwrap_err().contains("1048576"));
        assert!(segment.check("many").is_err());
        assert!(segment.check("99999999999").is_err());
        let gzip = find("compression.gzip.level").expect("a row");
        assert_eq!((gzip.check("-1"), gzip.check("9")), (Ok(()), Ok(())));
        assert!(gzip.check("0").is_err());
        let policy = find("log.cleanup.policy").expect("a row");
        assert_eq!(policy.check("compact, delete"), Ok(()));
        assert!(policy.check("compact,burn").is_err());
    }
}
