//! What was typed, with the defaults of its workload.
//!
//! Protects the rule that no flag is accepted and then ignored: what means nothing for a workload is refused.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::error::LoadError;
use super::options::{Acks, Codec, LoadArgs, Workload};

/// The most that the records of a batch may take before compression: below it, no length of the protocol overflows.
const MAX_BATCH_BYTES: u64 = 100 << 20;

/// A load in all its numbers. A setting is absent if it means nothing for the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What was typed for the broker.
    pub bootstrap_server: String,
    /// Its address.
    pub address: SocketAddr,
    /// What is done.
    pub workload: Workload,
    /// Connections, or idle ones.
    pub connections: Option<u32>,
    /// Unanswered requests of each at most.
    pub in_flight: u32,
    /// Whether the number of partitions was typed: an existing topic must have it then.
    #[serde(skip)]
    pub partitions_are_given: bool,
    /// Partitions.
    pub partitions: u32,
    /// Of each record's value.
    pub record_bytes: Option<u32>,
    /// Of each batch.
    pub batch_records: Option<u32>,
    /// Of each Produce request.
    #[serde(serialize_with = "number_of_acks")]
    pub acks: Option<Acks>,
    /// Of each batch.
    pub compression: Option<Codec>,
    /// Requests due in a second; absent in a closed loop.
    pub rate: Option<u64>,
    /// Before anything counts.
    pub warm_up_seconds: Option<u32>,
    /// Measured.
    pub seconds: Option<u32>,
    /// What was typed.
    pub topic: Option<String>,
    /// Written before it is read.
    pub data_mib: Option<u32>,
    /// Rather than one.
    pub all_topics: bool,
    /// The broker's.
    pub pid: Option<u32>,
}

fn number_of_acks<S: Serializer>(acks: &Option<Acks>, serializer: S) -> Result<S::Ok, S::Error> {
    acks.map(Acks::number).serialize(serializer)
}

/// What a workload takes unless something else is typed; absent is what it does not take at all.
struct Defaults {
    connections: Option<u32>,
    in_flight: u32,
    partitions: u32,
    record_bytes: Option<u32>,
    batch_records: Option<u32>,
    acks: Option<Acks>,
    compression: Option<Codec>,
    takes_rate: bool,
    takes_time: bool,
    takes_topic: bool,
}

/// Fifteen records of 1 KiB are the most that fit in Kafka's default `batch.size` of 16,384.
const PRODUCE: Defaults = Defaults {
    connections: Some(8),
    in_flight: 5,
    partitions: 16,
    record_bytes: Some(1024),
    batch_records: Some(15),
    acks: Some(Acks::Leader),
    compression: Some(Codec::None),
    takes_rate: true,
    takes_time: true,
    takes_topic: true,
};

fn defaults(workload: Workload) -> Defaults {
    match workload {
        Workload::Produce => PRODUCE,
        Workload::Fetch => Defaults {
            in_flight: 1,
            acks: None,
            ..PRODUCE
        },
        Workload::Tiny => Defaults {
            connections: Some(64),
            record_bytes: Some(100),
            batch_records: None,
            ..PRODUCE
        },
        Workload::EndToEnd => Defaults {
            connections: None,
            in_flight: 1,
            partitions: 1,
            batch_records: Some(1),
            acks: Some(Acks::All),
            ..PRODUCE
        },
        Workload::Metadata => Defaults {
            in_flight: 1,
            record_bytes: None,
            batch_records: None,
            acks: None,
            compression: None,
            ..PRODUCE
        },
        Workload::Idle => Defaults {
            connections: Some(1000),
            in_flight: 5,
            partitions: 1,
            batch_records: None,
            ..PRODUCE
        },
        Workload::Partitions => Defaults {
            partitions: 1000,
            record_bytes: Some(10),
            batch_records: None,
            takes_rate: false,
            takes_time: false,
            takes_topic: false,
            ..PRODUCE
        },
        Workload::Flush => Defaults {
            connections: Some(64),
            in_flight: 1,
            partitions: 100,
            batch_records: Some(4),
            takes_topic: false,
            ..PRODUCE
        },
    }
}

/// The rate of the small load beside idle connections.
const IDLE_RATE: u64 = 100;
const WARM_UP_SECONDS: u32 = 2;
const SECONDS: u32 = 10;
const DATA_MIB: u32 = 256;

impl Plan {
    /// Checks what was typed and fills in the rest.
    ///
    /// # Errors
    /// [`LoadError::Refused`] with a sentence for who typed it.
    pub fn of(args: &LoadArgs) -> Result<Self, LoadError> {
        let of = defaults(args.workload);
        let check = Check(args.workload);
        let is_fetch = args.workload == Workload::Fetch;
        check.flag("--rate", args.rate.is_some(), of.takes_rate)?;
        check.flag("--topic", args.topic.is_some(), of.takes_topic)?;
        check.flag(
            "--all-topics",
            args.all_topics,
            args.workload == Workload::Metadata,
        )?;
        let idle_rate = (args.workload == Workload::Idle).then_some(IDLE_RATE);
        let plan = Self {
            bootstrap_server: args.bootstrap_server.clone(),
            address: address(&args.bootstrap_server)?,
            workload: args.workload,
            connections: check.value("--connections", args.connections, of.connections)?,
            in_flight: args.in_flight.unwrap_or(of.in_flight),
            partitions_are_given: args.partitions.is_some(),
            partitions: args.partitions.unwrap_or(of.partitions),
            record_bytes: check.value("--record-bytes", args.record_bytes, of.record_bytes)?,
            batch_records: check.value("--batch-records", args.batch_records, of.batch_records)?,
            acks: check.value("--acks", args.acks, of.acks)?,
            compression: check.value("--compression", args.compression, of.compression)?,
            rate: args.rate.or(idle_rate),
            warm_up_seconds: check.value(
                "--warm-up",
                args.warm_up,
                of.takes_time.then_some(WARM_UP_SECONDS),
            )?,
            seconds: check.value("--seconds", args.seconds, of.takes_time.then_some(SECONDS))?,
            topic: args.topic.clone(),
            data_mib: check.value("--data-mib", args.data_mib, is_fetch.then_some(DATA_MIB))?,
            all_topics: args.all_topics,
            pid: args.pid,
        };
        plan.checked()
    }

    fn checked(self) -> Result<Self, LoadError> {
        let refused = |sentence: &str| Err(LoadError::Refused(sentence.to_owned()));
        let answered_needed = [Workload::Flush, Workload::Partitions];
        if self.acks == Some(Acks::None) && answered_needed.contains(&self.workload) {
            return refused("--acks 0 has no answer, and this workload measures when the answer comes");
        }
        if self.workload == Workload::Idle && self.pid.is_none() {
            return refused(
                "idle needs --pid: what a connection takes is read from the broker's /proc/PID/status",
            );
        }
        let records = u64::from(self.records());
        if records * u64::from(self.record_bytes.unwrap_or(0)) > MAX_BATCH_BYTES {
            return refused("--record-bytes times --batch-records is more than 100 MiB");
        }
        Ok(self)
    }

    /// Records of each batch.
    pub fn records(&self) -> u32 {
        self.batch_records.unwrap_or(1)
    }

    /// Before anything counts.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up_seconds.unwrap_or(0).into())
    }

    /// What is measured; none if the load ends by itself.
    pub fn measured(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

struct Check(Workload);

impl Check {
    fn value<T>(&self, flag: &str, given: Option<T>, default: Option<T>) -> Result<Option<T>, LoadError> {
        self.flag(flag, given.is_some(), default.is_some())?;
        Ok(given.or(default))
    }

    fn flag(&self, flag: &str, is_given: bool, is_taken: bool) -> Result<(), LoadError> {
        if is_given && !is_taken {
            let workload = clap::ValueEnum::to_possible_value(&self.0)
                .map_or_else(String::new, |value| value.get_name().to_owned());
            let sentence = format!("{flag} means nothing for the workload {workload}");
            return Err(LoadError::Refused(sentence));
        }
        Ok(())
    }
}

fn address(typed: &str) -> Result<SocketAddr, LoadError> {
    let refused = |cause: &dyn std::fmt::Display| {
        LoadError::Refused(format!("--bootstrap-server {typed} is no address: {cause}"))
    };
    let mut addresses = typed.to_socket_addrs().map_err(|cause| refused(&cause))?;
    addresses
        .next()
        .ok_or_else(|| refused(&"the name has no address"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn plan(typed: &str) -> Result<Plan, String> {
        let words = ["load", "--workload"].into_iter().chain(typed.split(' '));
        let typed = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
        Plan::of(&typed.load).map_err(|error| error.to_string())
    }

    #[test]
    fn every_workload_has_defaults() {
        for workload in [
            "produce",
            "fetch",
            "tiny",
            "end-to-end",
            "metadata",
            "idle --pid 1",
            "partitions",
            "flush",
        ] {
            plan(workload).unwrap_or_else(|error| panic!("{workload}: {error}"));
        }
        let produce = plan("produce --acks -1 --compression zstd --rate 500").expect("a plan");
        assert_eq!((produce.acks, produce.rate), (Some(Acks::All), Some(500)));
        assert_eq!(produce.records(), 15);
    }

    #[test]
    fn what_means_nothing_for_a_workload_is_refused() {
        for typed in [
            "tiny --batch-records 2",
            "fetch --acks 1",
            "metadata --record-bytes 5",
            "metadata --compression lz4",
            "end-to-end --connections 2",
            "partitions --rate 5",
            "partitions --seconds 5",
            "partitions --warm-up 5",
            "partitions --topic t",
            "flush --topic t",
            "produce --all-topics",
            "produce --data-mib 5",
        ] {
            let refused = plan(typed).expect_err(typed);
            assert!(refused.contains("means nothing"), "{typed}: {refused}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for typed in [
            "idle",
            "flush --acks 0",
            "produce --acks 2",
            "produce --rate 0",
            "produce --in-flight 0",
            "produce --record-bytes 1000000 --batch-records 1000",
            "produce --bootstrap-server nowhere",
        ] {
            assert!(plan(typed).is_err(), "{typed}");
        }
    }
}
