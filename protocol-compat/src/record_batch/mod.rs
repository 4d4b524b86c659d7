//! Record batches of magic 2, Kafka's unit of storage and transfer.
//!
//! On the hot path a batch is a view over bytes ([`batch`]); its records are walked only where Kafka's rules need it.

pub mod batch;
