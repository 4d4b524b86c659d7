//! A committer without membership: it commits, reads back and deletes the offsets of a group that has no members.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::offsets::Committing;
use super::pace::pause;
use super::topics::{self, Topic};
use crate::client::{Client, Failure};
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

/// The committer.
pub struct Committer {
    name: String,
    topic: Topic,
    rng: Rng,
    as_whom: Committing,
    left: u32,
    next_offset: i64,
}

impl Committer {
    /// A committer that does `steps` things to a group of its own.
    pub fn new(name: String, topic: Topic, steps: u32, mut rng: Rng) -> Committer {
        let as_whom = Committing {
            group: format!("group-of-{name}"),
            generation: -1,
            member: String::new(),
            instance: None,
            version: *rng.pick(&[2, 5, 7, 8, 9, 10]),
        };
        Committer {
            name,
            topic,
            rng,
            as_whom,
            left: steps,
            next_offset: 0,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        let mut topic_id = None;
        while self.left > 0 && world.phase() == Phase::Working {
            let step = self.step(&mut client, world, &mut topic_id).await;
            pause(&mut self.rng, step, 150).await;
        }
    }

    async fn step(
        &mut self,
        client: &mut Client,
        world: &World,
        topic_id: &mut Option<Uuid>,
    ) -> Result<(), Failure> {
        let id = topics::known_id(client, world, &self.topic, topic_id).await?;
        self.left -= 1;
        let index = self.rng.below(self.topic.partitions as u64) as i32;
        match self.rng.below(10) {
            0 => {
                self.as_whom
                    .delete(client, world, &self.topic, id, &[index])
                    .await?;
            }
            1..4 => {
                let indexes: Vec<i32> = (0..self.topic.partitions).collect();
                self.as_whom
                    .fetch(client, world, &self.topic, id, &indexes)
                    .await?;
            }
            _ => {
                self.next_offset += 1;
                let mut offsets = BTreeMap::from([(index, self.next_offset)]);
                if self.rng.chance(300) {
                    offsets.insert(0, self.next_offset);
                }
                self.as_whom
                    .commit(client, world, &self.topic, id, &offsets)
                    .await?;
            }
        }
        Ok(())
    }
}

impl Actor for Committer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
