//! A reader that follows some partitions of a topic from their start, and goes back to earlier offsets now and then.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;
use protocol_compat::error_code::ErrorCode;
use uuid::Uuid;

use super::fetch::{self, EARLIEST, Fetcher, Step, Style};
use super::pace::pause;
use super::topics::{self, Topic};
use crate::client::{Client, Failure};
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

/// Most partitions that one reader follows.
const MAX_PARTITIONS: u64 = 8;

/// The reader.
pub struct Reader {
    name: String,
    topic: Topic,
    style: Style,
    rng: Rng,
    /// Fetches that are still to be made.
    left: u32,
    topic_id: Option<Uuid>,
    positions: BTreeMap<i32, i64>,
}

impl Reader {
    /// A reader of `topic` that fetches `fetches` times.
    pub fn new(name: String, topic: Topic, fetches: u32, mut rng: Rng) -> Reader {
        Reader {
            name,
            style: Style::chosen(&topic, &mut rng),
            topic,
            rng,
            left: fetches,
            topic_id: None,
            positions: BTreeMap::new(),
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        let mut fetcher = None;
        while self.left > 0 && world.phase() == Phase::Working {
            let step = self.step(&mut client, world, &mut fetcher).await;
            pause(&mut self.rng, step, 100).await;
        }
    }

    async fn step(
        &mut self,
        client: &mut Client,
        world: &World,
        fetcher: &mut Option<Fetcher>,
    ) -> Result<(), Failure> {
        let Some(current) = fetcher else {
            *fetcher = Some(self.begin(client, world).await?);
            return Ok(());
        };
        self.left -= 1;
        let steps = current.fetch(client, world, &self.positions).await?;
        let mut out_of_range = Vec::new();
        for (index, step) in steps {
            match step {
                Step::Next(offset) => {
                    self.positions.insert(index, offset);
                }
                Step::OutOfRange => out_of_range.push(index),
                Step::Error(ErrorCode::UnknownTopicId | ErrorCode::InconsistentTopicId) => *fetcher = None,
                Step::Error(_) => {}
            }
        }
        if !out_of_range.is_empty()
            && let Some(id) = self.topic_id
        {
            let starts = fetch::list_offsets(client, world, &self.topic, id, &out_of_range, EARLIEST).await?;
            self.positions.extend(starts);
        }
        self.wander();
        Ok(())
    }

    /// Finds the topic's id. Of another one, reading begins at the start.
    async fn begin(&mut self, client: &mut Client, world: &World) -> Result<Fetcher, Failure> {
        let id = topics::id_of(client, world, &self.topic)
            .await?
            .ok_or(Failure::NotSent)?;
        if self.topic_id != Some(id) {
            self.topic_id = Some(id);
            self.positions = BTreeMap::new();
            for _ in 0..self.rng.between(1, MAX_PARTITIONS) {
                self.positions
                    .insert(self.rng.below(self.topic.partitions as u64) as i32, 0);
            }
        }
        Ok(Fetcher::new(self.style.clone(), self.topic.clone(), id))
    }

    /// Goes back with one partition, or changes which partitions are followed.
    fn wander(&mut self) {
        let index = self.rng.below(self.topic.partitions as u64) as i32;
        if self.rng.chance(40)
            && let Some(position) = self.positions.get_mut(&index)
        {
            *position = self.rng.below(*position as u64 + 1) as i64;
        } else if self.rng.chance(20) {
            self.positions.entry(index).or_insert(0);
        } else if self.rng.chance(10) && self.positions.len() > 1 {
            self.positions.remove(&index);
        }
    }
}

impl Actor for Reader {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
