//! Random histories of a compacted partition against a model: appends in every codec, idempotent producers, tombstones,
//! rolls, cleanings with small maps, clean stops, kills, and power cuts at every kind of call, the cleaner's included.
//!
//! `CAUCE_CLEANER_HISTORIES` sets how many are run; `CAUCE_CLEANER_SEED` where they begin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::record::{DecompressionLimit, records};
use protocol_compat::{TopicId, TopicPartition};
use uuid::Uuid;

use super::{CleanerSettings, MapSecret, Pace};
use crate::checkpoints::OffsetCheckpoint;
use crate::disk::{Disk, SimDisk, SimFault};
use crate::log::config::{CleanableRatio, CleanupPolicy};
use crate::log::{AppendOrigin, LogConfig, PartitionLog};
use crate::log_dirs::NodeIdentity;
use crate::log_manager::{LogManager, LogManagerConfig};

const DELETE_RETENTION_MS: i64 = 1_000;
const LIMIT: DecompressionLimit = DecompressionLimit(1 << 20);

/// SplitMix64.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Goes on for ever.
pub(super) struct Unhurried;

impl Pace for Unhurried {
    fn moved(&mut self, _bytes: u64) -> bool {
        true
    }
}

pub(super) fn settings(map_keys: u64) -> CleanerSettings {
    CleanerSettings {
        map_bytes: map_keys * 24,
        load_factor: 1.0,
        io_buffer_bytes: 200,
        secret: MapSecret(1, 2),
    }
}

pub(super) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 64,
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        min_cleanable_dirty_ratio: CleanableRatio::new(0.0),
        delete_retention_ms: DELETE_RETENTION_MS,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

pub(super) fn partition() -> TopicPartition {
    TopicPartition::new("table", 0)
}

/// A manager on the disk; `boot` tells the machine's lives apart.
pub(super) fn manager(sim: &SimDisk, boot: u64) -> LogManager {
    let config = LogManagerConfig {
        identity: NodeIdentity {
            node_id: 1,
            cluster_id: None,
        },
        boot_id: Some(boot.to_string()),
        max_open_files: 6,
        flush_threads: 1,
        flush_journal_bytes: 1 << 18,
        reserve_bytes: 0,
        append_watch: None,
    };
    let mut next = 0;
    let new_id = Box::new(move || {
        next += 1;
        Uuid::from_u128(next)
    });
    LogManager::open(&Disk::simulated(sim), &[PathBuf::from("/data")], config, new_id).unwrap()
}

pub(super) fn open(manager: &LogManager, config: LogConfig, now_ms: i64) -> Arc<PartitionLog> {
    let id = TopicId(Uuid::from_u128(77));
    manager
        .get_or_open(&partition(), id, Arc::new(config), None, now_ms)
        .unwrap()
}

/// Offset, key and value of every record from the log's start on.
pub(super) fn read_all(log: &PartitionLog) -> Vec<(i64, Vec<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let read = log.read(offset, 300, log.log_end_offset(), true).unwrap();
        if read.records.is_empty() {
            return found;
        }
        let mut rest = read.records.as_ref();
        while !rest.is_empty() {
            let (batch, after) = RecordBatch::split_first(rest).unwrap();
            batch.verify_checksum().unwrap();
            let mut scratch = Vec::new();
            for record in records(&batch, &mut scratch, LIMIT).unwrap() {
                let record = record.unwrap();
                if !batch.is_control() && record.offset >= offset {
                    let value = record.value.map(<[u8]>::to_vec);
                    found.push((record.offset, record.key.unwrap().to_vec(), value));
                }
            }
            rest = after;
        }
        offset = read.next_offset;
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Written {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// Time of the first cleaning that could have met it.
    first_cleaning_ms: Option<i64>,
}

/// The partition, and what is known of it.
struct Run {
    random: Random,
    sim: SimDisk,
    manager: LogManager,
    log: Arc<PartitionLog>,
    boot: u64,
    now_ms: i64,
    written: Vec<Written>,
    /// No cleaning has touched anything from here on.
    untouched_from: i64,
    last_cleaning_ms: i64,
    /// Whether the last cleaning came to its end.
    has_cleaned: bool,
    /// The append that the power cut met.
    in_flight: Vec<Written>,
    sequence: i32,
    trace: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let sim = SimDisk::new(seed, 1 << 24);
        let manager = manager(&sim, 0);
        let log = open(&manager, config(), 0);
        Run {
            random: Random(seed),
            sim,
            manager,
            log,
            boot: 0,
            now_ms: 1_000,
            written: Vec::new(),
            untouched_from: 0,
            last_cleaning_ms: 0,
            has_cleaned: false,
            in_flight: Vec::new(),
            sequence: 0,
            trace: vec![format!("seed {seed}")],
        }
    }

    fn append(&mut self) {
        let codecs = [
            Compression::None,
            Compression::None,
            Compression::Lz4,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Zstd,
        ];
        let codec = codecs[self.random.below(6) as usize];
        let producer = (self.random.below(2) == 0).then_some((9, 0, self.sequence));
        let mut builder = BatchBuilder::new(0, codec, TimestampType::CreateTime, producer, -1);
        let mut batch = Vec::new();
        for _ in 0..=self.random.below(4) {
            let key = vec![b'k', self.random.below(7) as u8];
            let number = self.written.len() + batch.len();
            let value = (self.random.below(4) > 0).then(|| format!("value {number}").into_bytes());
            let headers: [(&str, Option<&[u8]>); 2] = [("same", Some(b"1")), ("same", None)];
            builder.append(self.now_ms, Some(&key), value.as_deref(), &headers);
            batch.push(Written {
                key,
                value,
                first_cleaning_ms: None,
            });
        }
        let appended = self
            .log
            .append_as_leader(builder.build(), 0, AppendOrigin::Client, self.now_ms);
        let Ok(info) = appended else {
            assert!(self.sim.is_cut(), "{appended:?}");
            // Not acknowledged, and on the disk all the same perhaps.
            self.in_flight = batch;
            return;
        };
        assert_eq!(info.first_offset, self.written.len() as i64);
        if producer.is_some() {
            self.sequence += batch.len() as i32;
        }
        self.written.extend(batch);
        self.log.update_high_watermark(self.log.log_end_offset());
    }

    fn clean(&mut self) {
        let active = self
            .log
            .segments()
            .last()
            .map_or(0, |segment| segment.base_offset);
        self.untouched_from = self.untouched_from.max(active);
        for written in self.written.iter_mut().take(active as usize) {
            written.first_cleaning_ms.get_or_insert(self.now_ms);
        }
        self.last_cleaning_ms = self.now_ms;
        let map_keys = 2 + self.random.below(12);
        let before = self.manager.cleaner_status().cleanings;
        self.manager
            .clean_next(&settings(map_keys), self.now_ms, &mut Unhurried);
        self.has_cleaned = self.manager.cleaner_status().cleanings > before;
    }

    /// Below what was cleaned, a key stands once.
    fn check_cleaned(&mut self) {
        let claims = crate::checkpoints::read(
            &Disk::simulated(&self.sim),
            &PathBuf::from("/data"),
            OffsetCheckpoint::CleanerOffset,
        );
        let end = claims.unwrap()[&partition()];
        let mut keys = BTreeSet::new();
        for (offset, key, _) in read_all(&self.log)
            .into_iter()
            .filter(|(offset, ..)| *offset < end)
        {
            assert!(
                keys.insert(key),
                "offset {offset} repeats a key below {end}, {:#?}",
                self.trace
            );
        }
    }

    /// What the log holds is what it may hold.
    fn check(&self) {
        let found = read_all(&self.log);
        let by_offset: BTreeMap<i64, _> = found
            .iter()
            .map(|(offset, key, value)| (*offset, (key, value)))
            .collect();
        let trace = &self.trace;
        assert_eq!(by_offset.len(), found.len(), "an offset came twice, {trace:#?}");
        assert!(
            found.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "order, {trace:#?}"
        );
        for (offset, (key, value)) in &by_offset {
            let written = &self.written[*offset as usize];
            assert_eq!(
                (*key, *value),
                (&written.key, &written.value),
                "offset {offset}, {trace:#?}"
            );
        }
        let mut last_of_key = BTreeMap::new();
        for (offset, written) in self.written.iter().enumerate() {
            last_of_key.insert(&written.key, (offset as i64, written));
            let is_untouched = offset as i64 >= self.untouched_from;
            assert!(
                !is_untouched || by_offset.contains_key(&(offset as i64)),
                "offset {offset} was above what could be cleaned, {trace:#?}"
            );
        }
        for (offset, written) in last_of_key.values() {
            let may_be_gone = written.value.is_none()
                && written
                    .first_cleaning_ms
                    .is_some_and(|first| self.last_cleaning_ms >= first + DELETE_RETENTION_MS);
            assert!(
                may_be_gone || by_offset.contains_key(offset),
                "the last record of {:?} at {offset} is gone, {trace:#?}",
                written.key
            );
        }
    }

    /// Starts again after a stop of the kind; what was not flushed may be gone from the end.
    fn restart(&mut self, kind: u64) {
        let producers = self.log.producers();
        let flushed = self.log.flushed_offset();
        let was_cut = self.sim.is_cut();
        match kind {
            0 if !was_cut => {
                self.manager.shutdown_cleanly(1);
                self.sim.restart_process();
            }
            1 if !was_cut => self.sim.restart_process(),
            _ => {
                self.sim.cut_power();
                self.boot += 1;
                self.sim.restart();
            }
        }
        let lost_power = was_cut || kind > 1;
        self.manager = manager(&self.sim, self.boot);
        self.log = open(&self.manager, config(), self.now_ms);
        let end = self.log.log_end_offset();
        let in_flight = std::mem::take(&mut self.in_flight);
        if end > self.written.len() as i64 {
            self.written.extend(in_flight);
        }
        let known = self.written.len() as i64;
        if lost_power {
            assert!(
                end >= flushed && end <= known,
                "{flushed} {end} {known}, {:#?}",
                self.trace
            );
            self.written.truncate(end as usize);
        } else {
            assert_eq!(end, known, "{:#?}", self.trace);
            let sequences = |producers: Vec<(i64, crate::log::ProducerEntry)>| -> Vec<(i64, i32)> {
                producers
                    .iter()
                    .map(|(id, entry)| (*id, entry.last_sequence()))
                    .collect()
            };
            assert_eq!(
                sequences(self.log.producers()),
                sequences(producers),
                "{:#?}",
                self.trace
            );
        }
        let producer = self.log.producers().into_iter().find(|(id, _)| *id == 9);
        self.sequence = producer.map_or(0, |(_, entry)| entry.last_sequence() + 1);
        self.log.update_high_watermark(end);
    }

    fn turn(&mut self) {
        self.now_ms += self.random.below(400) as i64;
        let choice = self.random.below(20);
        self.trace.push(format!("{choice} at {} ms", self.now_ms));
        match choice {
            0..10 => self.append(),
            10..14 => {
                self.clean();
                if self.has_cleaned {
                    self.check_cleaned();
                }
            }
            14 => drop(self.log.flush_all()),
            15 => drop(self.log.roll(self.now_ms)),
            16 => self.manager.checkpoint_pass(&[OffsetCheckpoint::RecoveryPoint]),
            17 => drop(self.manager.removal_pass(self.now_ms)),
            18 => {
                let kind = self.random.below(3);
                self.restart(kind);
            }
            _ => {
                // The power goes at a call of what comes next, mostly the cleaner's.
                let at = self.sim.calls() + self.random.below(60);
                self.sim.fail_at(at, SimFault::PowerCut);
                for _ in 0..3 {
                    if !self.sim.is_cut() {
                        self.clean();
                    }
                    if !self.sim.is_cut() {
                        self.append();
                    }
                }
                self.restart(2);
            }
        }
        self.check();
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn whatever_happens_the_last_record_of_every_key_stays_and_nothing_else_changes() {
    let first = variable("CAUCE_CLEANER_SEED", 1);
    let histories = variable("CAUCE_CLEANER_HISTORIES", 150);
    let (mut cleanings, mut removed) = (0, 0);
    for seed in first..first + histories {
        let mut run = Run::new(seed);
        for _ in 0..40 {
            run.turn();
        }
        cleanings += run.manager.cleaner_status().cleanings;
        removed += run.written.len() - read_all(&run.log).len();
    }
    assert!(cleanings > 0 && removed > 0, "nothing was ever cleaned");
    println!(
        "{histories} histories from seed {first}: {cleanings} cleanings in the last lives, {removed} records removed"
    );
}
