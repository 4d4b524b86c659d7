//! The differential suite: the same raw requests to Apache Kafka and to Cauce, the decoded answers compared field by
//! field once what must differ is taken out.
//!
//! [`cases`] lists what is sent, [`runner`] sends it, [`compare`] holds the answers together, [`normalise`] takes out what must differ, [`recording`] keeps
//! Kafka's answers in `integration-tests/testdata/oracle`, and [`deliberate`] lists the differences that are meant.

pub mod case;
pub mod cases;
pub mod compare;
pub mod deliberate;
pub mod normalise;
pub mod recording;
pub mod runner;
