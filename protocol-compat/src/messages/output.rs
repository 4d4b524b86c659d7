//! Where encoded bytes go: one buffer, or a list of pieces in which large byte strings are shared instead of copied.

use bytes::{BufMut, Bytes, BytesMut};

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

/// Pieces in order, ready for a vectored write.
#[derive(Debug, Default)]
pub struct Pieces {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Pieces {
    /// The pieces; none is empty.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(self.open.split().freeze());
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
        self.done.push(bytes.clone());
    }
}
