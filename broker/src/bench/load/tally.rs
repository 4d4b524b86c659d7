//! What a load saw: latencies, counts, and everything that went wrong.
//!
//! A thread keeps its own and they are added up in the end. Latencies stand in an HDR histogram in microseconds with three
//! significant digits, from 1 us to an hour.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use protocol_compat::ErrorCode;
use serde::Serialize;

/// The longest latency that is told apart.
const MAX_US: u64 = 3_600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Sentences about broken connections and the like that are kept; the rest is only counted.
const MAX_SENTENCES: usize = 5;

/// When what is sent counts.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// The first request is due.
    pub start: Instant,
    /// The warm-up is over.
    pub measure_from: Instant,
    /// Nothing is due any more.
    pub until: Instant,
    /// What is not answered then never will be.
    pub give_up: Instant,
}

impl Period {
    fn holds(&self, moment: Instant) -> bool {
        (self.measure_from..self.until).contains(&moment)
    }
}

/// What a thread saw.
#[derive(Clone, Debug)]
pub struct Tally {
    latency: Histogram<u64>,
    /// Requests answered within the period.
    pub requests: u64,
    /// Records that they carried or brought.
    pub records: u64,
    /// Bytes of record batches; of whole answers where these carry none.
    pub bytes: u64,
    /// Error codes in any answer, during warm-up too.
    pub errors: BTreeMap<i16, u64>,
    /// Answers without error that brought nothing where something is.
    pub short_answers: u64,
    /// Requests that were due and have no answer.
    pub unanswered: u64,
    /// Requests of an open loop that could not be sent when they were due, because as many as are allowed were in flight.
    pub delayed: u64,
    /// Requests that were sent again, because the broker did not lead the new partition yet.
    pub retried: u64,
    /// Connections that were closed or brought bytes that are no answer.
    pub broken_connections: u64,
    /// Topics that could not be deleted afterwards.
    pub left_behind: u64,
    /// What was wrong with the first of these.
    pub sentences: Vec<String>,
}

impl Tally {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            latency: Histogram::new_with_bounds(1, MAX_US, SIGNIFICANT_DIGITS)
                .expect("because the bounds are constants that a histogram takes"),
            requests: 0,
            records: 0,
            bytes: 0,
            errors: BTreeMap::new(),
            short_answers: 0,
            unanswered: 0,
            delayed: 0,
            retried: 0,
            broken_connections: 0,
            left_behind: 0,
            sentences: Vec::new(),
        }
    }

    /// A request that was due then was answered now. Its latency counts if it was due within the period, the rest if it
    /// was answered within it.
    pub fn answered(&mut self, period: &Period, due: Instant, now: Instant, records: u64, bytes: u64) {
        if period.holds(due) {
            self.took(now.saturating_duration_since(due));
        }
        if period.holds(now) {
            self.requests += 1;
            self.records += records;
            self.bytes += bytes;
        }
    }

    /// An answer held error codes.
    pub fn note_errors(&mut self, codes: &[i16]) {
        for code in codes {
            *self.errors.entry(*code).or_default() += 1;
        }
    }

    /// A request is given up. It counts with the time that it waited, so that what is never answered cannot look quick.
    pub fn never_answered(&mut self, period: &Period, due: Instant, now: Instant) {
        self.unanswered += 1;
        if period.holds(due) {
            self.took(now.saturating_duration_since(due));
        }
    }

    /// A connection can not be used any more.
    pub fn broke(&mut self, sentence: String) {
        self.broken_connections += 1;
        self.say(sentence);
    }

    /// A topic of the load could not be deleted.
    pub fn left_behind(&mut self, sentence: String) {
        self.left_behind += 1;
        self.say(sentence);
    }

    fn say(&mut self, sentence: String) {
        if self.sentences.len() < MAX_SENTENCES {
            self.sentences.push(sentence);
        }
    }

    fn took(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(MAX_US);
        self.latency.saturating_record(us.max(1));
    }

    /// Adds what another thread saw.
    pub fn add(&mut self, other: &Tally) {
        self.latency
            .add(&other.latency)
            .expect("because all histograms have the same bounds");
        self.requests += other.requests;
        self.records += other.records;
        self.bytes += other.bytes;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.short_answers += other.short_answers;
        self.unanswered += other.unanswered;
        self.delayed += other.delayed;
        self.retried += other.retried;
        self.broken_connections += other.broken_connections;
        self.left_behind += other.left_behind;
        let room = MAX_SENTENCES.saturating_sub(self.sentences.len());
        self.sentences.extend(other.sentences.iter().take(room).cloned());
    }

    /// The latencies so far.
    pub fn latency(&self) -> Latency {
        let at = |part| self.latency.value_at_quantile(part);
        Latency {
            count: self.latency.len(),
            mean: self.latency.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.latency.max(),
        }
    }

    /// Error codes by Kafka's names.
    pub fn errors_by_name(&self) -> BTreeMap<String, u64> {
        let by_name = self
            .errors
            .iter()
            .map(|(code, count)| (error_name(*code), *count));
        by_name.collect()
    }

    /// Whether every answer was there, whole and without error.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
            && self.short_answers == 0
            && self.unanswered == 0
            && self.broken_connections == 0
            && self.left_behind == 0
    }
}

/// Kafka's name of an error, or its number if it has none.
pub fn error_name(code: i16) -> String {
    match ErrorCode::from_code(code) {
        ErrorCode::UnknownServerError if code != -1 => format!("error {code}"),
        known => known.name().to_owned(),
    }
}

/// Latencies in microseconds. Three digits count; a percentile is the highest value that is equal to it in these.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Of so many requests.
    pub count: u64,
    /// On average.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// All but one in a hundred.
    pub p99: u64,
    /// All but one in a thousand.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn period(start: Instant) -> Period {
        Period {
            start,
            measure_from: start + 100 * MS,
            until: start + 200 * MS,
            give_up: start + 300 * MS,
        }
    }

    #[test]
    fn percentiles_are_those_of_all_threads_to_three_digits() {
        let start = Instant::now();
        let period = period(start);
        let mut all = Tally::new();
        for half in 0..2 {
            let mut tally = Tally::new();
            for us in (1..=1000).filter(|us| us % 2 == half) {
                let due = start + 150 * MS;
                tally.answered(&period, due, due + Duration::from_micros(us), 2, 10);
            }
            all.add(&tally);
        }
        let latency = all.latency();
        assert_eq!((latency.count, latency.max), (1000, 1000));
        assert_eq!((latency.p50, latency.p90, latency.p99), (500, 900, 990));
        assert_eq!(latency.p99_9, 999);
        assert!((latency.mean - 500.5).abs() < 0.01, "{latency:?}");
        assert_eq!((all.requests, all.records, all.bytes), (1000, 2000, 10_000));
    }

    #[test]
    fn latency_counts_by_when_it_was_due_and_throughput_by_when_it_was_done() {
        let start = Instant::now();
        let (period, mut tally) = (period(start), Tally::new());
        tally.answered(&period, start + 99 * MS, start + 100 * MS, 1, 1);
        assert_eq!((tally.latency().count, tally.requests), (0, 1));
        tally.answered(&period, start + 199 * MS, start + 250 * MS, 1, 1);
        assert_eq!((tally.latency().count, tally.requests), (1, 1));
        assert!(tally.is_clean());
    }

    #[test]
    fn what_is_never_answered_is_slow_and_not_clean() {
        let start = Instant::now();
        let (period, mut tally) = (period(start), Tally::new());
        tally.never_answered(&period, start + 100 * MS, start + 300 * MS);
        assert_eq!(tally.latency().max / 1000, 200);
        assert!(!tally.is_clean());
    }

    #[test]
    fn errors_are_counted_by_kafkas_names() {
        let mut tally = Tally::new();
        tally.note_errors(&[6, 6, 9999]);
        tally.note_errors(&[-1]);
        let named = tally.errors_by_name();
        assert_eq!(named.get("NOT_LEADER_OR_FOLLOWER"), Some(&2));
        assert_eq!(named.get("error 9999"), Some(&1));
        assert_eq!(named.get("UNKNOWN_SERVER_ERROR"), Some(&1));
        assert!(!tally.is_clean());
    }
}
