//! What may take records away from a partition, so that a missing one is not called lost.

/// Sticky: what was once allowed may still be at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// `cleanup.policy` was or may have been `compact`.
    pub is_compacted: bool,
    /// Retention by size or time was or may have been set.
    pub has_retention: bool,
    /// DeleteRecords was or may have been asked for up to here (exclusive).
    pub deleted_to: i64,
}

impl Removal {
    /// Whether the log may begin at `start`.
    pub fn allows_start(&self, start: i64) -> bool {
        self.has_retention || start <= self.deleted_to
    }
}
