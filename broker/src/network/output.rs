//! Answers on their way out, in order, written with as few system calls as they allow.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Buf;
use protocol_compat::messages::output::Piece;

use super::transport::ByteStream;

/// Pieces given to one write; the kernel takes up to 1024.
const PIECES_PER_WRITE: usize = 64;

/// Pieces that are not written yet.
#[derive(Default)]
pub(super) struct WriteQueue {
    pieces: VecDeque<Piece>,
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
    pub(super) fn push(&mut self, frame: Vec<Piece>) {
        for piece in frame.into_iter().filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Writes as much as the socket takes, and no more than `most`; the bytes that it took.
    pub(super) fn write_to(&mut self, stream: &impl ByteStream, most: usize) -> io::Result<usize> {
        let mut total = 0;
        while !self.pieces.is_empty() && total < most {
            match self.write_once(stream, most - total) {
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

    fn write_once(&self, stream: &impl ByteStream, most: usize) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let mut count = 0;
        let mut left = most;
        let mut file = None;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            match piece {
                _ if left == 0 => break,
                Piece::Bytes(bytes) => *slice = IoSlice::new(bytes.get(..left).unwrap_or(bytes)),
                Piece::File(part) => {
                    file = Some(part);
                    break;
                }
            }
            left -= slice.len();
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        match file {
            None => stream.try_write_vectored(slices),
            Some(_) if count > 0 => stream.try_write_vectored_more(slices),
            Some(part) => match stream.try_write_file(part, most)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                written => Ok(written),
            },
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() <= written {
                written -= piece.len();
                self.pieces.pop_front();
                continue;
            }
            match piece {
                Piece::Bytes(bytes) => bytes.advance(written),
                Piece::File(part) => {
                    part.position = part.position.saturating_add(written as u64);
                    part.length -= written;
                }
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::Future;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use bytes::{Bytes, BytesMut};
    use protocol_compat::messages::FileRecords;
    use tokio::io::{Interest, Ready};

    use super::*;
    use crate::network::settings::SocketSettings;

    /// Takes so many bytes at a time; its files hold `FILE`.
    struct Narrow {
        each: usize,
        file: &'static [u8],
        taken: RefCell<Vec<u8>>,
        /// Of each call whether it was said that more follows; `None` for one of a file.
        calls: RefCell<Vec<Option<bool>>>,
    }

    const FILE: &[u8] = b"0123456789abcdefghij";

    impl Narrow {
        fn new(each: usize, file: &'static [u8]) -> Narrow {
            Narrow {
                each,
                file,
                taken: RefCell::default(),
                calls: RefCell::default(),
            }
        }

        fn take(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
            self.calls.borrow_mut().push(Some(more));
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = bytes.len().min(self.each);
            self.taken.borrow_mut().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    impl ByteStream for Narrow {
        fn ready(&self, _: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
            std::future::pending()
        }

        fn try_read_buf(&self, _: &mut BytesMut) -> io::Result<usize> {
            Ok(0)
        }

        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.take(slices, false)
        }

        fn try_write_vectored_more(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.take(slices, true)
        }

        fn try_write_file(&self, part: &FileRecords, most: usize) -> io::Result<usize> {
            self.calls.borrow_mut().push(None);
            let start = usize::try_from(part.position).unwrap().min(self.file.len());
            let end = (start + part.length.min(most).min(self.each)).min(self.file.len());
            self.taken.borrow_mut().extend_from_slice(&self.file[start..end]);
            Ok(end - start)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn prepare(&self, _: &SocketSettings, _: SocketAddr, _: SocketAddr) {}
    }

    fn part(position: u64, length: usize) -> Piece {
        let (end, _) = std::io::pipe().unwrap();
        Piece::File(FileRecords {
            file: Arc::new(end),
            position,
            length,
        })
    }

    fn text(text: &'static str) -> Piece {
        Bytes::from_static(text.as_bytes()).into()
    }

    #[test]
    fn parts_of_files_leave_in_their_place_however_little_is_taken_at_a_time() {
        for each in 1..40 {
            let mut queue = WriteQueue::default();
            queue.push(vec![
                text("head "),
                part(3, 9),
                text(" middle"),
                text(", "),
                part(10, 4),
            ]);
            queue.push(vec![text(" tail")]);
            assert_eq!(queue.bytes(), 5 + 9 + 9 + 4 + 5);
            let stream = Narrow::new(each, FILE);
            assert_eq!(queue.write_to(&stream, usize::MAX).unwrap(), 32);
            assert_eq!(*stream.taken.borrow(), b"head 3456789ab middle, abcd tail");
            assert!(queue.is_empty() && queue.bytes() == 0);
        }
    }

    #[test]
    fn no_more_leaves_than_was_said() {
        for most in 1..40 {
            let mut queue = WriteQueue::default();
            queue.push(vec![text("head"), text(" "), part(3, 9), text(" tail")]);
            let stream = Narrow::new(100, FILE);
            let mut written = 0;
            while !queue.is_empty() {
                let now = queue.write_to(&stream, most).unwrap();
                written += now;
                assert!(now == most || queue.is_empty(), "{now} of {most}");
            }
            assert_eq!(written, 19);
            assert_eq!(*stream.taken.borrow(), b"head 3456789ab tail");
        }
    }

    #[test]
    fn what_stands_before_a_part_of_a_file_goes_with_it() {
        let mut queue = WriteQueue::default();
        queue.push(vec![text("head"), part(0, 20), text("tail")]);
        let stream = Narrow::new(100, FILE);
        queue.write_to(&stream, usize::MAX).unwrap();
        assert_eq!(*stream.calls.borrow(), [Some(true), None, Some(false)]);
    }

    #[test]
    fn a_file_that_ends_too_early_ends_the_connection() {
        let mut queue = WriteQueue::default();
        queue.push(vec![text("head"), part(15, 9)]);
        let stream = Narrow::new(100, FILE);
        let error = queue.write_to(&stream, usize::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(*stream.taken.borrow(), b"headfghij");
    }
}
