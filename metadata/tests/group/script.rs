//! Golden scripts: `testdata/group/*.txt`, one scenario per file, named as a sentence.
//!
//! A line that begins at the margin is a command, an indented one what came of it, `#` a remark. The whole file is written
//! anew from its commands and must be the same; `UPDATE_GOLDEN=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use metadata::group::offsets::{DeletedTopic, DeletedTopics, TopicPartitions};
use metadata::group::request::{
    CommitRequest, DeleteOffsetsRequest, HeartbeatRequest, JoinRequest, LeaveRequest, LeavingMember,
    PartitionOffset, Protocol, SyncRequest, TopicErrors, TopicOffsets,
};
use metadata::group::{CoordinatorRecord, GroupConfig, GroupFilter, Input, Reply, RequestToken};
use metadata::image::{TopicImage, TopicsImage};
use protocol_compat::{ErrorCode, TopicId};
use uuid::Uuid;

use crate::harness::{Event, Harness, name, subscription};

#[test]
fn every_scenario_runs_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/group");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .expect("the scripts are beside the crate")
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for path in scripts {
        let expected = std::fs::read_to_string(&path).expect("a script is readable");
        let actual = Script::default().transcript(&expected);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &actual).expect("a script is writable");
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
    }
}

#[derive(Default)]
struct Script {
    harness: Option<Harness>,
    /// Requests by the name that the script gives them.
    requests: BTreeMap<RequestToken, String>,
    /// The member id that the last JoinGroup of this name was answered with.
    member_ids: BTreeMap<String, Arc<str>>,
    fresh_ids: u128,
}

/// One command: words, and `key=value` pairs.
struct Command<'a> {
    words: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Command<'a> {
        let (pairs, words): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        Command {
            words,
            values: pairs
                .into_iter()
                .filter_map(|pair| pair.split_once('='))
                .collect(),
        }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).copied()
    }

    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        self.get(key).map_or(default, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{key}={text} is no number"))
        })
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn word(&self, index: usize) -> &'a str {
        self.words
            .get(index)
            .unwrap_or_else(|| panic!("{:?} lacks a word", self.words))
    }
}

impl Script {
    fn transcript(mut self, script: &str) -> String {
        let mut out = String::new();
        for line in script.lines().filter(|line| !line.starts_with("  ")) {
            out.push_str(line);
            out.push('\n');
            if !line.is_empty() && !line.starts_with('#') {
                self.run(&Command::parse(line), &mut out);
                self.drain_events(&mut out);
            }
        }
        out
    }

    fn harness(&mut self) -> &mut Harness {
        self.harness
            .get_or_insert_with(|| Harness::new(GroupConfig::default()))
    }

    fn run(&mut self, command: &Command<'_>, out: &mut String) {
        match command.word(0) {
            "config" => self.configure(command),
            "at" => {
                let now_ms = command.word(1).parse().expect("a time in milliseconds");
                self.harness().advance_to(now_ms);
            }
            "set-clock" => self.harness().wall_step_ms = command.number("step", 0),
            "hold" => self.harness().hold_commits = true,
            "release" => {
                self.harness().hold_commits = false;
                self.harness().commit();
            }
            "fail" => {
                let code = ErrorCode::ALL.iter().find(|code| code.name() == command.word(1));
                self.harness().fail_appends = code.copied();
            }
            "heal" => self.harness().fail_appends = None,
            "restart" => self.harness().restart(),
            "evict" => {
                let harness = self.harness();
                let evicted = harness.shard.evict_idle(&harness.committed);
                writeln!(out, "  evicted {evicted}").expect("a string takes it");
            }
            "describe" => self.describe(command, out),
            "list" => self.list(command, out),
            "fetch" => self.fetch(command, out),
            "expire" => {
                let group_id = name(command.get("group").unwrap_or("g"));
                self.harness().step(Input::ExpireOffsets(group_id));
            }
            "topics-deleted" => self.delete_topics(command),
            _ => self.request(command),
        }
    }

    fn configure(&mut self, command: &Command<'_>) {
        assert!(self.harness.is_none(), "config comes first");
        let default = GroupConfig::default();
        self.harness = Some(Harness::new(GroupConfig {
            max_size: command.number("max-size", default.max_size),
            initial_rebalance_delay_ms: command.number("initial-delay", default.initial_rebalance_delay_ms),
            offset_metadata_max_bytes: command.number("metadata-max", default.offset_metadata_max_bytes),
            offsets_retention_ms: command.number("retention", default.offsets_retention_ms),
            ..default
        }));
    }

    fn request(&mut self, command: &Command<'_>) {
        let label = command.word(1).to_owned();
        let token = self.harness().token();
        self.requests.insert(token, label.clone());
        let group_id = name(command.get("group").unwrap_or("g"));
        let group_instance_id = command.get("instance").map(name);
        let member_id = self.member_id(command.get("member").unwrap_or(""));
        let generation = command.number("generation", -1);
        let input = match command.word(0) {
            "join" => Input::Join(token, self.join(command, group_id, member_id)),
            "sync" => Input::Sync(
                token,
                SyncRequest {
                    group_id,
                    generation,
                    member_id,
                    group_instance_id,
                    protocol_type: command.get("type").map(name),
                    protocol_name: command.get("protocol").map(name),
                    assignments: self.assignments(command.get("assign").unwrap_or("")),
                },
            ),
            "heartbeat" => Input::Heartbeat(
                token,
                HeartbeatRequest {
                    group_id,
                    generation,
                    member_id,
                    group_instance_id,
                },
            ),
            "leave" => Input::Leave(
                token,
                LeaveRequest {
                    group_id,
                    members: self.leaving(command.get("members").unwrap_or("")),
                },
            ),
            "commit" => Input::CommitOffsets(
                token,
                CommitRequest {
                    group_id,
                    generation,
                    member_id,
                    group_instance_id,
                    retention_time_ms: command.number("retention", -1),
                    knows_group_id_not_found: command.has("v9"),
                    topics: commit_topics(command.get("offsets").unwrap_or("")),
                },
            ),
            "delete-offsets" => Input::DeleteOffsets(
                token,
                DeleteOffsetsRequest {
                    group_id,
                    topics: partitions(command.get("of").unwrap_or("")),
                },
            ),
            "delete-groups" => {
                let group_ids = command.get("groups").unwrap_or("").split(',').map(name);
                Input::DeleteGroups(token, group_ids.collect())
            }
            other => panic!("{other} is no command"),
        };
        self.harness().step(input);
    }

    fn join(&mut self, command: &Command<'_>, group_id: Arc<str>, member_id: Arc<str>) -> JoinRequest {
        self.fresh_ids += 1;
        let protocols = command.get("protocols").unwrap_or("range:t").split(',');
        JoinRequest {
            group_id,
            member_id,
            group_instance_id: command.get("instance").map(name),
            client_id: name("client"),
            client_host: name("/127.0.0.1"),
            session_timeout_ms: command.number("session", 10_000),
            rebalance_timeout_ms: command.number("rebalance", 60_000),
            protocol_type: name(command.get("type").unwrap_or("consumer")),
            protocols: protocols.filter(|text| !text.is_empty()).map(protocol).collect(),
            member_id_required: !command.has("v3"),
            can_skip_assignment: command.has("v9"),
            fresh_id: Uuid::from_u128(self.fresh_ids),
        }
    }

    /// `@a` is the member id of the last JoinGroup named `a`.
    fn member_id(&self, text: &str) -> Arc<str> {
        match text.strip_prefix('@') {
            Some(label) => self
                .member_ids
                .get(label)
                .unwrap_or_else(|| panic!("no member id for {label}"))
                .clone(),
            None => name(text),
        }
    }

    fn assignments(&self, text: &str) -> Vec<(Arc<str>, bytes::Bytes)> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
        pairs
            .map(|(member, assignment)| (self.member_id(member), assignment.as_bytes().to_vec().into()))
            .collect()
    }

    fn leaving(&self, text: &str) -> Vec<LeavingMember> {
        let members = text.split(',').filter(|text| !text.is_empty());
        members
            .map(|text| {
                let (member, instance) = text.split_once('/').map_or((text, None), |(m, i)| (m, Some(i)));
                LeavingMember {
                    member_id: self.member_id(member),
                    group_instance_id: instance.map(name),
                }
            })
            .collect()
    }

    fn describe(&mut self, command: &Command<'_>, out: &mut String) {
        let group_id = command.get("group").unwrap_or("g");
        let harness = self.harness();
        let line = match harness.shard.describe_group(group_id, &harness.committed) {
            None => "Dead".to_owned(),
            Some(group) => {
                let members = group.members.iter().map(|member| {
                    format!(
                        " {}={}",
                        short(&member.member_id),
                        String::from_utf8_lossy(&member.assignment)
                    )
                });
                let members: String = members.collect();
                format!(
                    "{} type={} protocol={}{members}",
                    group.state, group.protocol_type, group.protocol
                )
            }
        };
        writeln!(out, "  {line}").expect("a string takes it");
    }

    fn list(&mut self, command: &Command<'_>, out: &mut String) {
        let names = |key| {
            let given = command.get(key).unwrap_or("").split(',');
            given.filter(|text| !text.is_empty()).map(name).collect()
        };
        let filter = GroupFilter {
            states: names("states"),
            types: names("types"),
        };
        let harness = self.harness();
        for group in harness.shard.list_groups(&filter, &harness.committed) {
            writeln!(
                out,
                "  {} {} type={}",
                group.group_id, group.state, group.protocol_type
            )
            .expect("a string takes it");
        }
    }

    /// `of=t@1,u@2` names deleted topics, `except=t@1` those that still exist.
    fn delete_topics(&mut self, command: &Command<'_>) {
        let group_id = name(command.get("group").unwrap_or("g"));
        let deleted = match command.get("of") {
            Some(text) => {
                let topics = named_topics(text).map(|(name, id)| DeletedTopic { name, id });
                DeletedTopics::These(topics.collect())
            }
            None => {
                let mut topics = TopicsImage::default();
                for (name, id) in named_topics(command.get("except").unwrap_or_default()) {
                    topics.insert(TopicImage::new(name, id));
                }
                DeletedTopics::AllExcept(topics)
            }
        };
        self.harness().step(Input::TopicsDeleted(group_id, deleted));
    }

    fn fetch(&mut self, command: &Command<'_>, out: &mut String) {
        let group_id = command.get("group").unwrap_or("g").to_owned();
        let harness = self.harness();
        let topics = match command.get("of") {
            None => harness.shard.fetch_all_offsets(&group_id, &harness.committed),
            Some(text) => {
                let asked = partitions(text)
                    .into_iter()
                    .map(|(topic, partitions)| TopicPartitions {
                        topic,
                        topic_id: topic_id(command.number("topic-id", 0)),
                        partitions,
                    });
                let asked: Vec<_> = asked.collect();
                harness.shard.fetch_offsets(&group_id, &asked, &harness.committed)
            }
        };
        for topic in topics {
            for partition in topic.partitions {
                writeln!(
                    out,
                    "  {}:{} offset={} epoch={} metadata={}",
                    topic.topic,
                    partition.partition,
                    partition.offset,
                    partition.leader_epoch,
                    partition.metadata
                )
                .expect("a string takes it");
            }
        }
    }

    fn drain_events(&mut self, out: &mut String) {
        for event in std::mem::take(&mut self.harness().events) {
            let line = match event {
                Event::Replied(token, reply) => {
                    let label = self.requests.get(&token).cloned().unwrap_or_default();
                    if let Reply::Join(reply) = &reply {
                        self.member_ids.insert(label.clone(), reply.member_id.clone());
                    }
                    format!("{label} <- {}", reply_text(&reply))
                }
                Event::Appended(record) => format!("log {}", record_text(&record)),
                Event::Failed(error) => format!("append fails: {}", error.name()),
            };
            writeln!(out, "  {line}").expect("a string takes it");
        }
    }
}

fn protocol(text: &str) -> Protocol {
    let (protocol, topics) = text.split_once(':').unwrap_or((text, ""));
    let metadata = match topics {
        "garbage" => b"garbage".as_slice().into(),
        topics => {
            let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
            subscription(&topics)
        }
    };
    Protocol {
        name: name(protocol),
        metadata,
    }
}

/// `t:0=5,t:1=7/text,u:0=1@3`: topic, partition, offset, metadata, topic id.
fn commit_topics(text: &str) -> Vec<TopicOffsets> {
    let mut topics: Vec<TopicOffsets> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (part, id) = part.split_once('@').unwrap_or((part, "0"));
        let (part, metadata) = part.split_once('/').map_or((part, None), |(p, m)| (p, Some(m)));
        let mut fields = part.split(':');
        let mut next = || fields.next().unwrap_or_else(|| panic!("{part} lacks a field"));
        let (topic, partition, offset) = (next(), next(), next());
        let entry = PartitionOffset {
            partition: partition.parse().expect("a partition"),
            offset: offset.parse().expect("an offset"),
            leader_epoch: -1,
            metadata: metadata.map(name),
        };
        match topics.iter_mut().find(|known| &*known.topic == topic) {
            Some(known) => known.partitions.push(entry),
            None => topics.push(TopicOffsets {
                topic: name(topic),
                topic_id: topic_id(id.parse().expect("a topic id")),
                partitions: vec![entry],
            }),
        }
    }
    topics
}

fn partitions(text: &str) -> Vec<(Arc<str>, Vec<i32>)> {
    let mut topics: Vec<(Arc<str>, Vec<i32>)> = Vec::new();
    for (topic, partition) in text.split(',').filter_map(|part| part.split_once(':')) {
        let partition = partition.parse().expect("a partition");
        match topics.iter_mut().find(|(known, _)| &**known == topic) {
            Some((_, partitions)) => partitions.push(partition),
            None => topics.push((name(topic), vec![partition])),
        }
    }
    topics
}

/// `t@1,u@2`: names and ids.
fn named_topics(text: &str) -> impl Iterator<Item = (Arc<str>, TopicId)> {
    let parts = text.split(',').filter_map(|part| part.split_once('@'));
    parts.map(|(topic, id)| (name(topic), topic_id(id.parse().expect("a topic id"))))
}

fn topic_id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

/// Generated ids end in a number; only that is shown.
fn short(member_id: &str) -> String {
    match member_id.split_once("-00000000-0000-0000-0000-") {
        Some((prefix, number)) => format!("{prefix}-{}", number.trim_start_matches('0')),
        None => member_id.to_owned(),
    }
}

fn error_text(error: ErrorCode) -> String {
    match error {
        ErrorCode::None => "ok".to_owned(),
        error => error.name().to_owned(),
    }
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Join(reply) if reply.error == ErrorCode::None => {
            let members: Vec<String> = reply
                .members
                .iter()
                .map(|member| short(&member.member_id))
                .collect();
            format!(
                "joined generation={} as {} leader={} protocol={} members={}{}",
                reply.generation,
                short(&reply.member_id),
                short(&reply.leader),
                reply.protocol_name.as_deref().unwrap_or("none"),
                members.join("+"),
                if reply.skip_assignment {
                    " skip-assignment"
                } else {
                    ""
                }
            )
        }
        Reply::Join(reply) => format!("join: {} member={}", reply.error.name(), short(&reply.member_id)),
        Reply::Sync(reply) if reply.error == ErrorCode::None => {
            format!("assigned {}", String::from_utf8_lossy(&reply.assignment))
        }
        Reply::Sync(reply) => format!("sync: {}", reply.error.name()),
        Reply::Heartbeat(error) => format!("heartbeat: {}", error_text(*error)),
        Reply::Leave(reply) => {
            let members = reply
                .members
                .iter()
                .map(|(member, error)| format!(" {}={}", short(&member.member_id), error_text(*error)));
            format!(
                "leave: {}{}",
                error_text(reply.error),
                members.collect::<String>()
            )
        }
        Reply::CommitOffsets(topics) => format!("commit:{}", outcomes_text(topics)),
        Reply::DeleteOffsets(reply) => format!(
            "delete: {}{}",
            error_text(reply.error),
            outcomes_text(&reply.topics)
        ),
        Reply::DeleteGroups(groups) => {
            let groups = groups
                .iter()
                .map(|(group, error)| format!(" {group}={}", error_text(*error)));
            format!("deleted:{}", groups.collect::<String>())
        }
    }
}

fn outcomes_text(topics: &[TopicErrors]) -> String {
    let mut text = String::new();
    for topic in topics {
        for (partition, error) in &topic.partitions {
            write!(text, " {}:{partition}={}", topic.topic, error_text(*error)).expect("a string takes it");
        }
    }
    text
}

fn record_text(record: &CoordinatorRecord) -> String {
    match record {
        CoordinatorRecord::Offset {
            group_id,
            topic,
            partition,
            value,
        } => match value {
            Some(value) => {
                let expires = value.expire_timestamp_ms.map(|at| format!(" expires={at}"));
                format!(
                    "offset {group_id} {topic}:{partition}={}{}",
                    value.offset,
                    expires.unwrap_or_default()
                )
            }
            None => format!("offset {group_id} {topic}:{partition} removed"),
        },
        CoordinatorRecord::Group {
            group_id,
            value: None,
        } => format!("group {group_id} removed"),
        CoordinatorRecord::Group {
            group_id,
            value: Some(value),
        } => {
            let members = value.members.iter().map(|member| {
                format!(
                    " {}={}",
                    short(&member.member_id),
                    String::from_utf8_lossy(&member.assignment)
                )
            });
            format!(
                "group {group_id} generation={} type={} protocol={} leader={} since={}{}",
                value.generation,
                value.protocol_type,
                value.protocol.as_deref().unwrap_or("none"),
                short(value.leader.as_deref().unwrap_or("none")),
                value.state_timestamp_ms,
                members.collect::<String>()
            )
        }
    }
}
