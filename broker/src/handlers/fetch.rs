//! Fetch, API key 1, versions 4-18.
//!
//! Reads record batches of many partitions: at once where there are enough bytes, else as soon as an append brings them
//! or the client's patience ends. Records that were written lately go from the page cache to the socket; others are read once and not
//! copied again.
//!
//! Version 4 knows isolation levels (KIP-98), 5 the log start offset, 7 sessions (KIP-227), 9 leader epochs (KIP-320), 11
//! racks and preferred replicas (KIP-392), 12 is flexible and tells where logs part (KIP-595), 13 names topics by id
//! (KIP-516), 15 moves the follower's id into a tagged field (KIP-903), 16 names leaders (KIP-951), 17 and 18 are for
//! followers and voters.
//!
//! Where we differ: a follower is always refused, because replication is not built; the preferred replica is always the
//! leader.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol_compat::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use protocol_compat::messages::{FetchRequest, FetchResponse, Records};
use protocol_compat::{ErrorCode, TopicId};
use tokio::time::Sleep;

use crate::disk_stalls::DirectoryIndex;
use crate::fetch_session::{
    AnswerSummary, FetchContext, FetchKey, FetchSessionCache, FetchTarget, Renewed, SessionRequest,
};
use crate::replica_manager::{
    ChangedPartitions, FetchLimits, FetchWait, Isolation, Partition, PartitionFetch, PartitionRead,
    PartitionWatch, Renewal, ReplicaManager, read_or_wait, stalling_directories,
};
use crate::request::{Handled, RequestContext};

/// First version with topic ids.
const FIRST_WITH_TOPIC_ID: i16 = 13;
/// First version whose answer names leaders.
const FIRST_WITH_LEADERS: i16 = 16;
/// Last version whose clients do not know `KAFKA_STORAGE_ERROR`.
const LAST_WITHOUT_STORAGE_ERROR: i16 = 5;

/// Reads, or waits and reads.
pub fn handle(
    replicas: &Arc<ReplicaManager>,
    sessions: &Arc<FetchSessionCache>,
    fetch_max_bytes: usize,
    ctx: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: FetchRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let isolation = isolation(request.isolation_level);
    let limits = limits(
        &request,
        isolation.unwrap_or(Isolation::ReadUncommitted),
        fetch_max_bytes,
    );
    let failed = isolation.is_none().then(|| failed(&request, ctx.version));
    let follower = is_from_follower(&request);
    let session = SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        uses_topic_ids: ctx.version >= FIRST_WITH_TOPIC_ID,
        looks_at_all: follower,
    };
    let forgotten = forgotten(&request);
    let now_ms = replicas.monotonic_ms();
    let context = match sessions.begin(session, wanted(request), &forgotten, now_ms) {
        Ok(context) => context,
        Err(error) => return Handled::Now(ctx.respond_fetch(&refusal(error))),
    };
    let mut fetch = Fetch {
        partitions: Vec::new(),
        found_in: 0,
        context,
        replicas: replicas.clone(),
        sessions: sessions.clone(),
        isolation: limits.isolation,
        version: ctx.version,
        follower,
    };
    fetch.find_partitions();
    if let Some(failed) = failed
        && fetch.has_readable()
    {
        return Handled::Now(ctx.respond_fetch(&failed));
    }
    read(fetch, limits, ctx)
}

fn read(mut fetch: Fetch, limits: FetchLimits, ctx: &RequestContext) -> Handled {
    if !fetch.has_readable() {
        return Handled::Now(ctx.respond_fetch(&fetch.answer(Vec::new())));
    }
    let readable = fetch.readable();
    let stalling = stalling_directories(fetch.replicas.disk_stalls(), &readable);
    if !stalling.is_empty() {
        return read_aside(fetch, readable, stalling, limits, ctx);
    }
    match read_or_wait(readable, limits) {
        Ok(reads) => Handled::Now(ctx.respond_fetch(&fetch.answer(reads))),
        Err(wait) => {
            let ctx = ctx.clone();
            Handled::Later(Box::pin(async move {
                let reads = finish(&mut fetch, wait, tokio::time::sleep(limits.max_wait)).await;
                ctx.respond_fetch(&fetch.answer(reads))
            }))
        }
    }
}

/// Reads where a disk may be waited for. The connection begins no other fetch before the answer.
fn read_aside(
    mut fetch: Fetch,
    readable: Vec<PartitionFetch>,
    stalling: Vec<DirectoryIndex>,
    limits: FetchLimits,
    ctx: &RequestContext,
) -> Handled {
    let ctx = ctx.clone();
    Handled::Later(Box::pin(async move {
        let deadline = tokio::time::sleep(limits.max_wait);
        let stalls = fetch.replicas.disk_stalls().clone();
        let reads = match stalls
            .aside(stalling, move || read_or_wait(readable, limits))
            .await
        {
            Ok(reads) => reads,
            Err(wait) => finish(&mut fetch, wait, deadline).await,
        };
        ctx.respond_fetch(&fetch.answer(reads))
    }))
}

/// Waits for what `wait` lacks.
async fn finish(fetch: &mut Fetch, wait: FetchWait, deadline: Sleep) -> Vec<PartitionRead> {
    let stalls = fetch.replicas.disk_stalls().clone();
    let (changed, mut watches) = fetch.changes();
    let renew = || fetch.renew(&changed, &mut watches);
    wait.finish(&stalls, &changed, renew, deadline).await
}

/// An answer that only says what is wrong with the session.
fn refusal(error: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code: error as i16,
        ..FetchResponse::default()
    }
}

/// The answer to a request that fails as a whole: before version 13 the error stands at every partition that the request
/// names, too (`FetchRequest.getErrorResponse`).
fn failed(request: &FetchRequest, version: i16) -> FetchResponse {
    let code = ErrorCode::UnknownServerError as i16;
    let mut answer = FetchResponse {
        error_code: code,
        session_id: request.session_id,
        ..FetchResponse::default()
    };
    if version >= FIRST_WITH_TOPIC_ID {
        return answer;
    }
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|partition| PartitionData {
            partition_index: partition.partition,
            error_code: code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted_transactions: Some(Vec::new()),
            records: Some(Records::default()),
            ..PartitionData::default()
        });
        answer.responses.push(FetchableTopicResponse {
            topic: topic.topic.0.clone(),
            topic_id: TopicId(topic.topic_id),
            partitions: partitions.collect(),
        });
    }
    answer
}

/// `None` for a number that no isolation level has.
fn isolation(level: i8) -> Option<Isolation> {
    match level {
        0 => Some(Isolation::ReadUncommitted),
        1 => Some(Isolation::ReadCommitted),
        _ => None,
    }
}

fn limits(request: &FetchRequest, isolation: Isolation, fetch_max_bytes: usize) -> FetchLimits {
    let max_bytes = size(request.max_bytes).min(fetch_max_bytes);
    FetchLimits {
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        isolation,
    }
}

fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn is_from_follower(request: &FetchRequest) -> bool {
    request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0
}

/// What the request names, each partition once: where it stands first, with what it says last.
fn wanted(request: FetchRequest) -> Vec<(FetchKey, FetchTarget)> {
    let mut wanted: Vec<(FetchKey, FetchTarget)> = Vec::new();
    let mut positions: HashMap<FetchKey, usize> = HashMap::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let key = FetchKey {
                name: topic.topic.0.clone(),
                id: TopicId(topic.topic_id),
                partition: partition.partition,
            };
            let target = FetchTarget {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            match positions.get(&key).and_then(|&at| wanted.get_mut(at)) {
                Some((_, earlier)) => *earlier = target,
                None => {
                    positions.insert(key.clone(), wanted.len());
                    wanted.push((key, target));
                }
            }
        }
    }
    wanted
}

fn forgotten(request: &FetchRequest) -> Vec<FetchKey> {
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        forgotten.extend(topic.partitions.iter().map(|&partition| FetchKey {
            name: topic.topic.0.clone(),
            id: TopicId(topic.topic_id),
            partition,
        }));
    }
    forgotten
}

/// Whether metadata does not know the partition, so that the rest of the fetch may wait without it.
fn is_unknown(fetch: &PartitionFetch) -> bool {
    fetch
        .partition
        .as_ref()
        .is_err_and(|error| is_unknown_error(*error))
}

fn is_unknown_error(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
    )
}

/// A fetch between its reading and its answer.
struct Fetch {
    context: FetchContext,
    /// What is there of each target, in the order of the context.
    partitions: Vec<PartitionFetch>,
    /// The offset of the metadata image in which they were found, or of an earlier one.
    found_in: i64,
    replicas: Arc<ReplicaManager>,
    sessions: Arc<FetchSessionCache>,
    isolation: Isolation,
    version: i16,
    follower: bool,
}

impl Fetch {
    /// Finds the targets, and has those of a session watched.
    fn find_partitions(&mut self) {
        self.found_in = self.replicas.image().offset;
        let wanted = self.context.targets.iter();
        let found = wanted.map(|(key, target)| PartitionFetch {
            partition: self.find(key, target),
            fetch_offset: target.fetch_offset,
            max_bytes: target.max_bytes,
            current_leader_epoch: target.current_leader_epoch,
            last_fetched_epoch: target.last_fetched_epoch,
        });
        self.partitions = found.collect();
        let found = self.partitions.iter();
        self.context
            .watch(found.map(|fetch| fetch.partition.as_ref().ok()));
    }

    fn find(&self, key: &FetchKey, target: &FetchTarget) -> Result<Arc<Partition>, ErrorCode> {
        let partition = if self.version >= FIRST_WITH_TOPIC_ID {
            self.replicas.partition_by_id(key.id, key.partition)
        } else {
            self.replicas.partition(&key.name, key.partition)
        }?;
        if !self.follower {
            return Ok(partition);
        }
        // No partition has a follower; Kafka's words for a replica that it does not know.
        partition.check_leader_epoch(target.current_leader_epoch)?;
        Err(if target.current_leader_epoch >= 0 {
            ErrorCode::UnknownLeaderEpoch
        } else {
            ErrorCode::NotLeaderOrFollower
        })
    }

    fn readable(&self) -> Vec<PartitionFetch> {
        let readable = self.partitions.iter().filter(|fetch| !is_unknown(fetch));
        readable.cloned().collect()
    }

    fn unknown(&self) -> impl Iterator<Item = &FetchKey> {
        let targets = self.context.targets.iter().zip(&self.partitions);
        targets
            .filter(|(_, fetch)| is_unknown(fetch))
            .map(|((key, _), _)| key)
    }

    /// Whether there is a partition to wait for.
    fn has_readable(&self) -> bool {
        !self.partitions.iter().all(is_unknown) || self.context.has_settled()
    }

    /// What tells a waiting fetch of changes: the watches of its session, or some for this fetch alone.
    fn changes(&self) -> (Arc<ChangedPartitions>, Vec<PartitionWatch>) {
        match self.context.changed() {
            Some(changed) => (changed, Vec::new()),
            None => {
                let changed = Arc::default();
                let watches = self.own_watches(&changed);
                (changed, watches)
            }
        }
    }

    fn own_watches(&self, changed: &Arc<ChangedPartitions>) -> Vec<PartitionWatch> {
        let found = self
            .partitions
            .iter()
            .filter_map(|fetch| fetch.partition.as_ref().ok());
        let watches = (0..).zip(found);
        watches
            .map(|(number, partition)| PartitionWatch::new(partition, changed, number))
            .collect()
    }

    /// What to read after `changed` was told.
    fn renew(&mut self, changed: &Arc<ChangedPartitions>, watches: &mut Vec<PartitionWatch>) -> Renewal {
        if !watches.is_empty() {
            let told = changed.take().into_iter();
            let told = told.filter_map(|number| watches.get(number as usize));
            told.for_each(PartitionWatch::arm);
        }
        match self.context.renew() {
            Renewed::Over => return Renewal::Over,
            // What changed may be who leads a partition, or whether it is there.
            Renewed::Same if self.replicas.image().offset == self.found_in => return Renewal::Same,
            Renewed::Same | Renewed::Others => {}
        }
        let unknown: HashSet<FetchKey> = self.unknown().cloned().collect();
        self.find_partitions();
        if !watches.is_empty() {
            *watches = self.own_watches(changed);
        }
        Renewal::Others {
            partitions: self.readable(),
            must_answer: self.unknown().any(|key| !unknown.contains(key)),
        }
    }

    /// Puts the reads of the readable partitions together with the errors of the others, which come last.
    fn answer(self, reads: Vec<PartitionRead>) -> FetchResponse {
        let keys = || {
            self.context
                .targets
                .iter()
                .map(|(key, _)| key)
                .zip(&self.partitions)
        };
        let read_keys = keys()
            .filter(|(_, fetch)| !is_unknown(fetch))
            .map(|(key, _)| key.clone());
        let mut answers: Vec<(FetchKey, PartitionRead)> = read_keys.zip(reads).collect();
        for (key, fetch) in keys().filter(|(_, fetch)| is_unknown(fetch)) {
            let error = fetch
                .partition
                .as_ref()
                .err()
                .copied()
                .unwrap_or(ErrorCode::UnknownServerError);
            answers.push((key.clone(), PartitionRead::error(error)));
        }
        let summaries: Vec<(FetchKey, AnswerSummary)> = answers
            .iter()
            .map(|(key, read)| (key.clone(), summary(read)))
            .collect();
        let finished = self
            .sessions
            .finish(self.context, &summaries, self.replicas.monotonic_ms());
        let mut response = FetchResponse {
            error_code: finished.error as i16,
            session_id: finished.session_id,
            ..FetchResponse::default()
        };
        for ((key, read), included) in answers.into_iter().zip(finished.included) {
            if included {
                let data = partition_data(&self.replicas, self.version, self.isolation, &key, read);
                push_partition(&mut response.responses, key, data);
            }
        }
        response
    }
}

fn summary(read: &PartitionRead) -> AnswerSummary {
    AnswerSummary {
        error: read.error,
        high_watermark: read.high_watermark,
        log_start_offset: read.log_start_offset,
        has_records: !read.records.is_empty(),
        is_diverging: read.diverging_epoch.is_some(),
    }
}

/// Neighbours of one topic share an entry.
fn push_partition(topics: &mut Vec<FetchableTopicResponse>, key: FetchKey, data: PartitionData) {
    match topics.last_mut() {
        Some(last) if last.topic == key.name && last.topic_id == key.id => last.partitions.push(data),
        _ => topics.push(FetchableTopicResponse {
            topic: key.name,
            topic_id: key.id,
            partitions: vec![data],
        }),
    }
}

fn partition_data(
    replicas: &ReplicaManager,
    version: i16,
    isolation: Isolation,
    key: &FetchKey,
    read: PartitionRead,
) -> PartitionData {
    let mut data = PartitionData {
        partition_index: key.partition,
        error_code: error_for(version, read.error) as i16,
        high_watermark: read.high_watermark,
        last_stable_offset: read.last_stable_offset,
        log_start_offset: read.log_start_offset,
        aborted_transactions: aborted_transactions(isolation, &read),
        records: Some(read.records),
        ..PartitionData::default()
    };
    if let Some((epoch, end_offset)) = read.diverging_epoch {
        data.diverging_epoch = EpochEndOffset { epoch, end_offset };
    }
    let is_about_leader = matches!(
        read.error,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
    );
    if version >= FIRST_WITH_LEADERS
        && is_about_leader
        && let Some((leader, epoch)) = replicas.leader(&key.name, key.id, key.partition)
    {
        data.current_leader = LeaderIdAndEpoch {
            leader_id: leader.0,
            leader_epoch: epoch.0,
        };
    }
    data
}

/// Those of adopted logs, since transactions are not built: for readers of committed records. As in Kafka the list is empty
/// for partitions that are not known, and absent for the others.
fn aborted_transactions(isolation: Isolation, read: &PartitionRead) -> Option<Vec<AbortedTransaction>> {
    let is_listed = match read.error {
        ErrorCode::None => isolation == Isolation::ReadCommitted,
        error => is_unknown_error(error),
    };
    let listed = read.aborted.iter().map(|aborted| AbortedTransaction {
        producer_id: aborted.producer_id,
        first_offset: aborted.first_offset,
    });
    is_listed.then(|| listed.collect())
}

fn error_for(version: i16, error: ErrorCode) -> ErrorCode {
    if version <= LAST_WITHOUT_STORAGE_ERROR && error == ErrorCode::KafkaStorageError {
        ErrorCode::NotLeaderOrFollower
    } else {
        error
    }
}
