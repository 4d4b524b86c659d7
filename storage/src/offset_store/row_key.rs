//! The keys of rows: a kind, then length-prefixed names, so that no name can run into the next.
//!
//! All rows of a group stand together, and all of its topics' partitions in order.

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// A committed offset of a group and partition.
    Offset,
    /// The metadata of a group.
    Group,
}

impl RowKind {
    /// The first byte of the row's key.
    pub fn byte(self) -> u8 {
        match self {
            RowKind::Offset => 0,
            RowKind::Group => 1,
        }
    }
}

/// The key of a committed offset. Names are at most 32767 bytes on the wire; what is longer than 65535 is cut.
pub fn offset(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = offsets_of_topic(group, topic);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// What the keys of all offsets of a group and topic begin with.
pub fn offsets_of_topic(group: &str, topic: &str) -> Vec<u8> {
    let mut key = offsets_of_group(group);
    put_name(&mut key, topic.as_bytes());
    key
}

/// What the keys of all offsets of a group begin with.
pub fn offsets_of_group(group: &str) -> Vec<u8> {
    group_prefix(RowKind::Offset, group.as_bytes())
}

/// The key of a group's metadata.
pub fn group(group: &str) -> Vec<u8> {
    group_prefix(RowKind::Group, group.as_bytes())
}

/// Group, topic and partition of a committed offset's key; `None` for any other key.
pub fn parse_offset(key: &[u8]) -> Option<(&str, &str, i32)> {
    let rest = key.strip_prefix(&[RowKind::Offset.byte()])?;
    let (group, rest) = split_name(rest)?;
    let (topic, rest) = split_name(rest)?;
    let partition = i32::from_be_bytes(rest.try_into().ok()?);
    Some((
        std::str::from_utf8(group).ok()?,
        std::str::from_utf8(topic).ok()?,
        partition,
    ))
}

/// The group id of a metadata key; `None` for any other key.
pub fn parse_group(key: &[u8]) -> Option<&str> {
    let rest = key.strip_prefix(&[RowKind::Group.byte()])?;
    let (group, rest) = split_name(rest)?;
    rest.is_empty().then(|| std::str::from_utf8(group).ok())?
}

pub(super) fn group_prefix(kind: RowKind, group: &[u8]) -> Vec<u8> {
    let mut key = vec![kind.byte()];
    put_name(&mut key, group);
    key
}

/// The group id at the front of what follows the kind.
pub(super) fn leading_group(rest: &[u8]) -> Option<&[u8]> {
    split_name(rest).map(|(group, _)| group)
}

fn put_name(key: &mut Vec<u8>, name: &[u8]) {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend(name.iter().take(usize::from(length)));
}

fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
