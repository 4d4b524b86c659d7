//! The controller: decides about topics, partitions, brokers, configurations, features and producer ids, and replays
//! the records of those decisions.
//!
//! Decide / replay: a decision reads the state and gives records with an answer; the runtime commits the records,
//! replays them, and only then gives the answer. One file per kind of object; placement is a pure policy of its own.

mod apply;
mod brokers;
mod configs;
mod decision;
mod features;
mod partitions;
mod placement;
mod producer_ids;
mod snapshot;
mod state;
mod topic_name;
mod topics;

pub use self::brokers::BrokerRegistration;
pub use self::configs::{AlterConfigsResult, ConfigChange};
pub use self::decision::{ApiError, Decision, IdSource, MAX_RECORDS_PER_REQUEST};
pub use self::features::{KRAFT_VERSION, SUPPORTED_FEATURES, SupportedFeature, finalized_features};
pub use self::partitions::{CreatePartitionsResult, CreatePartitionsTopic, ReplicaAssignment};
pub use self::producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdsBlock};
pub use self::snapshot::snapshot_records;
pub use self::state::{Controller, ControllerConfig, ReplayError};
pub use self::topic_name::{
    CLUSTER_METADATA_TOPIC, GROUP_METADATA_TOPIC, MAX_TOPIC_NAME_LENGTH, SHARE_GROUP_STATE_TOPIC,
    TRANSACTION_STATE_TOPIC, is_internal_topic, validate_topic_name,
};
pub use self::topics::{CreatableTopic, CreateTopicResult, CreatedTopic, DeletableTopic, DeleteTopicResult};
