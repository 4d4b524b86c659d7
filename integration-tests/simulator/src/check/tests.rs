//! Small written histories: each anomaly is seen, and a history without one passes. So we know that the checks can fail.

use bytes::Bytes;
use uuid::Uuid;

use super::commits::CommitKey;
use super::groups::Assignment;
use super::log::SeenRecord;
use super::watermarks::Ends;
use crate::history::{Fetched, History, LifeEnd, PartitionId};
use crate::marked_record::{MarkedRecord, RecordId};

const TOPIC: Uuid = Uuid::from_u128(7);
const PARTITION: PartitionId = PartitionId {
    topic: TOPIC,
    index: 0,
};

/// A history that is being written.
struct Story(History);

impl Story {
    fn new(is_flushed: bool) -> Story {
        let mut history = History::new(is_flushed);
        history.topic_seen("t", TOPIC, 1);
        Story(history)
    }

    fn sends(&mut self, record: &MarkedRecord) -> &mut Story {
        self.0.record_sent(PARTITION, record, true);
        self
    }

    fn acks(&mut self, record: &MarkedRecord, offset: i64) -> &mut Story {
        self.0.batch_acked(PARTITION, &[record.id], Some(offset), true);
        self
    }

    fn writes(&mut self, record: &MarkedRecord, offset: i64) -> &mut Story {
        self.sends(record).acks(record, offset)
    }

    fn reads(&mut self, from: i64, records: &[(i64, &MarkedRecord)]) -> &mut Story {
        let end = records.last().map_or(from, |(offset, _)| offset + 1);
        let high_watermark = self.0.floors(PARTITION).high_watermark.max(end);
        self.reads_at(from, high_watermark, records)
    }

    fn reads_at(&mut self, from: i64, high_watermark: i64, records: &[(i64, &MarkedRecord)]) -> &mut Story {
        let floors = self.0.floors(PARTITION);
        let seen = |(offset, record): &(i64, &MarkedRecord)| SeenRecord {
            offset: *offset,
            id: record.id,
            checksum: record.checksum(),
        };
        let fetched = Fetched {
            from,
            ends: Ends {
                high_watermark: Some(high_watermark),
                last_stable_offset: Some(high_watermark),
                log_start: Some(0),
            },
            next: records.last().map_or(from, |(offset, _)| offset + 1),
            records: records.iter().map(seen).collect(),
        };
        self.0.fetched(PARTITION, floors, &fetched);
        self
    }

    fn power_cut(&mut self) -> &mut Story {
        self.0.life_ended(LifeEnd::PowerCut, 0);
        self
    }

    fn rests(&mut self, start: i64, end: i64) -> &mut Story {
        self.0.partition_at_rest(PARTITION, start, end);
        self
    }

    fn anomalies(&self) -> Vec<&'static str> {
        self.0
            .violations()
            .iter()
            .map(|violation| violation.anomaly)
            .collect()
    }

    fn is_clean(&self) {
        assert_eq!(self.0.violations(), []);
    }

    fn shows(&self, anomaly: &str) {
        assert_eq!(self.anomalies(), [anomaly]);
    }
}

fn record(producer: u32, number: u32) -> MarkedRecord {
    MarkedRecord::new(RecordId { producer, number }, None, Some(10))
}

fn keyed(number: u32, key: &'static str) -> MarkedRecord {
    let id = RecordId { producer: 1, number };
    MarkedRecord::new(id, Some(Bytes::from_static(key.as_bytes())), Some(10))
}

/// Records 0 to 4 of producer 1.
fn five() -> [MarkedRecord; 5] {
    [0, 1, 2, 3, 4].map(|number| record(1, number))
}

#[test]
fn what_was_acknowledged_and_is_read_at_its_offset_is_as_promised() {
    let [a, b, c, ..] = five();
    let mut story = Story::new(true);
    story.writes(&a, 0).writes(&b, 1).sends(&c);
    story
        .reads(0, &[(0, &a), (1, &b), (2, &c)])
        .acks(&c, 2)
        .reads(1, &[(1, &b), (2, &c)]);
    story.rests(0, 3).is_clean();
}

#[test]
fn an_acknowledged_record_behind_the_end_is_a_lost_write() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story
        .writes(&a, 0)
        .writes(&b, 1)
        .reads(0, &[(0, &a)])
        .rests(0, 1)
        .shows("lost-write");
}

#[test]
fn a_record_acknowledged_without_an_offset_and_found_nowhere_is_unseen() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    story.sends(&a).0.batch_acked(PARTITION, &[a.id], None, true);
    story.rests(0, 0).shows("unseen");
}

#[test]
fn a_hole_between_two_records_is_a_skip() {
    let [a, b, c, ..] = five();
    let mut story = Story::new(true);
    story.writes(&a, 0).writes(&b, 1).writes(&c, 2);
    story.reads(0, &[(0, &a), (2, &c)]).shows("poll-skip");
}

#[test]
fn records_out_of_order_in_one_fetch_are_a_step_back() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story.writes(&a, 0).writes(&b, 1);
    story
        .reads(0, &[(0, &a), (1, &b), (0, &a)])
        .shows("nonmonotonic-poll");
}

#[test]
fn one_offset_with_two_records_is_inconsistent() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story
        .sends(&a)
        .sends(&b)
        .reads(0, &[(0, &a)])
        .reads(0, &[(0, &b)])
        .shows("inconsistent-offsets");
    let mut story = Story::new(true);
    story
        .writes(&a, 0)
        .sends(&b)
        .acks(&b, 0)
        .shows("inconsistent-offsets");
}

#[test]
fn a_record_that_nobody_sent_to_the_partition_is_inconsistent() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    let other = PartitionId {
        topic: Uuid::from_u128(8),
        index: 0,
    };
    story.0.record_sent(other, &a, true);
    story.reads(0, &[(0, &a)]).shows("inconsistent-offsets");
}

#[test]
fn bytes_of_another_record_under_a_good_mark_are_seen() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    story
        .0
        .record_sent(PARTITION, &MarkedRecord::new(a.id, None, Some(11)), true);
    story.reads(0, &[(0, &a)]).shows("inconsistent-offsets");
}

#[test]
fn one_record_at_two_offsets_is_a_duplicate() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    story
        .sends(&a)
        .sends(&a)
        .reads(0, &[(0, &a), (1, &a)])
        .shows("duplicate");
}

#[test]
fn a_producers_records_in_reverse_are_a_nonmonotonic_send_unless_nobody_promised_order() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story
        .sends(&a)
        .sends(&b)
        .reads(0, &[(0, &b), (1, &a)])
        .shows("nonmonotonic-send");
    let mut story = Story::new(true);
    story.0.record_sent(PARTITION, &a, false);
    story.0.record_sent(PARTITION, &b, false);
    story.reads(0, &[(0, &b), (1, &a)]).is_clean();
}

#[test]
fn an_idempotent_producers_record_that_is_jumped_over_is_a_gap() {
    let [a, b, c, ..] = five();
    let mut story = Story::new(true);
    story
        .writes(&a, 0)
        .sends(&b)
        .writes(&c, 1)
        .reads(0, &[(0, &a), (1, &c)]);
    story.rests(0, 2).shows("int-send-skip");
}

#[test]
fn a_refused_record_that_is_read_is_g1a_and_one_with_an_open_attempt_is_not() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    story.sends(&a).0.batch_refused(PARTITION, &[a.id]);
    story.reads(0, &[(0, &a)]).shows("G1a");
    let mut story = Story::new(true);
    story.sends(&a).sends(&a).0.batch_refused(PARTITION, &[a.id]);
    story.reads(0, &[(0, &a)]).is_clean();
    let mut story = Story::new(true);
    story
        .sends(&a)
        .reads(0, &[(0, &a)])
        .0
        .batch_refused(PARTITION, &[a.id]);
    story.shows("G1a");
}

#[test]
fn a_record_at_the_high_watermark_is_a_dirty_read() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story
        .sends(&a)
        .sends(&b)
        .reads_at(0, 1, &[(0, &a), (1, &b)])
        .shows("dirty-read");
}

#[test]
fn a_high_watermark_that_goes_back_is_seen_but_not_in_an_answer_that_was_overtaken() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    let before = story.0.floors(PARTITION);
    story.writes(&a, 0);
    let ends = |high| Ends {
        high_watermark: Some(high),
        ..Ends::default()
    };
    story.0.ends_seen(PARTITION, before, ends(0));
    story.is_clean();
    let now = story.0.floors(PARTITION);
    story.0.ends_seen(PARTITION, now, ends(0));
    story.shows("high-watermark-regression");
}

#[test]
fn a_last_stable_offset_apart_from_the_high_watermark_is_seen() {
    let mut story = Story::new(true);
    let ends = Ends {
        high_watermark: Some(3),
        last_stable_offset: Some(2),
        log_start: None,
    };
    let floors = story.0.floors(PARTITION);
    story.0.ends_seen(PARTITION, floors, ends);
    story.shows("last-stable-offset");
}

#[test]
fn a_log_start_moves_only_forward_and_only_for_a_reason() {
    let starts = |story: &mut Story, start| {
        let floors = story.0.floors(PARTITION);
        let ends = Ends {
            log_start: Some(start),
            ..Ends::default()
        };
        story.0.ends_seen(PARTITION, floors, ends);
    };
    let mut story = Story::new(true);
    story.0.delete_records_sent(PARTITION, 3);
    starts(&mut story, 0);
    starts(&mut story, 3);
    story.is_clean();
    starts(&mut story, 2);
    story.shows("log-start-regression");
    let mut story = Story::new(true);
    starts(&mut story, 1);
    story.shows("lost-write");
}

#[test]
fn an_offset_that_was_there_is_not_out_of_range_later() {
    let [a, ..] = five();
    let mut story = Story::new(true);
    story.writes(&a, 0);
    let floors = story.0.floors(PARTITION);
    story.0.fetch_out_of_range(PARTITION, floors, 5);
    story.is_clean();
    story.0.fetch_out_of_range(PARTITION, floors, 1);
    story.shows("high-watermark-regression");
}

#[test]
fn in_default_mode_a_power_cut_may_take_a_tail_and_new_records_may_stand_there() {
    let [a, b, c, d, e] = five();
    let mut story = Story::new(false);
    story.writes(&a, 0).writes(&b, 1).writes(&c, 2).power_cut();
    story
        .sends(&d)
        .reads(0, &[(0, &a), (1, &d)])
        .acks(&d, 1)
        .writes(&e, 2);
    story
        .reads(0, &[(0, &a), (1, &d), (2, &e)])
        .rests(0, 3)
        .is_clean();
}

#[test]
fn a_record_in_front_of_its_elders_says_that_the_power_cut_took_them() {
    let [a, b, c, ..] = five();
    let mut story = Story::new(false);
    story.writes(&a, 1).writes(&b, 2).sends(&c).power_cut();
    story.sends(&c).acks(&c, 0).rests(0, 1).is_clean();
    let mut story = Story::new(false);
    story.writes(&a, 1).writes(&b, 2).sends(&c).power_cut();
    story.reads(2, &[(2, &b)]).sends(&c).acks(&c, 0);
    story.shows("nonmonotonic-send");
}

#[test]
fn what_the_first_of_two_power_cuts_took_says_nothing_of_what_came_between_them() {
    let records: Vec<MarkedRecord> = (0..4).map(|number| record(1, number)).collect();
    let [a, b, c, d] = &records[..] else {
        panic!("four records");
    };
    let unheard = record(2, 0);
    let mut story = Story::new(false);
    story.writes(a, 0).writes(b, 1).writes(c, 2).power_cut();
    // Nobody hears of the record at 1, which stands where the first cut took one, before the second cut.
    story.sends(&unheard).writes(d, 2).power_cut();
    story
        .reads(0, &[(0, a), (1, &unheard), (2, d)])
        .rests(0, 3)
        .is_clean();
}

#[test]
fn in_default_mode_a_power_cut_leaves_no_hole() {
    let [a, b, c, ..] = five();
    let d = record(2, 0);
    let mut story = Story::new(false);
    story.writes(&a, 0).writes(&b, 1).writes(&c, 2).power_cut();
    story.sends(&d).reads(2, &[(2, &c)]).reads(1, &[(1, &d)]);
    assert_eq!(story.anomalies().first(), Some(&"inconsistent-offsets"));
    let mut story = Story::new(false);
    story.writes(&a, 0).writes(&c, 2).power_cut();
    story
        .sends(&d)
        .reads(2, &[(2, &c)])
        .reads(1, &[(1, &d)])
        .shows("lost-write");
}

#[test]
fn what_was_lost_in_a_power_cut_does_not_come_back() {
    let [a, b, c, d, _] = five();
    let mut story = Story::new(false);
    story.writes(&a, 0).writes(&b, 1).power_cut();
    story.writes(&c, 1).sends(&d);
    story.reads(0, &[(0, &a), (1, &c), (2, &b)]);
    assert!(
        story.anomalies().contains(&"inconsistent-offsets"),
        "{:?}",
        story.anomalies()
    );
}

#[test]
fn what_was_acknowledged_after_the_power_cut_is_not_of_the_lost_tail() {
    let [a, b, c, ..] = five();
    let mut story = Story::new(false);
    story.writes(&a, 0).power_cut();
    story.writes(&b, 1).writes(&c, 2).rests(0, 2).shows("lost-write");
}

#[test]
fn in_flushed_mode_a_power_cut_takes_nothing() {
    let [a, b, ..] = five();
    let mut story = Story::new(true);
    story.writes(&a, 0).writes(&b, 1).power_cut();
    story.reads_at(0, 1, &[(0, &a)]);
    assert_eq!(story.anomalies(), ["high-watermark-regression"]);
    story.rests(0, 1);
    assert_eq!(story.anomalies(), ["high-watermark-regression", "lost-write"]);
}

#[test]
fn a_kill_takes_nothing_in_either_mode() {
    let [a, ..] = five();
    let mut story = Story::new(false);
    story.writes(&a, 0).0.life_ended(LifeEnd::Kill, 0);
    story.rests(0, 0).shows("lost-write");
}

#[test]
fn the_cleaner_may_take_all_but_the_last_record_of_a_key() {
    let (a, b, c) = (keyed(0, "k"), keyed(1, "l"), keyed(2, "k"));
    let mut story = Story::new(true);
    story.0.may_be_compacted(TOPIC, 1);
    story.writes(&a, 0).writes(&b, 1).writes(&c, 2);
    story.reads(0, &[(1, &b), (2, &c)]).rests(0, 3).is_clean();
    story.reads(0, &[(0, &a), (2, &c)]).shows("lost-write");
}

#[test]
fn the_cleaner_may_take_a_record_for_a_later_one_whose_outcome_is_not_known() {
    let (a, b, c) = (keyed(0, "k"), keyed(1, "l"), keyed(2, "k"));
    let mut story = Story::new(true);
    story.0.may_be_compacted(TOPIC, 1);
    story.writes(&a, 0).writes(&b, 1);
    story.reads(0, &[(1, &b)]).shows("lost-write");
    let mut story = Story::new(true);
    story.0.may_be_compacted(TOPIC, 1);
    story
        .writes(&a, 0)
        .writes(&b, 1)
        .sends(&c)
        .reads(0, &[(1, &b)])
        .is_clean();
}

#[test]
fn the_cleaner_does_not_move_a_record() {
    let (a, b) = (keyed(0, "k"), keyed(1, "l"));
    let mut story = Story::new(true);
    story.0.may_be_compacted(TOPIC, 1);
    story.writes(&a, 0).writes(&b, 1).reads(0, &[(0, &b)]);
    assert!(
        story.anomalies().contains(&"inconsistent-offsets"),
        "{:?}",
        story.anomalies()
    );
}

#[test]
fn a_sequence_that_the_node_forgot_is_seen_unless_a_power_cut_took_it() {
    let mut story = Story::new(false);
    story.0.sequence_refused(PARTITION, 1, 3);
    story.shows("lost-sequence");
    let mut story = Story::new(false);
    story.0.floors(PARTITION);
    story.power_cut().0.sequence_refused(PARTITION, 1, 3);
    story.is_clean();
}

fn key() -> CommitKey {
    CommitKey {
        group: "g".to_owned(),
        topic: TOPIC,
        partition: 0,
    }
}

fn committed(history: &mut History, value: i64, generation: i32) {
    let token = history.commit_sent(&key(), Some(value), generation);
    history.commit_acked(&key(), token);
}

fn reads_commit(history: &mut History, value: Option<i64>) -> Vec<&'static str> {
    let snapshot = history.commit_snapshot(&key());
    history.commit_fetched(&key(), &snapshot, value);
    history
        .violations()
        .iter()
        .map(|violation| violation.anomaly)
        .collect()
}

#[test]
fn a_fetch_gives_the_last_acknowledged_commit_or_one_whose_outcome_is_not_known() {
    let mut history = History::new(true);
    assert!(reads_commit(&mut history, None).is_empty());
    committed(&mut history, 5, -1);
    history.commit_sent(&key(), Some(6), -1);
    assert!(reads_commit(&mut history, Some(5)).is_empty());
    assert!(reads_commit(&mut history, Some(6)).is_empty());
    assert!(
        reads_commit(&mut history, Some(5)).is_empty(),
        "it may still come"
    );
    assert_eq!(reads_commit(&mut history, None), ["committed-offset-regression"]);
}

#[test]
fn a_commit_that_was_superseded_or_refused_does_not_come_back() {
    let mut history = History::new(true);
    committed(&mut history, 5, -1);
    let refused = history.commit_sent(&key(), Some(6), -1);
    history.commit_refused(&key(), refused);
    assert_eq!(reads_commit(&mut history, Some(6)).len(), 1);
    committed(&mut history, 7, -1);
    assert_eq!(reads_commit(&mut history, Some(5)).len(), 2);
}

#[test]
fn an_open_commit_of_an_earlier_life_or_generation_is_over_once_a_newer_one_is_acknowledged() {
    let mut history = History::new(true);
    history.commit_sent(&key(), Some(5), 1);
    committed(&mut history, 7, 2);
    assert_eq!(reads_commit(&mut history, Some(5)).len(), 1);
    history.commit_sent(&key(), Some(8), 2);
    history.life_ended(LifeEnd::Kill, 0);
    assert_eq!(reads_commit(&mut history, Some(8)).len(), 1);
    committed(&mut history, 9, 2);
    assert_eq!(reads_commit(&mut history, Some(8)).len(), 2);
}

#[test]
fn commits_fall_back_in_a_power_cut_of_the_default_mode_only() {
    for is_flushed in [false, true] {
        let mut history = History::new(is_flushed);
        committed(&mut history, 5, -1);
        committed(&mut history, 7, -1);
        history.life_ended(LifeEnd::PowerCut, 0);
        assert_eq!(reads_commit(&mut history, Some(5)).is_empty(), !is_flushed);
        history.life_ended(LifeEnd::Kill, 0);
        committed(&mut history, 9, -1);
        let before = history.violations().len();
        assert_eq!(reads_commit(&mut history, Some(5)).len(), before + 1);
    }
}

fn assignment(generation: i32, member: &str, nonce: u64, partitions: &[i32]) -> Assignment {
    Assignment {
        nonce,
        generation,
        member: member.to_owned(),
        partitions: partitions.iter().map(|index| (TOPIC, *index)).collect(),
    }
}

#[test]
fn a_generation_has_one_leader_and_a_partition_in_it_one_owner() {
    let mut history = History::new(true);
    history.assigned("g", 1, "a", &assignment(1, "a", 10, &[0]));
    history.assigned("g", 1, "b", &assignment(1, "b", 10, &[1]));
    history.assigned("g", 2, "b", &assignment(2, "b", 11, &[0, 1]));
    assert_eq!(history.violations(), []);
    history.assigned("g", 2, "a", &assignment(2, "a", 11, &[1]));
    assert_eq!(history.violations()[0].anomaly, "two-owners");
    committed(&mut history, 1, 2);
    history.assigned("g", 2, "c", &assignment(2, "c", 12, &[]));
    assert_eq!(history.violations()[1].anomaly, "two-leaders");
    history.assigned("g", 3, "c", &assignment(2, "c", 12, &[]));
    assert_eq!(history.violations()[2].anomaly, "foreign-assignment");
}

#[test]
fn nobody_of_an_older_generation_gets_anything_done() {
    let mut history = History::new(true);
    history.assigned("g", 2, "a", &assignment(2, "a", 10, &[0]));
    let floor = history.stable_generation("g");
    history.accepted("g", "a commit", 2, floor);
    assert_eq!(history.violations(), []);
    history.accepted("g", "a commit", 1, floor);
    assert_eq!(history.violations()[0].anomaly, "stale-generation");
}

#[test]
fn a_group_with_commits_does_not_begin_its_generations_again() {
    let mut history = History::new(true);
    history.assigned("g", 2, "a", &assignment(2, "a", 10, &[0]));
    history.joined("g", 1, 2);
    assert_eq!(history.violations(), [], "without commits it may be forgotten");
    committed(&mut history, 1, 2);
    history.joined("g", 1, 2);
    assert_eq!(history.violations()[0].anomaly, "generation-regression");
}

#[test]
fn a_topic_stays_until_it_is_deleted_and_comes_back_under_another_id() {
    let (first, second, third) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let mut history = History::new(true);
    history.topic_seen("t", first, 1);
    history.topic_deletion_sent(first);
    history.topic_seen("t", second, 1);
    history.topic_deletion_acked(first);
    history.topics_at_rest(&[("t".to_owned(), second)]);
    assert_eq!(history.violations(), []);
    history.topic_seen("t", third, 1);
    history.topic_seen("u", third, 1);
    history.topics_at_rest(&[("t".to_owned(), first), ("t".to_owned(), third)]);
    let anomalies: Vec<&str> = history
        .violations()
        .iter()
        .map(|violation| violation.anomaly)
        .collect();
    assert_eq!(
        anomalies,
        [
            "lost-topic",
            "inconsistent-metadata",
            "undead-topic",
            "lost-topic"
        ]
    );
}

#[test]
fn a_setting_is_one_that_may_have_been_the_last() {
    let key = (TOPIC, "segment.ms");
    let anomalies = |story: &Story, value: &str| {
        let mut out = Vec::new();
        story.0.configs().check_at_rest(key, Some(value), &mut out);
        out.len()
    };
    let mut story = Story::new(true);
    story.0.config_created(key, "1");
    assert_eq!((anomalies(&story, "1"), anomalies(&story, "2")), (0, 1));
    let lost = story.0.config_sent(key, "2");
    assert_eq!((anomalies(&story, "1"), anomalies(&story, "2")), (0, 0));
    let refused = story.0.config_sent(key, "3");
    story.0.config_answered(refused, false);
    assert_eq!(anomalies(&story, "3"), 1);
    let done = story.0.config_sent(key, "4");
    story.0.config_answered(done, true);
    assert_eq!((anomalies(&story, "1"), anomalies(&story, "4")), (1, 0));
    // Its answer never came, so that it may come at last.
    assert_eq!(anomalies(&story, "2"), 0);
    story.0.config_answered(lost, true);
    assert_eq!(
        anomalies(&story, "2"),
        0,
        "it was still open when the other began"
    );
    assert_eq!(story.0.configs().keys_of(TOPIC), ["segment.ms"]);
}
