//! Every pass on a thread of its own, beside appends, reads, DeleteRecords and topics that come and go: no order of theirs
//! takes a log directory offline, loses a record or lets a reader meet another one. The simulator has one thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

use super::tests::{start, topic_id};
use super::*;
use crate::cleaner::{CleanerSettings, MapSecret, Pace};
use crate::disk::SimDisk;
use crate::log::AppendOrigin;
use crate::log::config::CleanupPolicy;

/// Of each topic; a hundred segments and more come and go.
const STEPS: u64 = 600;
const CLEANER: CleanerSettings = CleanerSettings {
    map_bytes: 1 << 20,
    load_factor: 0.9,
    io_buffer_bytes: 4 << 10,
    secret: MapSecret(1, 2),
};

/// Time, a millisecond a step of any topic.
#[derive(Default)]
struct Now(AtomicI64);

impl Now {
    fn ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Owners;

impl LogOwner for Owners {
    fn settings(&self, partition: &TopicPartition) -> Option<(TopicId, Arc<LogConfig>)> {
        Some((topic_id(&partition.topic), config(&partition.topic)))
    }

    fn opened(&self, log: &PartitionLog) {
        log.update_high_watermark(log.log_end_offset());
    }
}

fn config(topic: &str) -> Arc<LogConfig> {
    let is_compacted = topic.contains("compacted");
    Arc::new(LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 100,
        flush_ms: 1,
        flush_messages: if topic.ends_with("flushed") { 1 } else { i64::MAX },
        retention_bytes: if topic.starts_with("aged") { 3_000 } else { -1 },
        max_compaction_lag_ms: if topic.starts_with("aged") { 50 } else { i64::MAX },
        file_delete_delay_ms: 0,
        min_compaction_lag_ms: 0,
        cleanup_policy: CleanupPolicy {
            delete: !is_compacted || topic.starts_with("aged"),
            compact: is_compacted,
        },
        ..LogConfig::default()
    })
}

struct Unhurried;

impl Pace for Unhurried {
    fn moved(&mut self, _: u64) -> bool {
        true
    }
}

/// A topic's own row of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A topic's one client.
struct Topic<'a> {
    manager: &'a LogManager,
    place: TopicPartition,
    /// What was appended, by offset, since the topic was created.
    written: BTreeMap<i64, u64>,
    dice: Dice,
}

impl Topic<'_> {
    fn log(&self, now_ms: i64) -> Arc<PartitionLog> {
        let (id, config) = (topic_id(&self.place.topic), config(&self.place.topic));
        let log = self.manager.get_or_open(&self.place, id, config, None, now_ms);
        log.unwrap_or_else(|error| panic!("{}: {error}", self.place))
    }

    fn step(&mut self, number: u64, now_ms: i64) {
        let log = self.log(now_ms);
        match self.dice.below(20) {
            0 if self.place.topic.starts_with("volatile") => {
                self.manager.delete(&self.place, now_ms).unwrap();
                self.written.clear();
                assert_eq!(self.log(now_ms).log_start_offset(), 0, "{}", self.place);
            }
            1 if self.place.topic.starts_with("trimmed") => {
                let to = self.dice.below(log.high_watermark().unsigned_abs() + 1);
                let start = self.manager.delete_records_before(&self.place, to.cast_signed());
                assert!(start.unwrap() >= to.cast_signed());
            }
            2..=6 => self.read(&log),
            _ => self.append(&log, number, now_ms),
        }
    }

    fn append(&mut self, log: &Arc<PartitionLog>, number: u64, now_ms: i64) {
        let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
        let key = self.dice.below(7).to_be_bytes();
        batch.append(now_ms, Some(&key), Some(&number.to_be_bytes()), &[]);
        let epoch = i32::try_from(number / 100).unwrap();
        log.begin_leader_epoch(epoch);
        let info = log.append_as_leader(batch.build(), epoch, AppendOrigin::Client, now_ms);
        let info = info.unwrap_or_else(|error| panic!("{}: {error}", self.place));
        if info.flush_required {
            self.manager.request_flush(log);
        }
        log.update_high_watermark(log.log_end_offset());
        let earlier = self.written.insert(info.last_offset, number);
        assert_eq!(
            earlier, None,
            "{} {} is given out again",
            self.place, info.last_offset
        );
    }

    fn read(&mut self, log: &PartitionLog) {
        log.offset_for_timestamp(self.dice.below(2 * STEPS).cast_signed(), i64::MAX)
            .unwrap();
        log.max_timestamp_offset().unwrap();
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let from = start + self.dice.below((end - start).unsigned_abs() + 1).cast_signed();
        let Ok(read) = log.read(from, 1_000, end, true) else {
            assert!(
                log.log_start_offset() > from,
                "{} {from}: retention moved the start",
                self.place
            );
            return;
        };
        let mut rest = read.records.as_ref();
        while !rest.is_empty() {
            let (batch, after) = RecordBatch::split_first(rest).unwrap();
            let mut scratch = Vec::new();
            for record in records(&batch, &mut scratch, DecompressionLimit(1 << 20)).unwrap() {
                let record = record.unwrap();
                let number = u64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                assert_eq!(
                    self.written.get(&record.offset),
                    Some(&number),
                    "{} {}",
                    self.place,
                    record.offset
                );
            }
            rest = after;
        }
        let compacted = self.place.topic.contains("compacted");
        assert!(
            compacted || from == end || read.base_offset == Some(from),
            "{} {from}",
            self.place
        );
    }
}

#[test]
fn no_order_of_passes_and_clients_harms_anything() {
    let sim = SimDisk::new(9, 1 << 30);
    let manager = start(&sim);
    let (now, is_over) = (Now::default(), AtomicBool::new(false));
    let until_over = |pass: &(dyn Fn() + Sync)| {
        while !is_over.load(Ordering::Relaxed) {
            pass();
        }
    };
    let passes: [&(dyn Fn() + Sync); 6] = [
        &|| {
            manager.flush_pass(now.ms());
        },
        &|| manager.checkpoint_pass(&claims::KINDS),
        &|| {
            manager.retention_pass(&Owners, now.ms());
        },
        &|| {
            manager.clean_next(&CLEANER, now.ms(), &mut Unhurried);
        },
        &|| manager.removal_pass(i64::MAX).unwrap(),
        &|| {
            manager.space_pass();
            manager.producer_expiration_pass(now.ms(), 1);
        },
    ];
    let names = [
        "steady",
        "steady-flushed",
        "volatile",
        "volatile-flushed",
        "trimmed",
        "aged",
        "aged-flushed",
        "aged-compacted",
        "trimmed-compacted",
        "compacted",
    ];
    std::thread::scope(|scope| {
        for pass in passes {
            scope.spawn(move || until_over(pass));
        }
        let clients: Vec<_> = (1..)
            .zip(names)
            .map(|(seed, name)| {
                let (manager, now) = (&manager, &now);
                scope.spawn(move || {
                    let mut topic = Topic {
                        manager,
                        place: TopicPartition::new(name, 0),
                        written: BTreeMap::new(),
                        dice: Dice(seed * 0x9e37_79b9),
                    };
                    for number in 0..STEPS {
                        let now_ms = now.0.fetch_add(1, Ordering::Relaxed);
                        topic.step(number, now_ms);
                    }
                })
            })
            .collect();
        let ends: Vec<_> = clients
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(manager.dirs()[0].failure, None);
        for end in ends {
            end.unwrap();
        }
    });
    assert!(manager.cleaner_status().cleanings > 0, "nothing was cleaned");
}
