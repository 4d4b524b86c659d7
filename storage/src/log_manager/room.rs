//! How much room a log directory has for appends (rule S14): what its file system said at the last look but for the reserve,
//! less what was appended since.

use std::sync::atomic::{AtomicI64, Ordering};

/// Bytes of appends after which a log counts them as taken: between two counts it touches nothing that logs share.
const GRAIN_BYTES: u64 = 64 << 10;

/// The room of a log directory.
#[derive(Debug)]
pub struct Room {
    left_bytes: AtomicI64,
}

impl Room {
    /// Room without end, until somebody looks.
    pub(super) fn new() -> Room {
        Room {
            left_bytes: AtomicI64::new(i64::MAX),
        }
    }

    /// Whether clients' appends are taken.
    pub fn has_some(&self) -> bool {
        self.left_bytes.load(Ordering::Relaxed) > 0
    }

    /// Counts an append of a log that had appended `before` bytes in all. Exact to 64 KiB for each log.
    pub fn taken(&self, before: u64, bytes: u64) {
        let grains = before.wrapping_add(bytes) / GRAIN_BYTES - before / GRAIN_BYTES;
        if grains > 0 {
            let taken = i64::try_from(grains * GRAIN_BYTES).unwrap_or(i64::MAX);
            self.left_bytes.fetch_sub(taken, Ordering::Relaxed);
        }
    }

    /// The file system has so many bytes for appends.
    pub(super) fn found(&self, left_bytes: i64) {
        self.left_bytes.store(left_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_between_two_looks_counts() {
        let room = Room::new();
        assert!(room.has_some());
        room.found(1 << 20);
        let mut appended = 0;
        while room.has_some() {
            room.taken(appended, 1_000);
            appended += 1_000;
        }
        assert!(
            ((1 << 20)..(1 << 20) + GRAIN_BYTES + 1_000).contains(&appended),
            "{appended}"
        );
        room.found(1);
        assert!(room.has_some());
    }
}
