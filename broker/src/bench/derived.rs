//! The limits that benchmarks are held against, taken from the figures of one run.
//!
//! | name | is |
//! | --- | --- |
//! | L-produce-new | the sink into a new file on warm memory |
//! | L-produce | the sink over resident pages |
//! | L-fetch | the best source of all, and the best from a file |
//! | L-flush | an append of 4 KiB that is made durable |

use serde::Serialize;

use super::flush::FlushRow;
use super::percentiles::Percentiles;
use super::sink::{SinkRow, Target};
use super::source::SourceRow;
use super::stream::Stream;

/// Of the appends that stand for a flush.
const FLUSH_BYTES: usize = 4 << 10;

/// All limits that the measured parts give.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Limits {
    /// In bytes a second and processor time.
    pub throughput: Vec<ThroughputLimit>,
    /// In time.
    pub flush: Vec<FlushLimit>,
}

/// No broker on this machine does the same faster or cheaper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputLimit {
    /// As in the table above.
    pub name: &'static str,
    /// What was measured.
    pub of: String,
    /// Under which setting.
    pub congestion_control: String,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// Of the thread in a broker's place.
    pub cpu_s_per_gb: f64,
}

/// No acknowledgement that survives a power cut comes sooner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlushLimit {
    /// As in the table above.
    pub name: &'static str,
    /// What was measured.
    pub of: String,
    /// Until it is durable.
    #[serde(flatten)]
    pub took: Percentiles,
}

impl Limits {
    /// Each limit under each setting; none for what was not measured.
    pub fn of(sink: &[SinkRow], source: &[SourceRow], flush: &[FlushRow]) -> Self {
        Self {
            throughput: of_sink(sink).chain(of_source(source)).collect(),
            flush: of_flush(flush).collect(),
        }
    }
}

fn of_sink(rows: &[SinkRow]) -> impl Iterator<Item = ThroughputLimit> {
    let named = |row: &SinkRow| {
        let name = match row.target {
            Target::Nothing => return None,
            Target::NewFile => "L-produce-new",
            Target::RecycledWindow => "L-produce",
        };
        let of = format!("sink, {}", row.target.name());
        Some(limit(name, of, &row.stream, row.stream.receiver_cpu_s_per_gb))
    };
    rows.iter().filter_map(named)
}

fn of_source(rows: &[SourceRow]) -> impl Iterator<Item = ThroughputLimit> {
    let fastest = |name, wanted: fn(&SourceRow) -> bool| {
        let mut best: Vec<&SourceRow> = Vec::new();
        for row in rows.iter().filter(|row| wanted(row)) {
            let same_setting =
                |other: &&mut &SourceRow| other.stream.congestion_control == row.stream.congestion_control;
            match best.iter_mut().find(same_setting) {
                None => best.push(row),
                Some(other) if other.stream.gb_per_s < row.stream.gb_per_s => *other = row,
                Some(_) => {}
            }
        }
        best.into_iter().map(move |row| {
            let of = format!("source, {}", row.way.name());
            limit(name, of, &row.stream, row.stream.sender_cpu_s_per_gb)
        })
    };
    fastest("L-fetch", |_| true).chain(fastest("L-fetch, from a file", |row| row.way.is_from_file()))
}

fn limit(name: &'static str, of: String, stream: &Stream, cpu_s_per_gb: f64) -> ThroughputLimit {
    ThroughputLimit {
        name,
        of,
        congestion_control: stream.congestion_control.clone(),
        gb_per_s: stream.gb_per_s,
        cpu_s_per_gb,
    }
}

fn of_flush(rows: &[FlushRow]) -> impl Iterator<Item = FlushLimit> {
    let small = rows.iter().filter(|row| row.bytes == FLUSH_BYTES);
    small.map(|row| FlushLimit {
        name: "L-flush",
        of: format!("flush, 4 KiB, {}, files: {}", row.kind.name(), row.files),
        took: row.took,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::flush::Kind;
    use crate::bench::source::Way;

    fn stream(congestion_control: &str, gb_per_s: f64) -> Stream {
        Stream {
            congestion_control: congestion_control.to_owned(),
            cores: 2,
            gb_per_s,
            sender_cpu_s_per_gb: 0.25,
            receiver_cpu_s_per_gb: 0.5,
        }
    }

    #[test]
    fn produce_is_what_the_receiver_of_a_file_pays() {
        let row = |target| SinkRow {
            target,
            stream: stream("cubic", 2.0),
        };
        let rows = [Target::Nothing, Target::NewFile, Target::RecycledWindow].map(row);
        let found = Limits::of(&rows, &[], &[]).throughput;
        let names: Vec<_> = found.iter().map(|limit| limit.name).collect();
        assert_eq!(names, ["L-produce-new", "L-produce"]);
        assert!(found.iter().all(|limit| limit.cpu_s_per_gb == 0.5), "{found:?}");
    }

    #[test]
    fn fetch_is_the_fastest_way_under_each_setting() {
        let row = |way, setting, gb_per_s| SourceRow {
            way,
            stream: stream(setting, gb_per_s),
        };
        let rows = [
            row(Way::Sendfile, "bbr", 1.0),
            row(Way::Splice, "bbr", 3.0),
            row(Way::MemoryAndSend, "bbr", 2.0),
            row(Way::Sendfile, "cubic", 4.0),
            row(Way::MemoryAndSend, "cubic", 9.0),
        ];
        let found = Limits::of(&[], &rows, &[]).throughput;
        let seen: Vec<_> = found
            .iter()
            .map(|limit| (limit.name, limit.of.as_str(), limit.gb_per_s, limit.cpu_s_per_gb))
            .collect();
        let expected = [
            ("L-fetch", "source, splice", 3.0, 0.25),
            ("L-fetch", "source, memory + send", 9.0, 0.25),
            ("L-fetch, from a file", "source, splice", 3.0, 0.25),
            ("L-fetch, from a file", "source, sendfile", 4.0, 0.25),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn flush_is_the_small_append() {
        let row = |bytes| FlushRow {
            bytes,
            kind: Kind::Recycled,
            files: 10,
            flushes_per_s: 1.0,
            took: Percentiles {
                p50_us: 90.0,
                p99_us: 150.0,
            },
        };
        let found = Limits::of(&[], &[], &[row(64 << 10), row(4 << 10)]).flush;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].of, "flush, 4 KiB, recycled, files: 10");
        assert_eq!(found[0].took.p99_us, 150.0);
    }

    #[test]
    fn nothing_measured_gives_no_limit() {
        let none = Limits::of(&[], &[], &[]);
        assert!(none.throughput.is_empty() && none.flush.is_empty());
    }
}
