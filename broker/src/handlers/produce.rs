//! Produce, API key 0, versions 3-13 (0-2 are named in ApiVersions for librdkafka and refused).
//!
//! Appends one record batch per partition and acknowledges it: at once for acks=1 and acks=0 (which has no answer), when
//! every in-sync replica has it for acks=all, when it is flushed where the topic wants that.
//!
//! Version 5 answers with the log start offset, 7 accepts zstd (KIP-110), 8 names the records at fault (KIP-467), 9 is
//! flexible, 10 names the leader where the client was wrong about it (KIP-951), 12 belongs to transactions of the second
//! version (KIP-890), 13 names topics by id (KIP-516).
//!
//! Where we differ: transactions are not built, so that transactional records are refused with the final
//! `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, and a partition without records is refused with `INVALID_RECORD`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol_compat::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol_compat::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use protocol_compat::messages::{ProduceResponse, StrBytes};
use protocol_compat::record_batch::batch::{BatchError, Compression, RecordBatch};
use protocol_compat::{ErrorCode, TopicId};
use storage::log::{AppendError, AppendInfo, AppendOrigin, BegunAppend, RecordProblem};
use tracing::info;

use crate::disk_stalls::DirectoryIndex;
use crate::error_codes;
use crate::replica_manager::{Acknowledgement, Partition, ReplicaManager, RequiredAcks};
use crate::request::{CloseReason, Handled, RequestContext, ResponseFrame};

/// The client id of Kafka's own admin tools, which may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";
/// First version that accepts zstd.
const FIRST_WITH_ZSTD: i16 = 7;
/// First version whose answer names the leader.
const FIRST_WITH_LEADER: i16 = 10;
/// First version that names topics by id.
const FIRST_WITH_TOPIC_ID: i16 = 13;

/// Appends and acknowledges.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: ProduceRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let acks = request.acks;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let stalling = stalling_directories(replicas, ctx, &request);
    if !stalling.is_empty() {
        return append_aside(replicas, ctx, request, stalling);
    }
    // Without an answer there is only the connection's end to tell of an error, before its next request begins.
    if ctx.more_follows && acks != 0 {
        let begun = begin_all(replicas, ctx, request);
        let (replicas, ctx) = (replicas.clone(), ctx.clone());
        return Handled::Begun(Box::new(move || {
            answer(&ctx, begun.finish(&replicas, &ctx), timeout)
        }));
    }
    let appended = append_all(replicas, ctx, request);
    if acks == 0 {
        return match finish_without_answer(ctx, &appended) {
            Ok(()) => Handled::NoReply,
            Err(reason) => Handled::Close(reason),
        };
    }
    answer(ctx, appended, timeout)
}

/// The answer, once its acknowledgements are given.
fn answer(ctx: &RequestContext, mut appended: AppendedTopics, timeout: Duration) -> Handled {
    let waits = appended.take_waits();
    if waits.is_empty() {
        return Handled::Now(ctx.respond(&appended.into_response(ctx.version)));
    }
    let ctx = ctx.clone();
    Handled::Later(Box::pin(async move {
        appended.acknowledge(waits, timeout).await;
        ctx.respond(&appended.into_response(ctx.version))
    }))
}

/// The directories of the request's partitions whose disk stalls. A partition that is not open may lie in any of them.
fn stalling_directories(
    replicas: &ReplicaManager,
    ctx: &RequestContext,
    request: &ProduceRequest,
) -> Vec<DirectoryIndex> {
    let by_id = ctx.version >= FIRST_WITH_TOPIC_ID;
    let touched = request.topic_data.iter().flat_map(|topic| {
        let id = if by_id {
            TopicId(topic.topic_id)
        } else {
            TopicId::default()
        };
        let partitions = topic.partition_data.iter();
        partitions.map(move |data| replicas.directory_of(&topic.name, id, data.index))
    });
    replicas.disk_stalls().stalling_among(touched)
}

/// Appends where a disk may be waited for, while the connection begins nothing else: its requests keep their order, as when
/// it waits itself.
fn append_aside(
    replicas: &Arc<ReplicaManager>,
    ctx: &RequestContext,
    request: ProduceRequest,
    stalling: Vec<DirectoryIndex>,
) -> Handled {
    let acks = request.acks;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let (replicas, ctx) = (replicas.clone(), ctx.clone());
    Handled::Exclusive(Box::pin(async move {
        let stalls = replicas.disk_stalls().clone();
        let append = {
            let ctx = ctx.clone();
            move || append_all(&replicas, &ctx, request)
        };
        let mut appended = stalls.aside(stalling, append).await;
        if acks == 0 {
            return ResponseFrame::without_answer(ctx.api_key, finish_without_answer(&ctx, &appended));
        }
        let waits = appended.take_waits();
        if !waits.is_empty() {
            appended.acknowledge(waits, timeout).await;
        }
        ctx.respond(&appended.into_response(ctx.version))
    }))
}

/// The result of one partition.
struct Appended {
    topic: usize,
    answer: PartitionProduceResponse,
    wait: Option<Acknowledgement>,
}

/// Topics as the request names them, and the results of their partitions.
struct AppendedTopics {
    topics: Vec<(StrBytes, TopicId)>,
    partitions: Vec<Appended>,
}

fn append_all(
    replicas: &Arc<ReplicaManager>,
    ctx: &RequestContext,
    request: ProduceRequest,
) -> AppendedTopics {
    take_all(replicas, ctx, request, |partition, batch| {
        let appended = partition.append(batch, AppendOrigin::Client, ctx.received_ms);
        appended.map(Append::Done)
    })
    .finish(replicas, ctx)
}

/// Begins the appends of all partitions; other requests may begin before they are finished.
fn begin_all(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, request: ProduceRequest) -> TakenTopics {
    take_all(replicas, ctx, request, |partition, batch| {
        let begun = partition.begin_append(batch, AppendOrigin::Client, ctx.received_ms);
        begun.map(Append::Begun)
    })
}

/// Hands the batch of each partition to `append`.
fn take_all(
    replicas: &Arc<ReplicaManager>,
    ctx: &RequestContext,
    request: ProduceRequest,
    append: impl Fn(&Arc<Partition>, Bytes) -> Result<Append, AppendError>,
) -> TakenTopics {
    let refused = request.topic_data.iter().any(has_transactional_records);
    let acks = request.acks;
    let mut all = TakenTopics {
        topics: Vec::with_capacity(request.topic_data.len()),
        partitions: Vec::new(),
    };
    for topic in latest_of_each(request.topic_data) {
        let id = TopicId(topic.topic_id);
        let index = all.topics.len();
        all.topics.push((topic.name.0.clone(), id));
        for data in topic.partition_data {
            let target = Target {
                name: &topic.name,
                id,
                index: data.index,
            };
            let outcome = if refused {
                Err(Refusal::of(ErrorCode::TransactionalIdAuthorizationFailed))
            } else {
                take_one(replicas, ctx, &target, data.records, acks, &append)
            };
            all.partitions.push((index, data.index, outcome));
        }
    }
    all
}

/// Topics as the request names them, and what became of the records of their partitions, each with its topic's place and its
/// own number.
struct TakenTopics {
    topics: Vec<(StrBytes, TopicId)>,
    partitions: Vec<(usize, i32, Result<Taken, Refusal>)>,
}

/// Records that a partition took.
struct Taken {
    partition: Arc<Partition>,
    required: Option<RequiredAcks>,
    append: Append,
}

enum Append {
    Begun(BegunAppend),
    Done(AppendInfo),
}

impl TakenTopics {
    fn finish(self, replicas: &ReplicaManager, ctx: &RequestContext) -> AppendedTopics {
        let topics = self.topics;
        let finished = self.partitions.into_iter().filter_map(|(at, index, outcome)| {
            let (name, id) = topics.get(at)?;
            let target = Target { name, id: *id, index };
            let outcome = outcome.and_then(Taken::finish);
            Some(Appended::new(replicas, ctx, at, &target, outcome))
        });
        AppendedTopics {
            partitions: finished.collect(),
            topics,
        }
    }
}

impl Taken {
    fn finish(self) -> Result<(AppendInfo, Option<Acknowledgement>), Refusal> {
        let partition = &self.partition;
        let info = match self.append {
            Append::Done(info) => info,
            Append::Begun(begun) => partition
                .finish_append(begun)
                .map_err(|error| refusal_of(&error, partition.log().log_start_offset()))?,
        };
        let wait = self
            .required
            .and_then(|acks| partition.acknowledgement(&info, acks));
        Ok((info, wait))
    }
}

/// A partition that is named twice is written once, with what was named last, and a topic without partitions has no entry
/// in the answer, as in Kafka.
fn latest_of_each(mut topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    // Most requests name one topic.
    if let [only] = topics.as_mut_slice()
        && !only.partition_data.is_empty()
    {
        keep_latest(&mut only.partition_data);
        return topics;
    }
    let mut positions: HashMap<(StrBytes, TopicId), usize> = HashMap::with_capacity(topics.len());
    let mut merged: Vec<TopicProduceData> = Vec::with_capacity(topics.len());
    for topic in topics {
        if topic.partition_data.is_empty() {
            continue;
        }
        let key = (topic.name.0.clone(), TopicId(topic.topic_id));
        match positions.get(&key).and_then(|&at| merged.get_mut(at)) {
            Some(earlier) => earlier.partition_data.extend(topic.partition_data),
            None => {
                positions.insert(key, merged.len());
                merged.push(topic);
            }
        }
    }
    for topic in &mut merged {
        keep_latest(&mut topic.partition_data);
    }
    merged
}

fn keep_latest(partitions: &mut Vec<PartitionProduceData>) {
    if partitions.len() < 2 {
        return;
    }
    let mut positions: HashMap<i32, usize> = HashMap::with_capacity(partitions.len());
    let mut kept: Vec<PartitionProduceData> = Vec::with_capacity(partitions.len());
    for data in partitions.drain(..) {
        match positions.get(&data.index).and_then(|&at| kept.get_mut(at)) {
            Some(earlier) => *earlier = data,
            None => {
                positions.insert(data.index, kept.len());
                kept.push(data);
            }
        }
    }
    *partitions = kept;
}

fn has_transactional_records(topic: &TopicProduceData) -> bool {
    topic.partition_data.iter().any(|data| {
        let records = data.records.as_deref().unwrap_or_default();
        RecordBatch::split_first(records).is_ok_and(|(batch, _)| batch.is_transactional())
    })
}

/// The partition that records go to, by name or, where the name is empty, by id.
struct Target<'a> {
    name: &'a str,
    id: TopicId,
    index: i32,
}

/// Why a partition did not take its records.
struct Refusal {
    code: ErrorCode,
    log_start_offset: i64,
    message: Option<String>,
    record_errors: Vec<BatchIndexAndErrorMessage>,
}

impl Refusal {
    fn of(code: ErrorCode) -> Refusal {
        Refusal {
            code,
            log_start_offset: -1,
            message: None,
            record_errors: Vec::new(),
        }
    }
}

fn take_one(
    replicas: &Arc<ReplicaManager>,
    ctx: &RequestContext,
    target: &Target<'_>,
    records: Option<Bytes>,
    acks: i16,
    append: impl Fn(&Arc<Partition>, Bytes) -> Result<Append, AppendError>,
) -> Result<Taken, Refusal> {
    let partition = if ctx.version >= FIRST_WITH_TOPIC_ID {
        replicas.partition_by_id(target.id, target.index)
    } else {
        replicas.partition(target.name, target.index)
    };
    let partition = partition.map_err(Refusal::of)?;
    let batch = only_batch(ctx.version, records.unwrap_or_default())?;
    let required = required_acks(acks).map_err(Refusal::of)?;
    let name = &partition.topic_partition().topic;
    if metadata::controller::is_internal_topic(name) && ctx.client_id.as_deref() != Some(ADMIN_CLIENT) {
        return Err(Refusal::of(ErrorCode::InvalidTopicException));
    }
    let append =
        append(&partition, batch).map_err(|error| refusal_of(&error, partition.log().log_start_offset()))?;
    Ok(Taken {
        partition,
        required,
        append,
    })
}

/// Exactly one batch of magic 2 (`ProduceRequest.validateRecords`). Bytes of a torn batch behind it are left out. What is
/// no batch at all is answered with words, as in Kafka.
fn only_batch(version: i16, records: Bytes) -> Result<Bytes, Refusal> {
    let (batch, rest) = RecordBatch::split_first(&records).map_err(|error| match error {
        BatchError::Truncated { .. } | BatchError::UnsupportedMagic(0 | 1) => {
            Refusal::of(ErrorCode::InvalidRecord)
        }
        BatchError::LengthTooSmall(_)
        | BatchError::UnsupportedMagic(_)
        | BatchError::CorruptChecksum { .. } => Refusal {
            message: Some(error.to_string()),
            ..Refusal::of(ErrorCode::CorruptMessage)
        },
    })?;
    if version < FIRST_WITH_ZSTD && batch.compression() == Some(Compression::Zstd) {
        return Err(Refusal::of(ErrorCode::UnsupportedCompressionType));
    }
    if RecordBatch::split_first(rest).is_ok() {
        return Err(Refusal::of(ErrorCode::InvalidRecord));
    }
    let size = batch.size_bytes();
    Ok(records.slice(..size))
}

/// `None` for acks=0.
fn required_acks(acks: i16) -> Result<Option<RequiredAcks>, ErrorCode> {
    match acks {
        0 => Ok(None),
        1 => Ok(Some(RequiredAcks::Leader)),
        -1 => Ok(Some(RequiredAcks::AllInSync)),
        _ => Err(ErrorCode::InvalidRequiredAcks),
    }
}

/// Kafka names the log start offset with errors that concern the records, and not with those that it expects
/// (`ReplicaManager.appendRecordsToLeader`).
fn refusal_of(error: &AppendError, log_start_offset: i64) -> Refusal {
    let code = error_codes::of_append(error);
    let mut refusal = Refusal::of(code);
    if let AppendError::InvalidRecord { message, problems }
    | AppendError::InvalidTimestamp { message, problems } = error
        && !problems.is_empty()
    {
        refusal.message = Some(message.clone());
        refusal.record_errors = problems.iter().map(record_error).collect();
    }
    if !matches!(
        code,
        ErrorCode::MessageTooLarge | ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError
    ) {
        refusal.log_start_offset = log_start_offset;
    }
    refusal
}

fn record_error(problem: &RecordProblem) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(problem.batch_index)
        .with_batch_index_error_message(Some(StrBytes::from(problem.message.clone())))
}

impl Appended {
    fn new(
        replicas: &ReplicaManager,
        ctx: &RequestContext,
        topic: usize,
        target: &Target<'_>,
        outcome: Result<(AppendInfo, Option<Acknowledgement>), Refusal>,
    ) -> Appended {
        let answer = PartitionProduceResponse::default().with_index(target.index);
        match outcome {
            Ok((info, wait)) => Appended {
                topic,
                answer: answer
                    .with_base_offset(info.first_offset)
                    .with_log_append_time_ms(info.log_append_time_ms)
                    .with_log_start_offset(info.log_start_offset),
                wait,
            },
            Err(refusal) => Appended {
                topic,
                answer: answer
                    .with_error_code(refusal.code as i16)
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(refusal.log_start_offset)
                    .with_record_errors(refusal.record_errors)
                    .with_error_message(refusal.message.map(StrBytes::from))
                    .with_current_leader(current_leader(replicas, ctx, target, refusal.code)),
                wait: None,
            },
        }
    }
}

fn current_leader(
    replicas: &ReplicaManager,
    ctx: &RequestContext,
    target: &Target<'_>,
    code: ErrorCode,
) -> LeaderIdAndEpoch {
    let answer = LeaderIdAndEpoch::default();
    if ctx.version < FIRST_WITH_LEADER || code != ErrorCode::NotLeaderOrFollower {
        return answer;
    }
    match replicas.leader(target.name, target.id, target.index) {
        Some((leader, epoch)) => answer.with_leader_id(leader.0.into()).with_leader_epoch(epoch.0),
        None => answer,
    }
}

impl AppendedTopics {
    fn take_waits(&mut self) -> Vec<(usize, Acknowledgement)> {
        let waiting = self.partitions.iter_mut().enumerate();
        waiting
            .filter_map(|(at, partition)| Some((at, partition.wait.take()?)))
            .collect()
    }

    /// Waits for every acknowledgement, all of them together no longer than the client said.
    async fn acknowledge(&mut self, waits: Vec<(usize, Acknowledgement)>, timeout: Duration) {
        let timer = tokio::time::sleep(timeout);
        tokio::pin!(timer);
        for (at, wait) in waits {
            let given = tokio::select! {
                biased;
                given = wait.given() => given,
                () = &mut timer => Err(ErrorCode::RequestTimedOut),
            };
            if let (Err(code), Some(partition)) = (given, self.partitions.get_mut(at)) {
                partition.answer.error_code = code as i16;
            }
        }
    }

    fn into_response(self, version: i16) -> ProduceResponse {
        let by_id = version >= FIRST_WITH_TOPIC_ID;
        let mut responses: Vec<TopicProduceResponse> = self
            .topics
            .into_iter()
            .map(|(name, id)| {
                let topic = TopicProduceResponse::default();
                if by_id {
                    topic.with_topic_id(id.0)
                } else {
                    topic.with_name(name.into())
                }
            })
            .collect();
        for partition in self.partitions {
            if let Some(topic) = responses.get_mut(partition.topic) {
                topic.partition_responses.push(partition.answer);
            }
        }
        ProduceResponse::default().with_responses(responses)
    }
}

/// A client that wants no answer learns of an error by losing the connection, as in Kafka.
fn finish_without_answer(ctx: &RequestContext, appended: &AppendedTopics) -> Result<(), CloseReason> {
    let failed = appended
        .partitions
        .iter()
        .find(|partition| partition.answer.error_code != 0);
    let Some(failed) = failed else {
        return Ok(());
    };
    info!(
        peer = %ctx.peer,
        client_id = ctx.client_id.as_deref().unwrap_or(""),
        error = ErrorCode::from_code(failed.answer.error_code).name(),
        "closing a connection: a produce request with acks=0 failed"
    );
    Err(CloseReason::FailedWithoutReply)
}
