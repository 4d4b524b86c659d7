//! Transactions and producer ids: the rows of these keys in the table of keys.
//!
//! Names, types, defaults and ranges are those of Apache Kafka 4.3; the last two columns say what Cauce does with the key.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", ReadOnly, AtLeast(0), NoEffect, "transactions are not built yet";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "producer.id.expiration.check.interval.ms": Int = "600000", ReadOnly, AtLeast(1), Honoured, "How often expired producers are looked for.";
    "producer.id.expiration.ms": Int = "86400000", Cluster, AtLeast(1), Honoured, "How long an idle producer's state is kept.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.max.timeout.ms": Int = "900000", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.partition.verification.enable": Boolean = "true", Cluster, Any, NoEffect, "transactions are not built yet";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.state.log.load.buffer.size": Int = "5242880", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.state.log.min.isr": Int = "2", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.state.log.num.partitions": Int = "50", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.state.log.replication.factor": Short = "3", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.state.log.segment.bytes": Int = "104857600", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
    "transaction.two.phase.commit.enable": Boolean = "false", ReadOnly, Any, NoEffect, "transactions are not built yet";
    "transactional.id.expiration.ms": Int = "604800000", ReadOnly, AtLeast(1), NoEffect, "transactions are not built yet";
};
