//! Which producer ids have been handed out.

/// Where the next block of producer ids starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerIdsImage {
    /// The first producer id that no broker has been given.
    pub next_producer_id: i64,
}
