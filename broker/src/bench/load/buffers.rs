//! Bytes on their way: what waits to be written to a connection, and what was read from it.
//!
//! Protects the rule that no memory is taken for bytes that have not arrived, whatever length they claim.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use super::error::{Broken, Malformed};

/// The largest answer that is accepted: above what Kafka's `fetch.max.bytes` (50 MiB) lets a client ask for.
pub const MAX_ANSWER_BYTES: usize = 128 << 20;

/// Room for answers at first.
const INPUT_BYTES: usize = 16 << 10;

/// Frames up to this size are gathered into one write; a larger one is written from where it lies.
const GATHERED_BYTES: usize = 4 << 10;

const LENGTH_BYTES: usize = 4;

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
    put_total: u64,
    written_total: u64,
}

impl Output {
    /// Whether something waits for the kernel to take it.
    pub fn waits(&self) -> bool {
        self.written < self.bytes.len()
    }

    /// Bytes that were put in so far.
    pub fn put_total(&self) -> u64 {
        self.put_total
    }

    /// Bytes that the kernel has taken so far.
    pub fn written_total(&self) -> u64 {
        self.written_total
    }

    /// Takes a frame. A small one waits for [`Output::flush`], a large one is written as far as possible.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn put(&mut self, stream: &mut TcpStream, frame: &[u8]) -> Result<(), Broken> {
        self.put_total += frame.len() as u64;
        let mut rest = frame;
        if frame.len() > GATHERED_BYTES {
            self.flush(stream)?;
            if !self.waits() {
                let written = write(stream, frame)?;
                self.written_total += written as u64;
                rest = frame.get(written..).unwrap_or_default();
            }
        }
        self.bytes.extend_from_slice(rest);
        Ok(())
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn flush(&mut self, stream: &mut TcpStream) -> Result<(), Broken> {
        while let Some(waiting) = self.bytes.get(self.written..).filter(|bytes| !bytes.is_empty()) {
            let written = write(stream, waiting)?;
            if written == 0 {
                return Ok(());
            }
            self.written += written;
            self.written_total += written as u64;
        }
        self.bytes.clear();
        self.written = 0;
        Ok(())
    }
}

/// Bytes that the kernel took; zero if it takes none now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, Broken> {
    loop {
        match stream.write(bytes) {
            Ok(0) => return Err(Broken::Closed),
            Ok(written) => return Ok(written),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(lost(cause)),
        }
    }
}

fn lost(cause: io::Error) -> Broken {
    match cause.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Broken::Closed,
        _ => Broken::Io(cause),
    }
}

/// Bytes that came in: what was read stands between `start` and `end`.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Nothing was read.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; INPUT_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// Reads once, as much as there is room for.
    ///
    /// # Errors
    /// If the connection is broken, or the other end has closed it.
    pub fn read(&mut self, stream: &mut TcpStream) -> Result<(), Broken> {
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        loop {
            match stream.read(room) {
                Ok(0) => return Err(Broken::Closed),
                Ok(read) => {
                    self.end += read;
                    return Ok(());
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(lost(cause)),
            }
        }
    }

    /// Where the next whole answer stands. There is always room to read more after none was found.
    ///
    /// # Errors
    /// If its length can not be one.
    pub fn next_answer(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        let unread = self.bytes.get(self.start..self.end).unwrap_or_default();
        let mut needed = LENGTH_BYTES;
        if let Some(length) = unread.first_chunk() {
            needed += answer_length(*length)?;
            if unread.len() >= needed {
                let begin = self.start + LENGTH_BYTES;
                self.start += needed;
                return Ok(Some(begin..self.start));
            }
        }
        self.make_room(needed);
        Ok(None)
    }

    /// An answer that was found.
    ///
    /// # Errors
    /// None, for what [`Input::next_answer`] gave.
    pub fn answer(&self, range: Range<usize>) -> Result<&[u8], Malformed> {
        self.bytes.get(range).ok_or(Malformed::Truncated)
    }

    fn make_room(&mut self, needed: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + needed > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            // Memory follows the bytes that arrived, not those that are claimed.
            let larger = needed.min(self.bytes.len() * 2);
            self.bytes.resize(larger.max(INPUT_BYTES), 0);
        }
    }
}

/// The length of an answer, if it is one.
///
/// # Errors
/// If it is negative or above [`MAX_ANSWER_BYTES`].
pub fn answer_length(bytes: [u8; LENGTH_BYTES]) -> Result<usize, Malformed> {
    let claimed = i32::from_be_bytes(bytes);
    let too_large = Malformed::TooLarge {
        claimed: i64::from(claimed),
        limit: MAX_ANSWER_BYTES,
    };
    match usize::try_from(claimed) {
        Ok(length) if length <= MAX_ANSWER_BYTES => Ok(length),
        Ok(_) | Err(_) => Err(too_large),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ends() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        (here, listener.accept().expect("accepted").0)
    }

    #[test]
    fn answers_are_found_however_they_are_cut() {
        let (mut here, mut there) = ends();
        let answers = [3, 40_000, 0, 100_000, 16 << 10].map(|length| vec![7_u8; length]);
        let mut bytes = Vec::new();
        for answer in &answers {
            bytes.extend((answer.len() as u32).to_be_bytes());
            bytes.extend(answer);
        }
        let mut input = Input::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(9_999) {
            there.write_all(piece).expect("written");
            let mut left = piece.len();
            while left > 0 {
                let before = input.end;
                input.read(&mut here).expect("read");
                left -= input.end - before;
                while let Some(range) = input.next_answer().expect("an answer") {
                    found.push(range.len());
                }
            }
        }
        assert_eq!(found, answers.map(|answer| answer.len()));
    }

    #[test]
    fn a_huge_claim_takes_no_memory() {
        let (mut here, mut there) = ends();
        there
            .write_all(&(MAX_ANSWER_BYTES as u32).to_be_bytes())
            .expect("written");
        let mut input = Input::new();
        input.read(&mut here).expect("read");
        assert_eq!(input.next_answer(), Ok(None));
        assert_eq!(input.bytes.len(), INPUT_BYTES);
        for claimed in [-1, i32::MAX] {
            assert!(matches!(
                answer_length(claimed.to_be_bytes()),
                Err(Malformed::TooLarge { .. })
            ));
        }
    }
}
