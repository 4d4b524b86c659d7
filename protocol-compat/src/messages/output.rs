//! Where encoded bytes go: one buffer, or a list of pieces in which large byte strings are shared instead of copied.

use bytes::{BufMut, Bytes, BytesMut};

use super::base_records::FileRecords;
use crate::error::EncodeError;

/// Byte strings shorter than this are copied: a piece of their own would cost more than the copy.
const SHARED_BYTES: usize = 1024;

/// Takes encoded bytes in order.
pub trait Output {
    /// Appends a copy of `bytes`.
    fn put_slice(&mut self, bytes: &[u8]);

    /// Appends `bytes`, without a copy where the output can.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.put_slice(bytes);
    }

    /// Appends a part of a file.
    ///
    /// # Errors
    /// [`EncodeError::NotInMemory`] where the output takes bytes alone.
    fn put_file(&mut self, part: &FileRecords) -> Result<(), EncodeError> {
        Err(EncodeError::NotInMemory(part.length))
    }
}

impl Output for BytesMut {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Any growing buffer of the `bytes` crate.
pub struct Plain<'a, B>(pub &'a mut B);

impl<B: BufMut> Output for Plain<'_, B> {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

/// A piece of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A part of a file.
    File(FileRecords),
}

impl Piece {
    /// How many bytes it is.
    pub fn len(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File(part) => part.length,
        }
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Piece {
        Piece::Bytes(bytes)
    }
}

/// Pieces in order, those of bytes ready for a vectored write.
#[derive(Debug, Default)]
pub struct Pieces {
    done: Vec<Piece>,
    open: BytesMut,
}

impl Pieces {
    /// The pieces; none is empty.
    pub fn finish(mut self) -> Vec<Piece> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(self.open.split().freeze().into());
        }
    }
}

impl Output for Pieces {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES {
            return self.put_slice(bytes);
        }
        self.close();
        self.done.push(bytes.clone().into());
    }

    fn put_file(&mut self, part: &FileRecords) -> Result<(), EncodeError> {
        self.close();
        self.done.push(Piece::File(part.clone()));
        Ok(())
    }
}
