//! What each workload prepares, and the scripts that it runs. The order of partitions and connections is the same in
//! every run.

use std::time::Duration;

use bytes::Bytes;

use super::batches::batch;
use super::control::Control;
use super::error::LoadError;
use super::options::{Acks, Workload};
use super::outcome::Outcome;
use super::plan::Plan;
use super::requests::{self, FetchBound, Frame};
use super::run::{Lane, Measured, Terms, run};
use super::script::{Cursor, Produce, Script};
use super::topic::Topic;
use super::{idle, partitions};

/// One answer of a fetch, as in Kafka's `max.partition.fetch.bytes`, and the longest that it waits, as in
/// `fetch.max.wait.ms`.
const FETCH: FetchBound = FetchBound {
    max_bytes: 1 << 20,
    max_wait_ms: 500,
};

/// How many requests of a connection are in flight while `fetch` writes its data.
const WRITING_IN_FLIGHT: usize = 5;

/// Prepares, runs and cleans up.
///
/// # Errors
/// Those of the preparation, and the system's.
pub fn measure(plan: &Plan) -> Result<Outcome, LoadError> {
    let mut control = Control::connect(plan.address)?;
    if plan.workload == Workload::Partitions {
        return partitions::measure(&mut control, plan);
    }
    let keys: &[(&str, &str)] = match plan.workload {
        Workload::Flush => &[("flush.messages", "1")],
        Workload::Produce
        | Workload::Fetch
        | Workload::Tiny
        | Workload::EndToEnd
        | Workload::Metadata
        | Workload::Idle
        | Workload::Partitions => &[],
    };
    let topic = Topic::prepare(&mut control, plan, keys)?;
    let outcome = on_topic(&mut control, plan, &topic);
    Outcome::after_removal(outcome, [topic], &mut control)
}

fn on_topic(control: &mut Control, plan: &Plan, topic: &Topic) -> Result<Outcome, LoadError> {
    let batch = batch(plan);
    match plan.workload {
        Workload::Produce | Workload::Tiny | Workload::Flush => {
            topic.produce_to_each(control, &produce_to_all(topic, &batch))?;
            Ok(run(producers(plan, topic, &batch), &Terms::of(plan))?.into())
        }
        Workload::Fetch => {
            let cursors = write_data(control, plan, topic, &batch)?;
            Ok(run(readers(plan, topic, &cursors), &Terms::of(plan))?.into())
        }
        Workload::EndToEnd => {
            let offsets = topic.produce_to_each(control, &produce_to_all(topic, &batch))?;
            Ok(run(pairs(plan, topic, &batch, &offsets), &Terms::of(plan))?.into())
        }
        Workload::Metadata => {
            // The partitions are led, so that no answer holds an error, once each has taken a batch.
            topic.produce_to_each(control, &produce_to_all(topic, &batch))?;
            let of = (!plan.all_topics).then_some(topic.name.as_str());
            let ask = |_| Lane::One(Script::Metadata(requests::metadata(of)));
            Ok(run((0..connections(plan)).map(ask).collect(), &Terms::of(plan))?.into())
        }
        Workload::Idle => {
            topic.produce_to_each(control, &produce_to_all(topic, &batch))?;
            idle::measure(plan, producers_on(1, plan, topic, &batch), &Terms::of(plan))
        }
        Workload::Partitions => partitions::measure(control, plan),
    }
}

/// A request that is answered whatever acks the load uses.
fn produce_to_all(topic: &Topic, batch: &Bytes) -> Frame {
    requests::produce(&topic.name, Acks::All.number(), batch.clone())
}

fn connections(plan: &Plan) -> u32 {
    plan.connections.unwrap_or(1)
}

fn producers(plan: &Plan, topic: &Topic, batch: &Bytes) -> Vec<Lane> {
    producers_on(connections(plan), plan, topic, batch)
}

fn producers_on(connections: u32, plan: &Plan, topic: &Topic, batch: &Bytes) -> Vec<Lane> {
    let frame = producing(plan, topic, batch);
    (0..connections)
        .map(|connection| {
            let partitions = topic.share(connection, connections);
            Lane::One(Script::Produce(produce(plan, &frame, partitions, batch)))
        })
        .collect()
}

fn acks(plan: &Plan) -> Acks {
    plan.acks.unwrap_or(Acks::All)
}

fn producing(plan: &Plan, topic: &Topic, batch: &Bytes) -> Frame {
    requests::produce(&topic.name, acks(plan).number(), batch.clone())
}

fn produce(plan: &Plan, frame: &Frame, partitions: Vec<i32>, batch: &Bytes) -> Produce {
    Produce {
        frames: vec![frame.clone()],
        targets: partitions.into_iter().map(|partition| (0, partition)).collect(),
        turn: 0,
        records: plan.records().into(),
        bytes: batch.len() as u64,
        answered: acks(plan) != Acks::None,
        rests_until: None,
    }
}

/// Writes what is read afterwards, and gives each partition's beginning and end.
fn write_data(
    control: &mut Control,
    plan: &Plan,
    topic: &Topic,
    batch: &Bytes,
) -> Result<Vec<Cursor>, LoadError> {
    let frame = produce_to_all(topic, batch);
    let offsets = topic.produce_to_each(control, &frame)?;
    let all_bytes = u64::from(plan.data_mib.unwrap_or(1)) << 20;
    let batches = all_bytes.div_ceil(batch.len() as u64 * u64::from(topic.partitions.max(1)));
    // One is there already.
    let more = usize::try_from(batches.saturating_sub(1)).unwrap_or(usize::MAX);
    let writers = connections(plan).min(topic.partitions);
    let lanes = (0..writers).map(|connection| {
        let partitions = topic.share(connection, writers);
        let targets = partitions.repeat(more);
        Lane::One(Script::ProduceOnce(produce(plan, &frame, targets, batch)))
    });
    let writing = Terms {
        in_flight: WRITING_IN_FLIGHT,
        rate: None,
        warm_up: Duration::ZERO,
        measured: None,
        ..Terms::of(plan)
    };
    let written = run(lanes.collect(), &writing)?;
    refuse_unclean(&written)?;
    let records = batches.max(1) * u64::from(plan.records());
    let records = i64::try_from(records).unwrap_or(i64::MAX);
    Ok(topic
        .numbers()
        .zip(offsets)
        .map(|(partition, from)| Cursor::new(partition, from, from.saturating_add(records)))
        .collect())
}

/// Data that is not all there can not be read.
fn refuse_unclean(written: &Measured) -> Result<(), LoadError> {
    if written.tally.is_clean() {
        return Ok(());
    }
    let errors = written.tally.errors_by_name();
    Err(LoadError::Answered {
        doing: "take the data that is to be read".to_owned(),
        error: format!("{errors:?} {}", written.tally.sentences.join("; ")),
    })
}

fn readers(plan: &Plan, topic: &Topic, cursors: &[Cursor]) -> Vec<Lane> {
    let connections = connections(plan);
    (0..connections)
        .map(|connection| {
            let partitions = topic.share(connection, connections);
            let own = cursors.iter().filter(|one| partitions.contains(&one.partition));
            let own: Vec<Cursor> = own.cloned().collect();
            // Each answer in flight is of a cursor of its own.
            let count = own.len().max(plan.in_flight as usize);
            let own = own.into_iter().cycle().take(count).collect();
            Lane::One(Script::Fetch(own, requests::fetch(&topic.name, FETCH)))
        })
        .collect()
}

/// A connection that produces and one that fetches on each partition, from behind the first batch.
fn pairs(plan: &Plan, topic: &Topic, batch: &Bytes, offsets: &[i64]) -> Vec<Lane> {
    let frame = producing(plan, topic, batch);
    let records = i64::from(plan.records());
    topic
        .numbers()
        .zip(offsets)
        .map(|(partition, offset)| {
            let produce = produce(plan, &frame, vec![partition], batch);
            let from = offset.saturating_add(records);
            let cursor = Cursor::new(partition, from, i64::MAX);
            Lane::Pair(produce, cursor, requests::fetch(&topic.name, FETCH))
        })
        .collect()
}
