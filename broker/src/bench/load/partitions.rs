//! `partitions`: what it takes to create many partitions and to use each once.

use std::time::Instant;

use super::batches::batch;
use super::control::Control;
use super::error::LoadError;
use super::outcome::{NewPartitions, Outcome};
use super::plan::Plan;
use super::process::Usage;
use super::requests::{self, Frame};
use super::run::{Lane, Terms, run};
use super::script::{Produce, Script};
use super::topic::{Topic, new_name};

/// Partitions of a topic, which one request creates.
const PER_TOPIC: u32 = 1000;

/// Creates, produces, deletes.
///
/// # Errors
/// What the broker answers to CreateTopics, and those of a run.
pub fn measure(control: &mut Control, plan: &Plan) -> Result<Outcome, LoadError> {
    let name = new_name();
    let mut topics = Vec::new();
    let outcome = on_new_topics(control, plan, &name, &mut topics);
    Outcome::after_removal(outcome, topics, control)
}

fn on_new_topics(
    control: &mut Control,
    plan: &Plan,
    name: &str,
    topics: &mut Vec<Topic>,
) -> Result<Outcome, LoadError> {
    let batch = batch(plan);
    let acks = plan.acks.map_or(-1, |acks| acks.number());
    let frame_of = |topic: &Topic| requests::produce(&topic.name, acks, batch.clone());
    // The first partition costs what all share.
    let first = Topic::create(control, format!("{name}-first"), 1, &[])?;
    topics.push(first.clone());
    first.produce_to_each(control, &frame_of(&first))?;

    let resident = || -> Result<Option<u64>, LoadError> {
        let usage = plan.pid.map(Usage::of).transpose()?;
        Ok(usage.map(|usage| usage.resident_bytes))
    };
    let before = resident()?;
    let began = Instant::now();
    let mut left = plan.partitions;
    while left > 0 {
        let partitions = left.min(PER_TOPIC);
        left -= partitions;
        let topic = Topic::create(control, format!("{name}-{left}"), partitions, &[])?;
        topics.push(topic);
    }
    let created_in_s = began.elapsed().as_secs_f64();
    let created = resident()?;
    let new = topics.get(1..).unwrap_or_default();
    let frames: Vec<Frame> = new.iter().map(frame_of).collect();
    let measured = run(lanes(plan, new, &frames, batch.len() as u64), &Terms::of(plan))?;
    let used = resident()?;
    let each = |after: Option<u64>| {
        let (before, after) = before.zip(after)?;
        Some(after.saturating_sub(before) as f64 / f64::from(plan.partitions))
    };
    let produced_in_s = measured.seconds;
    let mut outcome = Outcome::from(measured);
    outcome.partitions = Some(NewPartitions {
        count: plan.partitions,
        created_in_s,
        produced_in_s,
        bytes_each_created: each(created),
        bytes_each_used: each(used),
    });
    Ok(outcome)
}

/// Each partition is that of one connection.
fn lanes(plan: &Plan, topics: &[Topic], frames: &[Frame], bytes: u64) -> Vec<Lane> {
    let connections = plan.connections.unwrap_or(1).min(plan.partitions) as usize;
    let targets: Vec<(usize, i32)> = topics
        .iter()
        .enumerate()
        .flat_map(|(place, topic)| topic.numbers().map(move |partition| (place, partition)))
        .collect();
    (0..connections)
        .map(|connection| {
            let own = targets.iter().skip(connection).step_by(connections);
            Lane::One(Script::ProduceOnce(Produce {
                frames: frames.to_vec(),
                targets: own.copied().collect(),
                turn: 0,
                records: plan.records().into(),
                bytes,
                answered: true,
                rests_until: None,
            }))
        })
        .collect()
}
