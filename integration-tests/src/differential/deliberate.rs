//! Differences from Apache Kafka that are meant. Each stands in `docs/compatibility.md` too, with the whole reason.

/// One answer that is different on purpose.
pub struct Deliberate {
    /// The API.
    pub api: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// The list. An entry whose answers have become equal must go.
pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        api: "ApiVersions",
        scenario: "a client says who it is",
        reason: "only features that are built are named",
    },
    Deliberate {
        api: "ApiVersions",
        scenario: "a software name of dots and dashes",
        reason: "only features that are built are named",
    },
    Deliberate {
        api: "CreateTopics",
        scenario: "a timeout of zero",
        reason: "a decision takes no time, so that its outcome is told",
    },
    Deliberate {
        api: "CreatePartitions",
        scenario: "very many",
        reason: "refused before memory is spent on it",
    },
    Deliberate {
        api: "DescribeConfigs",
        scenario: "client metrics that do not exist",
        reason: "client metrics are not built",
    },
    Deliberate {
        api: "DescribeConfigs",
        scenario: "a group that has no configs",
        reason: "group configs belong to the newer group protocols",
    },
    Deliberate {
        api: "DescribeLogDirs",
        scenario: "lengths beyond the frame, compact",
        reason: "a count of 4,294,967,295 is refused, where Kafka reads it as null",
    },
    Deliberate {
        api: "DescribeQuorum",
        scenario: "the metadata quorum",
        reason: "one process needs no listener for the controller",
    },
    Deliberate {
        api: "DescribeTopicPartitions",
        scenario: "an empty name",
        reason: "the name is refused, where Kafka fails inside",
    },
    Deliberate {
        api: "Fetch",
        scenario: "room for one batch and a half",
        reason: "only whole batches are sent: a client throws the rest away",
    },
    Deliberate {
        api: "IncrementalAlterConfigs",
        scenario: "an unknown operation",
        reason: "the request is refused, where Kafka fails inside",
    },
    Deliberate {
        api: "IncrementalAlterConfigs",
        scenario: "a negative operation",
        reason: "the request is refused, where Kafka fails inside",
    },
    Deliberate {
        api: "Produce",
        scenario: "an unknown codec",
        reason: "the codec is refused by name, where Kafka fails inside",
    },
    Deliberate {
        api: "Produce",
        scenario: "a gzip batch that is not gzip",
        reason: "compressed records are not decompressed on their way into the log",
    },
    Deliberate {
        api: "Produce",
        scenario: "a snappy batch that is not snappy",
        reason: "compressed records are not decompressed on their way into the log",
    },
    Deliberate {
        api: "Produce",
        scenario: "an lz4 batch that is not lz4",
        reason: "compressed records are not decompressed on their way into the log",
    },
    Deliberate {
        api: "Produce",
        scenario: "a zstd batch that is not zstd",
        reason: "compressed records are not decompressed on their way into the log",
    },
];

/// Whether every version of this scenario may differ.
pub fn is_deliberate(api: &str, scenario: &str) -> bool {
    DELIBERATE
        .iter()
        .any(|entry| entry.api == api && entry.scenario == scenario)
}
