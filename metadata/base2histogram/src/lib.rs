//! Stands in for the crate of this name, which openraft counts its batches and stages with.
//!
//! That crate fills lookup tables for sixteen resolutions at its first use, of which openraft uses one: 25 MiB and some ten
//! milliseconds of every node's start. Here is what openraft calls, and nothing else: counts in buckets whose width grows
//! with the value, four to each power of two, so that a percentile is at most a quarter too low. Why this is a patch and not a wish:
//! `docs/decisions/0030-a-small-histogram-under-openraft.md`.

use std::fmt;
use std::marker::PhantomData;

/// Values below this have a bucket each.
const EXACT: u64 = 8;
/// Two bits behind the leading one choose the bucket.
const SUB_BITS: u32 = 2;
/// The exact ones, and four for each of the 61 powers of two from 8 on.
const BUCKETS: usize = 8 + 61 * 4;

/// Counts of values. `T` is openraft's name for what one period carries; no period is kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Vec<u64>,
    total: u64,
    period: PhantomData<T>,
}

/// Percentiles of a histogram: lower bounds of the buckets they fall in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field names say which percentile")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

/// Histograms one above the other, as text.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    rows: Vec<(String, Histogram)>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

impl<T> Histogram<T> {
    /// An empty histogram, which owns no memory.
    pub fn new() -> Histogram<T> {
        Histogram {
            counts: Vec::new(),
            total: 0,
            period: PhantomData,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `times` times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        if let Some(count) = self.counts.get_mut(bucket_of(value)) {
            *count += times;
            self.total += times;
        }
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The lower bound of the bucket in which the share `p` (0 to 1) of all values is reached; 0 if there are none.
    pub fn percentile(&self, p: f64) -> u64 {
        let wanted = ((self.total as f64 * p).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return lower_bound(bucket);
            }
        }
        0
    }

    /// The usual percentiles.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total,
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.10),
            p50: self.percentile(0.50),
            p90: self.percentile(0.90),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PercentileStats {
            samples,
            p1,
            p50,
            p90,
            p99,
            p99_9,
            ..
        } = self;
        write!(
            f,
            "{samples} samples, p1 {p1}, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}"
        )
    }
}

impl AsciiChart {
    /// An empty chart.
    pub fn new() -> AsciiChart {
        AsciiChart::default()
    }

    /// Adds a histogram under a name.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> AsciiChart {
        self.rows.push((name.into(), histogram));
        self
    }

    /// The chart with one line a histogram; there is no shorter form.
    #[must_use]
    pub fn detailed(self) -> AsciiChart {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.rows {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let power = value.ilog2();
    let sub = (value >> (power - SUB_BITS)) & 3;
    EXACT as usize + ((power - EXACT.ilog2()) as usize) * 4 + sub as usize
}

fn lower_bound(bucket: usize) -> u64 {
    let Some(above) = (bucket as u64).checked_sub(EXACT) else {
        return bucket as u64;
    };
    let power = EXACT.ilog2() + (above / 4) as u32;
    (1 << power) + ((above % 4) << (power - SUB_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_that_begins_at_or_below_it() {
        let values = (0..70_000)
            .chain((0..64).flat_map(|p| [1u64 << p, (1u64 << p) - 1]))
            .chain([u64::MAX]);
        for value in values {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS && lower_bound(bucket) <= value, "{value}");
            assert!(
                bucket + 1 == BUCKETS || lower_bound(bucket + 1) > value,
                "{value}"
            );
        }
    }

    #[test]
    fn percentiles_come_from_the_counts() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p50, 0);
        for value in 1..=100 {
            histogram.record(value);
        }
        assert_eq!(
            (
                histogram.total(),
                histogram.percentile(0.5),
                histogram.percentile(0.01)
            ),
            (100, 48, 1)
        );
    }
}
