//! Early write-back: what was appended goes to the disk piece by piece, not when the kernel has too much of it.
//!
//! The kernel lets dirty pages pile up for half a minute or to a tenth of the memory, and a segment that was rolled is synced
//! whole: then appends wait behind a disk that has seconds of work. Here one thread tells the kernel of each MiB as it
//! fills. The end of the file is left out: a page that is being written holds up who appends to it. Nothing is promised
//! of durability, which stays the flushes' work, and an acknowledgement never waits for it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use crate::disk::File;

/// So much is written back at a time.
pub const PIECE_BYTES: u64 = 1 << 20;
/// And so much at the end of a segment stays: the kernel may hold it in pages of this size.
const LEFT_BYTES: u64 = 64 << 10;
/// Pieces that may wait. Behind a disk that takes no more the kernel decides what is written, as it would without us.
const MOST_WAITING: usize = 1024;

/// The whole pieces that are to be written as a segment grows from `start` to `end`: position and length. Over the growth of
/// a segment every piece comes once.
pub fn due(start: u64, end: u64) -> Option<(u64, u64)> {
    let whole = |size: u64| size.saturating_sub(LEFT_BYTES) / PIECE_BYTES * PIECE_BYTES;
    let (from, to) = (whole(start), whole(end));
    (to > from).then(|| (from, to - from))
}

#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    from: u64,
    bytes: u64,
}

/// The thread that writes back, for all logs of a node. It starts with the first piece and ends when this is dropped.
#[derive(Debug, Default)]
pub struct WriteBehind {
    queue: OnceLock<Option<SyncSender<Piece>>>,
}

impl WriteBehind {
    /// Has the piece written some time soon. Returns at once; where too many wait, it is left to the kernel.
    pub fn request(&self, file: &Arc<File>, (from, bytes): (u64, u64)) {
        if !file.is_cached() {
            return;
        }
        if let Some(queue) = self.queue.get_or_init(start) {
            let file = file.clone();
            // Full, or the thread is gone: the kernel writes it when it sees fit.
            drop(queue.try_send(Piece { file, from, bytes }));
        }
    }
}

fn start() -> Option<SyncSender<Piece>> {
    let (queue, pieces) = sync_channel(MOST_WAITING);
    let thread = std::thread::Builder::new().name("write-back".to_owned());
    match thread.spawn(move || write_back(&pieces)) {
        Ok(_) => Some(queue),
        Err(error) => {
            tracing::warn!(%error, "could not start the thread that writes back early");
            None
        }
    }
}

fn write_back(pieces: &Receiver<Piece>) {
    for piece in pieces {
        if let Err(error) = piece.file.begin_write_back(piece.from, piece.bytes) {
            // What cannot be written makes the next sync fail, which is looked at.
            tracing::debug!(%error, "could not write back early");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OpenMode};

    /// Appends of all sizes: the pieces cover the segment from its start without a gap or an overlap, and stay behind its end.
    #[test]
    fn every_piece_comes_once_and_never_the_end_of_the_file() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut size, mut written) = (0, 0);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let exponent = random >> 60;
            let appended = 1 + (random >> 20) % (100 << exponent);
            if let Some((from, bytes)) = due(size, size + appended) {
                assert_eq!(from, written);
                assert_eq!(bytes % PIECE_BYTES, 0);
                written += bytes;
            }
            size += appended;
            assert!(written + LEFT_BYTES <= size || written == 0);
            assert!(size - written < PIECE_BYTES + LEFT_BYTES);
        }
        assert!(written > 1 << 30);
    }

    #[test]
    fn what_is_written_back_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = Disk::real()
            .open(&dir.path().join("file"), OpenMode::Create)
            .unwrap();
        let content = vec![7; 3 * PIECE_BYTES as usize];
        file.write_all_at(&content, 0).unwrap();
        let (file, behind) = (Arc::new(file), WriteBehind::default());
        behind.request(&file, due(0, content.len() as u64).unwrap());
        drop(behind);
        assert_eq!(file.read_to_bytes(content.len(), 0).unwrap(), content);
        // The thread lets go of the file once it has begun.
        while Arc::strong_count(&file) > 1 {
            std::thread::yield_now();
        }
    }
}
