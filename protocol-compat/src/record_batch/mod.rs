//! Record batches of magic 2, Kafka's unit of storage and transfer.
//!
//! On the hot path a batch is a view over bytes ([`batch`]); its records are walked ([`record`]) and its codec opened
//! ([`compression`]) only where Kafka's rules need it. [`builder`] makes batches of our own, [`control`] knows the
//! records that only brokers write, [`filter`] leaves records out.

pub mod batch;
pub mod builder;
pub mod compression;
pub mod control;
pub mod filter;
pub mod record;
mod varint;

#[cfg(test)]
mod tests;
