//! Seeded random runs: clients that join, sync, commit, fall silent, leave, repeat themselves and lie, over a log that fails and
//! lags and a node that restarts.
//!
//! Invariants: no request is answered twice and each is answered in the end; a partition has one owner per generation;
//! generations and committed offsets never go back; the rows are what a replay of the log gives; a stable group is what its
//! record says.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use metadata::group::classic::GroupState;
use metadata::group::request::{
    CommitRequest, HeartbeatRequest, JoinRequest, LeaveRequest, LeavingMember, PartitionOffset, Protocol,
    SyncRequest, TopicOffsets,
};
use metadata::group::{CommittedOffsets, GroupConfig, Input, MemoryOffsets, Reply, RequestToken, Shard};
use protocol_compat::{ErrorCode, TopicId};
use uuid::Uuid;

use crate::harness::{Harness, name, subscription};

const SEEDS: u64 = 60;
const STEPS: usize = 400;
const CLIENTS: usize = 5;
const PARTITIONS: i32 = 4;

#[test]
fn groups_keep_their_promises_under_random_clients_failures_and_restarts() {
    for seed in 1..=SEEDS {
        Run::new(seed).go();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*: small, seeded, good enough to choose among a few actions.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Default)]
struct Client {
    member_id: String,
    instance: Option<Arc<str>>,
    generation: i32,
    /// Set with a JoinGroup that made this client the leader.
    to_assign: Option<Vec<Arc<str>>>,
    joined: bool,
    stable: bool,
    waiting: Option<RequestToken>,
}

struct Run {
    seed: u64,
    random: Random,
    harness: Harness,
    clients: Vec<Client>,
    /// Who was told to own a partition in a generation.
    owners: BTreeMap<(i32, i32), Arc<str>>,
    highest_generation: i32,
    next_offset: i64,
    commits: BTreeMap<RequestToken, i64>,
    acknowledged: i64,
    sent: Vec<RequestToken>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let config = GroupConfig {
            initial_rebalance_delay_ms: 3_000,
            max_size: 4,
            ..GroupConfig::default()
        };
        let clients = (0..CLIENTS).map(|index| Client {
            instance: (index == 0).then(|| name("static-0")),
            ..Client::default()
        });
        Run {
            seed,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            harness: Harness::new(config),
            clients: clients.collect(),
            owners: BTreeMap::new(),
            highest_generation: 0,
            next_offset: 0,
            commits: BTreeMap::new(),
            acknowledged: -1,
            sent: Vec::new(),
        }
    }

    fn go(mut self) {
        for _ in 0..STEPS {
            self.act();
            self.collect();
            self.check();
        }
        self.harness.fail_appends = None;
        self.harness.hold_commits = false;
        self.harness.commit();
        let now_ms = self.harness.now_ms;
        self.harness.advance_to(now_ms + 30 * 60_000);
        self.collect();
        self.check();
        for token in &self.sent {
            assert!(
                self.harness.replies.contains_key(token),
                "seed {}: {token:?} was never answered",
                self.seed
            );
        }
    }

    fn act(&mut self) {
        let now_ms = self.harness.now_ms;
        match self.random.below(40) {
            0..=11 => {
                let pause_ms = self.random.below(4_000) as i64;
                self.harness.advance_to(now_ms + pause_ms);
            }
            12 => self.harness.hold_commits = true,
            13..=15 => {
                self.harness.hold_commits = false;
                self.harness.commit();
            }
            16 => self.harness.fail_appends = Some(ErrorCode::NotEnoughReplicas),
            17..=19 => self.harness.fail_appends = None,
            20 if self.random.one_in(4) => self.harness.restart(),
            21 => {
                let harness = &mut self.harness;
                harness.shard.evict_idle(&harness.committed);
            }
            _ => self.client_acts(),
        }
    }

    fn client_acts(&mut self) {
        let index = self.random.below(CLIENTS as u64) as usize;
        let client = self.clients[index].clone();
        // A client that waits does nothing, or has lost its connection and asks again.
        if client.waiting.is_some() && !self.random.one_in(6) {
            return;
        }
        if self.random.one_in(25) {
            return self.leave(index);
        }
        let generation = client.generation - i32::from(self.random.one_in(30));
        if !client.joined || self.random.one_in(20) {
            self.join(index);
        } else if !client.stable {
            self.sync(index, generation);
        } else if self.random.one_in(2) {
            self.heartbeat(index, generation);
        } else {
            self.commit(index, generation);
        }
    }

    fn send(&mut self, index: usize, input: impl FnOnce(RequestToken) -> Input) -> RequestToken {
        let token = self.harness.token();
        self.sent.push(token);
        self.clients[index].waiting = Some(token);
        let input = input(token);
        self.harness.step(input);
        token
    }

    fn join(&mut self, index: usize) {
        let client = self.clients[index].clone();
        let topics: &[&str] = if self.random.one_in(10) {
            &["t", "u"]
        } else {
            &["t"]
        };
        let request = JoinRequest {
            group_id: name("g"),
            member_id: name(&client.member_id),
            group_instance_id: client.instance,
            client_id: name("client"),
            client_host: name("/127.0.0.1"),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            protocol_type: name("consumer"),
            protocols: vec![Protocol {
                name: name("range"),
                metadata: subscription(topics),
            }],
            member_id_required: !self.random.one_in(8),
            can_skip_assignment: self.random.one_in(2),
            fresh_id: Uuid::from_u64_pair(self.random.below(u64::MAX >> 1), self.random.below(1 << 31)),
        };
        self.clients[index].joined = false;
        self.clients[index].stable = false;
        self.send(index, |token| Input::Join(token, request));
    }

    fn sync(&mut self, index: usize, generation: i32) {
        let client = self.clients[index].clone();
        let members = client.to_assign.unwrap_or_default();
        let assignments = members.iter().enumerate().map(|(position, member_id)| {
            let owned = (0..PARTITIONS).filter(|partition| *partition as usize % members.len() == position);
            let owned: Vec<u8> = owned.map(|partition| partition as u8).collect();
            (member_id.clone(), owned.into())
        });
        let request = SyncRequest {
            group_id: name("g"),
            generation,
            member_id: name(&client.member_id),
            group_instance_id: client.instance,
            protocol_type: Some(name("consumer")),
            protocol_name: Some(name("range")),
            assignments: assignments.collect(),
        };
        self.send(index, |token| Input::Sync(token, request));
    }

    fn heartbeat(&mut self, index: usize, generation: i32) {
        let client = self.clients[index].clone();
        let request = HeartbeatRequest {
            group_id: name("g"),
            generation,
            member_id: name(&client.member_id),
            group_instance_id: client.instance,
        };
        self.send(index, |token| Input::Heartbeat(token, request));
    }

    fn commit(&mut self, index: usize, generation: i32) {
        let client = self.clients[index].clone();
        self.next_offset += 1;
        let offset = PartitionOffset {
            partition: 0,
            offset: self.next_offset,
            leader_epoch: -1,
            metadata: None,
        };
        let request = CommitRequest {
            group_id: name("g"),
            generation,
            member_id: name(&client.member_id),
            group_instance_id: client.instance,
            retention_time_ms: -1,
            knows_group_id_not_found: true,
            topics: vec![TopicOffsets {
                topic: name("t"),
                topic_id: TopicId::NIL,
                partitions: vec![offset],
            }],
        };
        let offset = self.next_offset;
        let token = self.send(index, |token| Input::CommitOffsets(token, request));
        self.commits.insert(token, offset);
    }

    fn leave(&mut self, index: usize) {
        let client = self.clients[index].clone();
        let members = vec![LeavingMember {
            member_id: name(&client.member_id),
            group_instance_id: client.instance,
        }];
        let request = LeaveRequest {
            group_id: name("g"),
            members,
        };
        self.send(index, |token| Input::Leave(token, request));
        self.clients[index].member_id.clear();
        self.clients[index].joined = false;
    }

    /// Lets the clients read their answers.
    fn collect(&mut self) {
        for index in 0..CLIENTS {
            let Some(token) = self.clients[index].waiting else {
                continue;
            };
            if let Some(reply) = self.harness.replies.get(&token).cloned() {
                self.clients[index].waiting = None;
                self.read(index, reply);
            }
        }
        let commits = self.commits.iter().filter(|(token, _)| {
            let reply = self.harness.replies.get(token);
            matches!(reply, Some(Reply::CommitOffsets(topics)) if topics[0].partitions[0].1 == ErrorCode::None)
        });
        let highest = commits.map(|(_, offset)| *offset).max();
        self.acknowledged = self.acknowledged.max(highest.unwrap_or(-1));
    }

    fn read(&mut self, index: usize, reply: Reply) {
        let seed = self.seed;
        let client = &mut self.clients[index];
        match reply {
            Reply::Join(reply) => match reply.error {
                ErrorCode::None => {
                    // What nobody synced in may be lost with the node.
                    assert!(
                        reply.generation >= self.highest_generation,
                        "seed {seed}: the generation went back"
                    );
                    client.member_id = reply.member_id.to_string();
                    client.generation = reply.generation;
                    client.joined = true;
                    let leads = reply.leader == reply.member_id && !reply.skip_assignment;
                    let members = reply.members.into_iter().map(|member| member.member_id);
                    client.to_assign = leads.then(|| members.collect());
                }
                ErrorCode::MemberIdRequired => client.member_id = reply.member_id.to_string(),
                _ => client.member_id.clear(),
            },
            Reply::Sync(reply) if reply.error == ErrorCode::None => {
                client.stable = true;
                let (generation, member_id) = (client.generation, name(&client.member_id));
                self.highest_generation = self.highest_generation.max(generation);
                self.note_owner(generation, &member_id, &reply.assignment);
            }
            Reply::Heartbeat(ErrorCode::None) | Reply::Leave(_) | Reply::CommitOffsets(_) => {}
            Reply::Sync(_) | Reply::Heartbeat(_) => {
                client.joined = false;
                client.stable = false;
                if self.random.one_in(3) {
                    self.clients[index].member_id.clear();
                }
            }
            Reply::DeleteOffsets(_) | Reply::DeleteGroups(_) => unreachable!("nobody asked for it"),
        }
    }

    fn note_owner(&mut self, generation: i32, member_id: &Arc<str>, assignment: &[u8]) {
        for partition in assignment {
            let key = (generation, i32::from(*partition));
            let owner = self.owners.entry(key).or_insert_with(|| member_id.clone());
            // A static member's former id is no second owner: it is fenced.
            let same =
                owner == member_id || (owner.starts_with("static-0") && member_id.starts_with("static-0"));
            assert!(
                same,
                "seed {}: partition {partition} has two owners in generation {generation}",
                self.seed
            );
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        let harness = &self.harness;
        if let Some(offset) = harness.committed.offset("g", "t", 0) {
            assert!(
                offset.offset >= self.acknowledged,
                "seed {seed}: an acknowledged offset is gone"
            );
        } else {
            assert_eq!(
                self.acknowledged, -1,
                "seed {seed}: an acknowledged offset is gone"
            );
        }
        let Some(group) = harness.shard.group("g") else {
            return;
        };
        assert!(
            group.generation() >= self.highest_generation,
            "seed {seed}: the generation went back"
        );
        if group.state() == GroupState::Stable && harness.committed == replayed(harness) {
            self.check_stable_group_is_what_its_record_says();
        }
    }

    fn check_stable_group_is_what_its_record_says(&self) {
        let harness = &self.harness;
        let live = harness.shard.describe_group("g", &harness.committed);
        let from_rows = Shard::new(harness.config.clone()).describe_group("g", &harness.committed);
        let ids = |group: &Option<metadata::group::DescribedGroup>| {
            let members = group.iter().flat_map(|group| &group.members);
            members
                .map(|member| (member.member_id.clone(), member.assignment.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ids(&live),
            ids(&from_rows),
            "seed {}: the record differs",
            self.seed
        );
    }
}

fn replayed(harness: &Harness) -> MemoryOffsets {
    let mut rows = MemoryOffsets::default();
    harness.log.iter().for_each(|record| rows.apply(record));
    let mut count = 0;
    rows.for_each_offset("g", &mut |_, _, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(count <= 1, "one partition is committed to");
    rows
}
