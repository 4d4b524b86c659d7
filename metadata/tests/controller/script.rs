//! A little language for scenarios: a line that begins with `> ` is a command, what follows is the outcome. `+ ` marks a
//! record. Every decision is replayed at once, and after each command the image must equal its own snapshot.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use metadata::configs::{ConfigResource, ConfigResourceType, ConfigSource};
use metadata::controller::{
    ApiError, BrokerRegistration, ConfigChange, Controller, ControllerConfig, CreatableTopic,
    CreatePartitionsTopic, Decision, DeletableTopic, IdSource, ReplicaAssignment, snapshot_records,
};
use metadata::image::BrokerEndpoint;
use protocol_compat::records::metadata::MetadataRecord;
use protocol_compat::{BrokerId, TopicId};
use uuid::Uuid;

/// Ids 1000, 1001, ... so that transcripts stay the same.
pub struct Counting(pub u128);

impl IdSource for Counting {
    fn next_id(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }
}

pub fn config() -> ControllerConfig {
    ControllerConfig {
        cluster_id: "cluster".into(),
        node_id: BrokerId(1),
        num_partitions: 1,
        default_replication_factor: 1,
        broker_configs: Arc::new(BTreeMap::new()),
    }
}

pub fn registration(id: i32, incarnation: u128, ready: bool) -> BrokerRegistration {
    BrokerRegistration {
        id: BrokerId(id),
        cluster_id: "cluster".into(),
        incarnation_id: Uuid::from_u128(incarnation),
        endpoints: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![],
        rack: None,
        directories: vec![Uuid::from_u128(100 + id as u128)],
        ready,
    }
}

/// Replays the commands of a script and prints what came of them.
pub fn transcript(script: &str) -> String {
    let mut run = Run {
        controller: Controller::new(config()),
        ids: Counting(999),
        incarnation: 0,
        offset: 0,
        out: String::new(),
    };
    for line in script.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            run.say(&format!("# {comment}"));
        }
        if let Some(command) = line.strip_prefix("> ") {
            run.say(line);
            run.command(command);
            run.check_snapshot();
        }
    }
    run.out
}

struct Run {
    controller: Controller,
    ids: Counting,
    incarnation: u128,
    offset: i64,
    out: String,
}

impl Run {
    fn say(&mut self, line: &str) {
        writeln!(self.out, "{line}").expect("writing to a string");
    }

    fn commit<R>(&mut self, decision: Decision<R>) -> R {
        for record in &decision.records {
            let line = format!("+ {}", show_record(record));
            self.say(&line);
            self.controller
                .replay(self.offset, record)
                .expect("a decision can be replayed");
        }
        self.offset += 1;
        decision.response
    }

    fn check_snapshot(&self) {
        let image = self.controller.image();
        let records = snapshot_records(&image);
        let restored = Controller::restore(config(), image.offset, records).expect("a snapshot can be read");
        assert_eq!(restored.image(), image, "a snapshot gives the image back");
    }

    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        match words[0] {
            "bootstrap" => {
                let decision = self.controller.bootstrap();
                self.commit(decision);
            }
            "register" => {
                self.incarnation += 1;
                let registration =
                    registration(number(words[1]), self.incarnation, !words.contains(&"fenced"));
                let decision = self.controller.register_broker(registration);
                self.commit_outcome(decision);
            }
            "fence" | "unfence" | "shutdown" | "unregister" => self.broker_command(words[0], &words[1..]),
            "create" => self.create(command),
            "delete" => self.delete(&words[1..]),
            "partitions" => self.partitions(&words[1..]),
            "alter" => self.alter(&words[1..]),
            "replace" => self.replace(&words[1..]),
            "producer-ids" => {
                let (id, epoch) = self.broker_and_epoch(&words[1..]);
                let decision = self.controller.allocate_producer_ids(id, epoch);
                match self.commit(decision) {
                    Ok(block) => self.say(&format!("from {} on {}", block.first_producer_id, block.len)),
                    Err(error) => self.say(&show_error(&error)),
                }
            }
            "leaders" => self.leaders(),
            other => panic!("unknown command {other}"),
        }
    }

    fn commit_outcome(&mut self, decision: Decision<Result<(), ApiError>>) {
        let line = self
            .commit(decision)
            .map_or_else(|error| show_error(&error), |()| "ok".to_owned());
        self.say(&line);
    }

    fn broker_and_epoch(&self, words: &[&str]) -> (BrokerId, i64) {
        let id = BrokerId(number(words[0]));
        let known = self
            .controller
            .image()
            .brokers
            .get(id)
            .map_or(0, |broker| broker.epoch);
        (
            id,
            option(words, "epoch").map_or(known, |epoch| epoch.parse().expect("an epoch")),
        )
    }

    fn broker_command(&mut self, verb: &str, words: &[&str]) {
        let (id, epoch) = self.broker_and_epoch(words);
        let decision = match verb {
            "fence" => self.controller.fence_broker(id, epoch),
            "unfence" => self.controller.unfence_broker(id, epoch),
            "shutdown" => self.controller.begin_controlled_shutdown(id, epoch),
            _ => self.controller.unregister_broker(id),
        };
        self.commit_outcome(decision);
    }

    fn create(&mut self, command: &str) {
        let rest = command.strip_prefix("create").unwrap_or("");
        let validate_only = rest.ends_with(" validate");
        let rest = rest.strip_suffix(" validate").unwrap_or(rest);
        let topics = rest.split(" & ").map(|topic| creatable(topic.trim())).collect();
        let decision = self
            .controller
            .create_topics(&mut self.ids, topics, validate_only);
        for result in self.commit(decision) {
            let line = match &result.outcome {
                Ok(topic) => {
                    let changed = topic
                        .configs
                        .iter()
                        .filter(|config| config.source != ConfigSource::Default);
                    let configs: Vec<String> = changed
                        .map(|config| format!(" {}={}:{}", config.name, config.value, config.source.id()))
                        .collect();
                    format!(
                        "id {} partitions {} factor {}{}",
                        topic.id.0.as_u128(),
                        topic.num_partitions,
                        topic.replication_factor,
                        configs.concat()
                    )
                }
                Err(error) => show_error(error),
            };
            self.say(&format!("{}: {line}", result.name));
        }
    }

    fn delete(&mut self, words: &[&str]) {
        let topics = words.iter().map(|word| match word.strip_prefix("id=") {
            Some(id) => DeletableTopic {
                name: None,
                id: TopicId(Uuid::from_u128(id.parse().expect("an id"))),
            },
            None => DeletableTopic {
                name: Some((*word).into()),
                id: TopicId::NIL,
            },
        });
        let decision = self.controller.delete_topics(topics.collect());
        for result in self.commit(decision) {
            let error = result.error.as_ref().map_or("deleted".to_owned(), show_error);
            self.say(&format!("{:?} {}: {error}", result.name, result.id.0.as_u128()));
        }
    }

    fn partitions(&mut self, words: &[&str]) {
        let topic = CreatePartitionsTopic {
            name: words[0].into(),
            count: number(words[1]),
            assignments: option(words, "assign").map(|text| text.split(';').map(brokers).collect()),
        };
        let decision =
            self.controller
                .create_partitions(&mut self.ids, vec![topic], words.contains(&"validate"));
        for result in self.commit(decision) {
            let line = result.error.as_ref().map_or("ok".to_owned(), show_error);
            self.say(&format!("{}: {line}", result.name));
        }
    }

    fn alter(&mut self, words: &[&str]) {
        let mut changes = BTreeMap::new();
        for pair in words[1..].chunks(2) {
            let (key, value) = pair[1].split_once('=').unwrap_or((pair[1], ""));
            let value = value.to_owned();
            let change = match pair[0] {
                "set" => ConfigChange::Set(value),
                "append" => ConfigChange::Append(value),
                "subtract" => ConfigChange::Subtract(value),
                _ => ConfigChange::Delete,
            };
            changes.insert(key.to_owned(), change);
        }
        let decision = self
            .controller
            .incremental_alter_configs(vec![(resource(words[0]), changes)], false);
        self.altered(decision);
    }

    fn replace(&mut self, words: &[&str]) {
        let pairs = words[1..].iter().filter_map(|word| word.split_once('='));
        let configs = pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let decision = self
            .controller
            .alter_configs(vec![(resource(words[0]), configs)], false);
        self.altered(decision);
    }

    fn altered(&mut self, decision: Decision<Vec<metadata::controller::AlterConfigsResult>>) {
        for result in self.commit(decision) {
            let line = result.error.as_ref().map_or("ok".to_owned(), show_error);
            self.say(&format!(
                "{} '{}': {line}",
                result.resource.kind, result.resource.name
            ));
        }
    }

    fn leaders(&mut self) {
        let image = self.controller.image();
        for topic in image.topics.iter() {
            for (index, partition) in topic.partitions() {
                let line = format!(
                    "{}-{index}: leader {} epoch {} isr {} of {}",
                    topic.name,
                    partition.leader,
                    partition.leader_epoch,
                    ids(&partition.isr),
                    ids(&partition.replicas)
                );
                self.say(&line);
            }
        }
    }
}

fn number(text: &str) -> i32 {
    text.parse().expect("a number")
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn brokers(text: &str) -> Vec<BrokerId> {
    text.split(',')
        .filter(|id| !id.is_empty())
        .map(|id| BrokerId(number(id)))
        .collect()
}

fn resource(text: &str) -> ConfigResource {
    let (kind, name) = text.split_once(':').expect("kind:name");
    let kind = match kind {
        "topic" => ConfigResourceType::Topic,
        "broker" => ConfigResourceType::Broker,
        "group" => ConfigResourceType::Group,
        other => panic!("unknown kind {other}"),
    };
    ConfigResource {
        kind,
        name: name.into(),
    }
}

fn creatable(text: &str) -> CreatableTopic {
    let words: Vec<&str> = text.split(' ').collect();
    let assign = option(&words, "assign").unwrap_or("");
    let assignments = assign.split(';').filter_map(|part| part.split_once(':'));
    let configs = words.iter().filter_map(|word| word.strip_prefix("config="));
    CreatableTopic {
        name: words[0].trim_matches('"').into(),
        num_partitions: option(&words, "partitions").map_or(-1, number),
        replication_factor: option(&words, "factor").map_or(-1, |text| text.parse().expect("a number")),
        assignments: assignments
            .map(|(partition, ids)| ReplicaAssignment {
                partition: number(partition),
                brokers: brokers(ids),
            })
            .collect(),
        configs: configs
            .map(|config| match config.split_once(':') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (config.to_owned(), None),
            })
            .collect(),
    }
}

fn show_error(error: &ApiError) -> String {
    format!(
        "{} {}",
        error.code.name(),
        error.message.as_deref().unwrap_or("(no message)")
    )
}

fn ids(ids: &[BrokerId]) -> String {
    let ids: Vec<String> = ids.iter().map(BrokerId::to_string).collect();
    format!("[{}]", ids.join(","))
}

fn show_record(record: &MetadataRecord) -> String {
    match record {
        MetadataRecord::RegisterBroker(r) => {
            format!(
                "RegisterBroker {} epoch {} fenced {}",
                r.broker_id, r.broker_epoch, r.fenced
            )
        }
        MetadataRecord::BrokerRegistrationChange(r) => format!(
            "BrokerRegistrationChange {} epoch {} fenced {} shutdown {}",
            r.broker_id, r.broker_epoch, r.fenced, r.in_controlled_shutdown
        ),
        MetadataRecord::Topic(r) => format!("Topic {} {}", r.name, r.topic_id.0.as_u128()),
        MetadataRecord::Partition(r) => format!(
            "Partition {}-{} leader {} epoch {} isr {} replicas {}",
            r.topic_id.0.as_u128(),
            r.partition_id,
            r.leader,
            r.leader_epoch,
            ids(&r.isr),
            ids(&r.replicas)
        ),
        MetadataRecord::PartitionChange(r) => {
            let isr = r.isr.as_deref().map_or("same".to_owned(), ids);
            let leader = if r.leader.0 == -2 {
                "same".to_owned()
            } else {
                r.leader.to_string()
            };
            format!(
                "PartitionChange {}-{} leader {leader} isr {isr}",
                r.topic_id.0.as_u128(),
                r.partition_id
            )
        }
        MetadataRecord::RemoveTopic(r) => format!("RemoveTopic {}", r.topic_id.0.as_u128()),
        MetadataRecord::Config(r) => {
            format!(
                "Config {} '{}' {}={:?}",
                r.resource_type, r.resource_name, r.name, r.value
            )
        }
        MetadataRecord::FeatureLevel(r) => format!("FeatureLevel {} {}", r.name, r.feature_level),
        MetadataRecord::ProducerIds(r) => format!("ProducerIds {} next {}", r.broker_id, r.next_producer_id),
        MetadataRecord::UnregisterBroker(r) => format!("UnregisterBroker {}", r.broker_id),
        other => format!("{other:?}"),
    }
}
