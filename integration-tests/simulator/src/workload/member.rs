//! A member of a classic group: it joins, reads what it owns, commits what it read, and leaves, crashes, falls silent or goes
//! on where it was after the node's death. A static member comes back under its own name.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use protocol_compat::error_code::ErrorCode;
use tokio::time::sleep;
use uuid::Uuid;

use super::fetch::{self, EARLIEST, Fetcher, Step, Style};
use super::membership::{Joined, Membership, Versions};
use super::offsets::Committing;
use super::pace::pause;
use super::topics::{self, Topic};
use crate::client::{Client, Failure};
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

/// The shortest that Kafka allows by default.
const SESSION_TIMEOUT_MS: i32 = 6_000;
/// What a healthy node is asked at most.
const HEALTHY_STEPS: u32 = 20;

/// The member.
pub struct Member {
    name: String,
    topic: Topic,
    style: Style,
    rng: Rng,
    membership: Membership,
    state: State,
    left: u32,
    topic_id: Option<Uuid>,
}

/// How far in the group it is.
enum State {
    Out,
    Joined(Joined),
    Owner {
        generation: i32,
        positions: BTreeMap<i32, i64>,
        /// Where reading begins is known.
        has_fetched_offsets: bool,
    },
}

impl Member {
    /// A member of `group` that does `steps` things.
    pub fn new(name: String, group: &str, topic: Topic, steps: u32, mut rng: Rng) -> Member {
        let is_static = rng.chance(350);
        let membership = Membership {
            group: group.to_owned(),
            member: String::new(),
            instance: is_static.then(|| format!("instance-of-{name}")),
            versions: Versions::chosen(is_static, &mut rng),
            session_timeout_ms: SESSION_TIMEOUT_MS,
        };
        Member {
            name,
            style: Style::chosen(&topic, &mut rng),
            topic,
            rng,
            membership,
            state: State::Out,
            left: steps,
            topic_id: None,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        let mut fetcher = None;
        while self.left > 0 {
            if world.phase() == Phase::Healing {
                self.left = self.left.min(HEALTHY_STEPS);
            }
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
        let topic_id = topics::known_id(client, world, &self.topic, &mut self.topic_id).await?;
        self.left -= 1;
        match &self.state {
            State::Out => self.join(client, world).await,
            State::Joined(joined) => {
                let (topic, joined) = (&self.topic, joined.clone());
                let synced = self
                    .membership
                    .sync(client, world, &joined, topic_id, topic.partitions)
                    .await?;
                match synced {
                    Ok(indexes) => {
                        *fetcher = None;
                        self.state = State::Owner {
                            generation: joined.generation,
                            positions: indexes.into_iter().map(|index| (index, 0)).collect(),
                            has_fetched_offsets: false,
                        };
                    }
                    Err(code) => self.refused(world, code),
                }
                Ok(())
            }
            State::Owner { .. } => self.own(client, world, topic_id, fetcher).await,
        }
    }

    async fn join(&mut self, client: &mut Client, world: &World) -> Result<(), Failure> {
        let joined = self
            .membership
            .join(client, world, &self.topic.name, &mut self.rng)
            .await?;
        match joined {
            Ok(joined) => self.state = State::Joined(joined),
            Err(code) => self.refused(world, code),
        }
        Ok(())
    }

    /// The group does not go on with this member as it is.
    fn refused(&mut self, world: &World, code: ErrorCode) {
        world.trace(format_args!("{} is told {}", self.name, code.name()));
        match code {
            // The member goes on as it is, with what it has.
            ErrorCode::None
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::RequestTimedOut => {}
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::MemberIdRequired => {
                self.state = State::Out;
            }
            _ => {
                self.membership.member.clear();
                self.state = State::Out;
            }
        }
    }

    async fn own(
        &mut self,
        client: &mut Client,
        world: &World,
        topic_id: Uuid,
        fetcher: &mut Option<Fetcher>,
    ) -> Result<(), Failure> {
        match self.rng.below(100) {
            0..2 => {
                let result = self.membership.leave(client).await;
                self.forget();
                result
            }
            2..4 => {
                client.disconnect();
                self.forget();
                Ok(())
            }
            4..6 => {
                client.disconnect();
                let silence_ms = self.rng.between(1_000, SESSION_TIMEOUT_MS as u64 + 2_000);
                sleep(Duration::from_millis(silence_ms)).await;
                self.commit(client, world, topic_id).await
            }
            6..30 => self.heartbeat(client, world).await,
            30..55 => self.commit(client, world, topic_id).await,
            _ => self.read(client, world, topic_id, fetcher).await,
        }
    }

    fn forget(&mut self) {
        self.membership.member.clear();
        self.state = State::Out;
    }

    fn generation(&self) -> i32 {
        match &self.state {
            State::Owner { generation, .. } => *generation,
            State::Joined(joined) => joined.generation,
            State::Out => -1,
        }
    }

    async fn heartbeat(&mut self, client: &mut Client, world: &World) -> Result<(), Failure> {
        let code = self
            .membership
            .heartbeat(client, world, self.generation())
            .await?;
        self.refused(world, code);
        Ok(())
    }

    fn committing(&self) -> Committing {
        Committing {
            group: self.membership.group.clone(),
            generation: self.generation(),
            member: self.membership.member.clone(),
            instance: self.membership.instance.clone(),
            version: self.membership.versions.offsets,
        }
    }

    async fn commit(&mut self, client: &mut Client, world: &World, topic_id: Uuid) -> Result<(), Failure> {
        let committing = self.committing();
        let State::Owner {
            positions,
            has_fetched_offsets: true,
            ..
        } = &self.state
        else {
            return Ok(());
        };
        if positions.is_empty() {
            return Ok(());
        }
        let code = committing
            .commit(client, world, &self.topic, topic_id, positions)
            .await?;
        self.refused(world, code);
        Ok(())
    }

    async fn read(
        &mut self,
        client: &mut Client,
        world: &World,
        topic_id: Uuid,
        fetcher: &mut Option<Fetcher>,
    ) -> Result<(), Failure> {
        let committing = self.committing();
        let State::Owner {
            positions,
            has_fetched_offsets,
            ..
        } = &mut self.state
        else {
            return Ok(());
        };
        let indexes: Vec<i32> = positions.keys().copied().collect();
        if indexes.is_empty() {
            return Ok(());
        }
        if !*has_fetched_offsets {
            let committed = committing
                .fetch(client, world, &self.topic, topic_id, &indexes)
                .await?;
            positions.extend(committed);
            *has_fetched_offsets = true;
            return Ok(());
        }
        let fetcher =
            fetcher.get_or_insert_with(|| Fetcher::new(self.style.clone(), self.topic.clone(), topic_id));
        let steps = fetcher.fetch(client, world, positions).await?;
        let mut out_of_range = Vec::new();
        for (index, step) in steps {
            match step {
                Step::Next(offset) => {
                    positions.insert(index, offset);
                }
                Step::OutOfRange => out_of_range.push(index),
                Step::Error(_) => {}
            }
        }
        if !out_of_range.is_empty() {
            let starts =
                fetch::list_offsets(client, world, &self.topic, topic_id, &out_of_range, EARLIEST).await?;
            positions.extend(starts);
        }
        Ok(())
    }
}

impl Actor for Member {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
