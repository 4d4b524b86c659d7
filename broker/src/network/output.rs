//! Answers on their way out, in order, written with as few system calls as they allow.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::transport::ByteStream;

/// Pieces given to one write; the kernel takes up to 1024.
const PIECES_PER_WRITE: usize = 64;

/// Pieces that are not written yet.
#[derive(Default)]
pub(super) struct WriteQueue {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl WriteQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an answer.
    pub(super) fn push(&mut self, frame: Vec<Bytes>) {
        for piece in frame.into_iter().filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Writes as much as the socket takes; the bytes that it took.
    pub(super) fn write_to(&mut self, stream: &impl ByteStream) -> io::Result<usize> {
        let mut total = 0;
        while !self.pieces.is_empty() {
            match self.write_once(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.pieces.is_empty() {
            // A burst does not leave its queue to an idle connection.
            self.pieces = VecDeque::new();
        }
        Ok(total)
    }

    fn write_once(&self, stream: &impl ByteStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        stream.try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                return piece.advance(written);
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}
