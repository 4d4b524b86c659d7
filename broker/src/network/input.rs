//! Frames out of the bytes that a connection receives.
//!
//! Protects the rules that a length is checked before anything is reserved for it, and that a buffer grows with what
//! was received, not with what was announced. Between frames nothing is held.

use bytes::{Buf, Bytes, BytesMut};
use protocol_compat::frame::{API_KEY_BYTES, FrameError, LENGTH_BYTES, frame_length, request_length};

/// Reserved for the first bytes of a frame: most requests fit.
const SMALL_READ_BYTES: usize = 4 << 10;
/// Reserved once a frame turned out larger; a frame gets more only as it arrives.
const LARGE_READ_BYTES: usize = 64 << 10;

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes have to be read.
    NeedBytes,
    /// A frame of so many bytes begins; it is read after [`FrameReader::grant`].
    NeedGrant(usize),
    /// A whole frame without its length.
    Frame(Bytes),
}

#[derive(Clone, Copy)]
enum State {
    Prefix,
    Announced(usize),
    Body(usize),
}

/// Collects bytes and cuts frames.
pub(super) struct FrameReader {
    buffer: BytesMut,
    state: State,
    max_request_bytes: usize,
    /// A client that has sent a frame of this size is given room for another one at once.
    largest_frame: usize,
    last_frame: usize,
}

impl FrameReader {
    pub(super) fn new(max_request_bytes: usize) -> FrameReader {
        FrameReader {
            buffer: BytesMut::new(),
            state: State::Prefix,
            max_request_bytes,
            largest_frame: 0,
            last_frame: 0,
        }
    }

    /// The next step with the bytes that are there.
    pub(super) fn step(&mut self) -> Result<Step, FrameError> {
        if let State::Prefix = self.state
            && !self.read_prefix()?
        {
            return Ok(Step::NeedBytes);
        }
        match self.state {
            State::Announced(length) => Ok(Step::NeedGrant(length)),
            State::Body(length) if self.buffer.len() >= length => Ok(Step::Frame(self.cut(length))),
            State::Prefix | State::Body(_) => Ok(Step::NeedBytes),
        }
    }

    /// Whether length and API key are there and allowed.
    fn read_prefix(&mut self) -> Result<bool, FrameError> {
        let Some(&prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(false);
        };
        let length = frame_length(prefix, self.max_request_bytes)?;
        if length >= API_KEY_BYTES {
            let Some(&[_, _, _, _, first, second]) = self.buffer.first_chunk() else {
                return Ok(false);
            };
            request_length(length, [first, second], self.max_request_bytes)?;
        }
        self.buffer.advance(LENGTH_BYTES);
        self.state = State::Announced(length);
        Ok(true)
    }

    /// Lets the announced frame be read.
    pub(super) fn grant(&mut self) {
        if let State::Announced(length) = self.state {
            self.state = State::Body(length);
        }
    }

    fn cut(&mut self, length: usize) -> Bytes {
        self.state = State::Prefix;
        self.largest_frame = self.largest_frame.max(length);
        self.last_frame = length;
        let frame = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        frame
    }

    /// Whether another frame has arrived whole behind the one that was cut last.
    pub(super) fn has_frame(&self) -> bool {
        let prefix = self.buffer.first_chunk::<LENGTH_BYTES>();
        let length = prefix.and_then(|prefix| frame_length(*prefix, self.max_request_bytes).ok());
        length.is_some_and(|length| self.buffer.len() - LENGTH_BYTES >= length)
    }

    /// The buffer to read into, with room.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let have = self.buffer.len();
        let wanted = match self.state {
            State::Body(length) => {
                let allowed = have.max(LARGE_READ_BYTES).max(self.largest_frame);
                length.saturating_sub(have).clamp(1, allowed)
            }
            _ => self.room_between_frames(),
        };
        let room = self.buffer.capacity() - have;
        if room == 0 || (room < wanted && matches!(self.state, State::Body(_))) {
            // No more than is wanted, as growing by itself would: what is read beyond a frame is moved.
            let mut larger = BytesMut::with_capacity(have + wanted);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        &mut self.buffer
    }

    /// As much as whole frames of the last one's size take: a client that sends one size has none cut in two, whose beginning
    /// would have to be moved. What is larger than may be read ahead is read once its length is known.
    fn room_between_frames(&self) -> usize {
        let each = self.last_frame.saturating_add(LENGTH_BYTES);
        match LARGE_READ_BYTES / each {
            0 => SMALL_READ_BYTES,
            _ if self.largest_frame <= SMALL_READ_BYTES => SMALL_READ_BYTES,
            frames => (frames * each).max(SMALL_READ_BYTES),
        }
    }

    /// Gives room back that a read did not use.
    pub(super) fn release_unused(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Bytes of the frame that has begun; `None` between frames.
    pub(super) fn begun_bytes(&self) -> Option<usize> {
        match self.state {
            State::Prefix if self.buffer.is_empty() => None,
            _ => Some(self.buffer.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(reader: &mut FrameReader, bytes: &[u8]) {
        reader.room().extend_from_slice(bytes);
    }

    #[test]
    fn frames_are_cut_however_the_bytes_arrive() {
        let mut reader = FrameReader::new(1000);
        let mut frames = Vec::new();
        for byte in [0, 0, 0, 3, 0, 18, 7, 0, 0, 0, 1, 9] {
            feed(&mut reader, &[byte]);
            loop {
                match reader.step().unwrap() {
                    Step::NeedBytes => break,
                    Step::NeedGrant(_) => reader.grant(),
                    Step::Frame(frame) => frames.push(frame),
                }
            }
        }
        assert_eq!(
            frames,
            [Bytes::from_static(&[0, 18, 7]), Bytes::from_static(&[9])]
        );
        assert_eq!(reader.begun_bytes(), None);
    }

    #[test]
    fn an_announced_length_reserves_little_until_bytes_arrive() {
        let mut reader = FrameReader::new(100 << 20);
        feed(&mut reader, &[0x05, 0, 0, 0, 0, 0]);
        assert_eq!(reader.step(), Ok(Step::NeedGrant(0x0500_0000)));
        reader.grant();
        assert_eq!(reader.step(), Ok(Step::NeedBytes));
        assert!(reader.room().capacity() <= 2 * LARGE_READ_BYTES);
        feed(&mut reader, &vec![0; 1 << 20]);
        assert!(reader.room().capacity() <= 4 << 20);
    }

    #[test]
    fn a_frame_that_its_api_may_not_have_is_refused_at_its_sixth_byte() {
        let mut reader = FrameReader::new(100 << 20);
        feed(&mut reader, &[0x05, 0, 0, 0, 0]);
        assert_eq!(reader.step(), Ok(Step::NeedBytes));
        feed(&mut reader, &[3]);
        assert!(matches!(reader.step(), Err(FrameError::TooLarge { .. })));
    }

    /// Feeds frames of `length` bytes as fast as there is room; of the frames behind the first, how many were cut in two.
    fn cut_in_two(length: usize) -> usize {
        let frame = [
            &u32::try_from(length).unwrap().to_be_bytes()[..],
            &vec![0; length],
        ]
        .concat();
        let mut stream = frame.iter().copied().cycle().take(frame.len() * 64);
        let mut reader = FrameReader::new(100 << 20);
        let (mut frames, mut cut) = (0, 0);
        while frames < 64 {
            match reader.step().unwrap() {
                Step::NeedBytes => {
                    cut += usize::from(frames > 1 && reader.begun_bytes().is_some_and(|bytes| bytes > 4096));
                    let room = reader.room();
                    let bytes = room.capacity() - room.len();
                    room.extend(stream.by_ref().take(bytes));
                }
                Step::NeedGrant(_) => reader.grant(),
                Step::Frame(_) => frames += 1,
            }
        }
        cut
    }

    #[test]
    fn the_frames_of_a_client_that_sends_one_size_are_not_moved() {
        for length in [5000, 15_600, 16_384, 33_000, 64_200, 65_532, 70_000, 300_000] {
            assert_eq!(cut_in_two(length), 0, "{length}");
        }
    }

    #[test]
    fn nothing_is_held_between_frames() {
        let mut reader = FrameReader::new(1000);
        feed(&mut reader, &[0, 0, 0, 1, 9]);
        assert_eq!(reader.step(), Ok(Step::NeedGrant(1)));
        reader.grant();
        assert!(matches!(reader.step(), Ok(Step::Frame(_))));
        assert_eq!(reader.buffer.capacity(), 0);
    }
}
