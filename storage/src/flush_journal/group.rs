//! What one write of the journal holds: the ends of many segments, each with the place that it belongs to.
//!
//! ```text
//! group   magic 8 | generation 8 | sequence 8 | bytes of all pieces 4 | pieces 4 | CRC-32C of all but itself 4 | zeros to 64
//! piece   topic id 16 | partition 4 | base offset 8 | position 8 | bytes 4 | length of the topic's name 2 | name | bytes
//! ```
//!
//! Numbers are little-endian. Groups begin at multiples of 4 KiB, so that one that is torn takes no other with it. A part of the
//! journal is read from its start for as long as groups are whole, of the first one's generation, and in sequence: what
//! stands behind them is older.

use std::io;

use protocol_compat::{TopicId, TopicPartition};
use uuid::Uuid;

use crate::disk::File;

pub(super) const ALIGNMENT: u64 = 4096;
const MAGIC: [u8; 8] = *b"CAUCEFJ1";
const HEADER_BYTES: usize = 64;
const CHECKSUM_AT: usize = 32;

/// Where bytes belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub topic_id: TopicId,
    pub partition: TopicPartition,
    /// Of the segment.
    pub base_offset: i64,
    /// In its file of batches.
    pub position: u64,
}

/// A group that grows. The buffer is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct GroupBuilder {
    bytes: Vec<u8>,
    pieces: u32,
}

impl GroupBuilder {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        self.pieces = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Adds `length` bytes of `file` from the place's position on. The group is as it was if they cannot be read.
    pub fn add(&mut self, place: &Place, file: &File, length: usize) -> io::Result<()> {
        let before = self.bytes.len();
        let name = place.partition.topic.as_bytes();
        let name_bytes = u16::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let bytes = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.bytes.extend(place.topic_id.0.as_bytes());
        self.bytes.extend(place.partition.partition.to_le_bytes());
        self.bytes.extend(place.base_offset.to_le_bytes());
        self.bytes.extend(place.position.to_le_bytes());
        self.bytes.extend(bytes.to_le_bytes());
        self.bytes.extend(name_bytes.to_le_bytes());
        self.bytes.extend(name);
        let from = self.bytes.len();
        self.bytes.resize(from + length, 0);
        let read = match self.bytes.get_mut(from..) {
            Some(room) => file.read_exact_at(room, place.position),
            None => Ok(()),
        };
        if read.is_err() {
            self.bytes.truncate(before);
        } else {
            self.pieces += 1;
        }
        read
    }

    /// The whole group, padded to the next multiple of [`ALIGNMENT`].
    pub fn finish(&mut self, generation: u64, sequence: u64) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(generation.to_le_bytes());
        header.extend(sequence.to_le_bytes());
        header.extend(length.to_le_bytes());
        header.extend(self.pieces.to_le_bytes());
        self.put(0, &header);
        let crc = checksum_of(&self.bytes);
        self.put(CHECKSUM_AT, &crc.to_le_bytes());
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT as usize);
        self.bytes.resize(padded, 0);
        &self.bytes
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }
}

/// Of a group without its padding, but for the checksum itself.
fn checksum_of(group: &[u8]) -> u32 {
    let before = group.get(..CHECKSUM_AT).unwrap_or_default();
    let behind = group.get(CHECKSUM_AT + 4..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(before), behind)
}

/// A whole group, as it was read.
#[derive(Debug)]
pub(super) struct Group {
    pub generation: u64,
    pub sequence: u64,
    /// With its padding.
    pub size: u64,
    pub pieces: Vec<(Place, Vec<u8>)>,
}

/// The group that begins at `at` and ends before `end`; `None` if none does that is whole.
pub(super) fn read(file: &File, at: u64, end: u64) -> io::Result<Option<Group>> {
    if at + HEADER_BYTES as u64 > end {
        return Ok(None);
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, at)?;
    let mut fields = Fields(&header);
    if fields.take::<8>() != Some(MAGIC) {
        return Ok(None);
    }
    let (Some(generation), Some(sequence)) = (
        fields.take().map(u64::from_le_bytes),
        fields.take().map(u64::from_le_bytes),
    ) else {
        return Ok(None);
    };
    let (Some(length), Some(count), Some(crc)) = (
        fields.take().map(u32::from_le_bytes),
        fields.take().map(u32::from_le_bytes),
        fields.take().map(u32::from_le_bytes),
    ) else {
        return Ok(None);
    };
    let size = HEADER_BYTES as u64 + u64::from(length);
    if at + size > end {
        return Ok(None);
    }
    let mut whole = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::InvalidData)?];
    file.read_exact_at(&mut whole, at)?;
    if checksum_of(&whole) != crc {
        return Ok(None);
    }
    let mut rest = Fields(whole.get(HEADER_BYTES..).unwrap_or_default());
    let pieces: Option<Vec<_>> = (0..count).map(|_| rest.piece()).collect();
    Ok(pieces.map(|pieces| Group {
        generation,
        sequence,
        size: size.next_multiple_of(ALIGNMENT),
        pieces,
    }))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn piece(&mut self) -> Option<(Place, Vec<u8>)> {
        let topic_id = TopicId(Uuid::from_bytes(self.take()?));
        let partition = i32::from_le_bytes(self.take()?);
        let base_offset = i64::from_le_bytes(self.take()?);
        let position = u64::from_le_bytes(self.take()?);
        let length = u32::from_le_bytes(self.take()?);
        let name_bytes = u16::from_le_bytes(self.take()?);
        let name = String::from_utf8(self.bytes(usize::from(name_bytes))?).ok()?;
        let place = Place {
            topic_id,
            partition: TopicPartition::new(name, partition),
            base_offset,
            position,
        };
        Some((place, self.bytes(usize::try_from(length).ok()?)?))
    }
}
