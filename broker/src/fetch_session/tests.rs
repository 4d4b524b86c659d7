//! Sessions as a client sees them.

use protocol_compat::TopicId;
use protocol_compat::messages::StrBytes;

use super::*;

fn key(name: &'static str, partition: i32) -> FetchKey {
    FetchKey {
        name: StrBytes::from_static_str(name),
        id: TopicId::NIL,
        partition,
    }
}

fn target(fetch_offset: i64) -> FetchTarget {
    FetchTarget {
        fetch_offset,
        max_bytes: 1024,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn answer(high_watermark: i64, has_records: bool) -> AnswerSummary {
    AnswerSummary {
        error: ErrorCode::None,
        high_watermark,
        log_start_offset: 0,
        has_records,
        is_diverging: false,
    }
}

fn request(id: i32, epoch: i32) -> SessionRequest {
    SessionRequest {
        id,
        epoch,
        uses_topic_ids: false,
        looks_at_all: false,
    }
}

/// Opens a session with one partition per name and returns its id.
fn open(cache: &FetchSessionCache, names: &[&'static str], now_ms: i64) -> i32 {
    let wanted: Vec<_> = names.iter().map(|name| (key(name, 0), target(0))).collect();
    let answers: Vec<_> = names
        .iter()
        .map(|name| (key(name, 0), answer(5, false)))
        .collect();
    let context = cache
        .begin(request(0, 0), wanted, &[], now_ms)
        .expect("a context");
    cache.finish(context, &answers, now_ms).session_id
}

#[test]
fn an_incremental_answer_names_only_what_changed() {
    let cache = FetchSessionCache::new(10);
    let id = open(&cache, &["a", "b"], 0);
    let context = cache
        .begin(request(id, 1), vec![(key("a", 0), target(5))], &[], 1)
        .expect("a context");
    let read: Vec<_> = context
        .targets
        .iter()
        .map(|(key, target)| (&*key.name, target.fetch_offset))
        .collect();
    assert_eq!(read, [("a", 5), ("b", 0)]);
    let answers = [(key("a", 0), answer(5, false)), (key("b", 0), answer(6, false))];
    let finished = cache.finish(context, &answers, 1);
    assert_eq!((finished.session_id, finished.included), (id, vec![false, true]));
}

#[test]
fn a_partition_with_records_goes_to_the_end() {
    let cache = FetchSessionCache::new(10);
    let id = open(&cache, &["a", "b"], 0);
    let context = cache.begin(request(id, 1), vec![], &[], 1).expect("a context");
    cache.finish(
        context,
        &[(key("a", 0), answer(6, true)), (key("b", 0), answer(5, false))],
        1,
    );
    let context = cache.begin(request(id, 2), vec![], &[], 2).expect("a context");
    let order: Vec<_> = context.targets.iter().map(|(key, _)| &*key.name).collect();
    assert_eq!(order, ["b", "a"]);
}

#[test]
fn an_error_is_told_every_time_and_its_end_once() {
    let cache = FetchSessionCache::new(10);
    let id = open(&cache, &["a"], 0);
    let failing = AnswerSummary {
        error: ErrorCode::NotLeaderOrFollower,
        ..answer(-1, false)
    };
    let told = |epoch, summary| {
        let context = cache
            .begin(request(id, epoch), vec![], &[], 1)
            .expect("a context");
        cache.finish(context, &[(key("a", 0), summary)], 1).included[0]
    };
    assert_eq!([told(1, failing), told(2, failing)], [true, true]);
    assert_eq!(
        [told(3, answer(5, false)), told(4, answer(5, false))],
        [true, false]
    );
}

#[test]
fn wrong_ids_epochs_and_names_are_refused() {
    let cache = FetchSessionCache::new(10);
    let id = open(&cache, &["a"], 0);
    let error = |request| cache.begin(request, vec![], &[], 1).expect_err("an error");
    assert_eq!(
        error(request(id.wrapping_add(1), 1)),
        ErrorCode::FetchSessionIdNotFound
    );
    assert_eq!(error(request(id, 2)), ErrorCode::InvalidFetchSessionEpoch);
    let by_id = SessionRequest {
        uses_topic_ids: true,
        ..request(id, 1)
    };
    assert_eq!(error(by_id), ErrorCode::FetchSessionTopicIdError);
}

#[test]
fn a_session_ends_when_it_is_closed_or_empty() {
    let cache = FetchSessionCache::new(10);
    let id = open(&cache, &["a"], 0);
    cache
        .begin(request(id, 1), vec![], &[key("a", 0)], 1)
        .expect("a context");
    assert_eq!(cache.status().sessions, 0);
    let id = open(&cache, &["a"], 0);
    let context = cache
        .begin(request(id, FINAL_EPOCH), vec![], &[], 1)
        .expect("a context");
    assert_eq!(cache.finish(context, &[], 1).session_id, 0);
    assert_eq!(
        cache.status(),
        FetchSessionStatus {
            sessions: 0,
            partitions: 0,
            evictions: 0
        }
    );
}

#[test]
fn a_full_cache_gives_way_only_to_what_is_worth_more() {
    let cache = FetchSessionCache::new(1);
    let first = open(&cache, &["a", "b"], 0);
    assert_eq!(
        open(&cache, &["a", "b", "c"], EVICTION_MS),
        0,
        "the first is too young"
    );
    cache
        .begin(request(first, 1), vec![], &[], EVICTION_MS + 1)
        .expect("a context");
    assert_eq!(open(&cache, &["c", "d"], EVICTION_MS + 2), 0, "the same size");
    let larger = open(&cache, &["a", "b", "c"], EVICTION_MS + 2);
    assert_ne!(larger, 0);
    assert_ne!(
        open(&cache, &["x"], 3 * EVICTION_MS),
        0,
        "the other has been idle"
    );
    assert_eq!(
        cache.status(),
        FetchSessionStatus {
            sessions: 1,
            partitions: 1,
            evictions: 2
        }
    );
    assert_eq!(open(&FetchSessionCache::new(0), &["a"], 0), 0);
}

#[test]
fn a_duplicate_request_is_told_that_its_epoch_is_over() {
    let cache = FetchSessionCache::new(1);
    let id = open(&cache, &["a"], 0);
    let slow = cache.begin(request(id, 1), vec![], &[], 1).expect("a context");
    cache.begin(request(id, 2), vec![], &[], 1).expect("a context");
    let finished = cache.finish(slow, &[(key("a", 0), answer(9, true))], 1);
    assert_eq!(
        (finished.error, finished.included),
        (ErrorCode::InvalidFetchSessionEpoch, vec![false])
    );
}
