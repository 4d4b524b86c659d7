//! The vote and the last purged entry: small records with magic, version, length and checksum (rule S7).
//!
//! Layout, big-endian: 4 bytes magic, `u16` version, `u32` payload length, payload, `u32` CRC-32C of all that
//! precedes it. The vote's payload: `u64` term, `u64` node voted for, `u8` 1 if a quorum granted it, and for the rest the
//! cluster's id as text, empty if it is not known (Kafka's `quorum-state` has such a field too): the only copy of it that
//! a checksum protects before there is a snapshot. The purged entry's: `u64` term, `u64` index. A record that cannot be read stops the node: neither can be rebuilt from anything else.

use super::fields::Fields;
use super::types::{LogId, Vote, stored_log_id, term_of};

/// 1 added the cluster's id; a vote of version 0 is read without one.
const VOTE_VERSION: u16 = 1;
const PURGED_VERSION: u16 = 0;
const VOTE_MAGIC: [u8; 4] = *b"CQVT";
const PURGED_MAGIC: [u8; 4] = *b"CQPG";
const CHECKSUM_BYTES: usize = 4;
/// A snapshot's header allows as much; by custom it is 22.
const MOST_CLUSTER_ID_BYTES: usize = u16::MAX as usize;

/// The vote as one record: term and node in one write (rule O1).
///
/// # Errors
/// A sentence about a cluster id that is too long.
pub(super) fn encode_vote(vote: &Vote, cluster_id: &str) -> Result<Vec<u8>, String> {
    if cluster_id.len() > MOST_CLUSTER_ID_BYTES {
        return Err(format!("a cluster id of {} bytes is too long", cluster_id.len()));
    }
    let mut payload = Vec::with_capacity(17 + cluster_id.len());
    payload.extend_from_slice(&vote.leader_id.term.to_be_bytes());
    payload.extend_from_slice(&vote.leader_id.voted_for.to_be_bytes());
    payload.push(u8::from(vote.committed));
    payload.extend_from_slice(cluster_id.as_bytes());
    Ok(seal(VOTE_MAGIC, VOTE_VERSION, &payload))
}

/// The vote and the cluster's id.
///
/// # Errors
/// A sentence that says what is wrong with the record.
pub(super) fn decode_vote(record: &[u8]) -> Result<(Vote, String), String> {
    let (version, payload) = unseal(VOTE_MAGIC, VOTE_VERSION, record)?;
    take_vote(payload)
        .filter(|(_, cluster_id)| version > 0 || cluster_id.is_empty())
        .ok_or_else(|| "the payload is not a vote".to_owned())
}

fn take_vote(payload: &[u8]) -> Option<(Vote, String)> {
    let mut fields = Fields::new(payload);
    let (term, node) = (fields.u64()?, fields.u64()?);
    let vote = match fields.u8()? {
        0 => Vote::new(term, node),
        1 => Vote::new_committed(term, node),
        _ => return None,
    };
    let cluster_id = std::str::from_utf8(fields.bytes(fields.remaining())?).ok()?;
    Some((vote, cluster_id.to_owned()))
}

/// The last purged entry as one record.
pub(super) fn encode_purged(purged: &LogId) -> Vec<u8> {
    let mut payload = Vec::with_capacity(16);
    payload.extend_from_slice(&term_of(purged).to_be_bytes());
    payload.extend_from_slice(&purged.index.to_be_bytes());
    seal(PURGED_MAGIC, PURGED_VERSION, &payload)
}

/// # Errors
/// A sentence that says what is wrong with the record.
pub(super) fn decode_purged(record: &[u8]) -> Result<LogId, String> {
    let mut fields = Fields::new(unseal(PURGED_MAGIC, PURGED_VERSION, record)?.1);
    fields
        .u64()
        .zip(fields.u64())
        .filter(|_| fields.is_empty())
        .and_then(|(term, index)| stored_log_id(term, index))
        .ok_or_else(|| "the payload is not a log id".to_owned())
}

fn seal(magic: [u8; 4], version: u16, payload: &[u8]) -> Vec<u8> {
    let mut record = magic.to_vec();
    record.extend_from_slice(&version.to_be_bytes());
    record.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    record.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&record);
    record.extend_from_slice(&checksum.to_be_bytes());
    record
}

/// Version and payload of a record whose version is at most `newest`.
fn unseal(magic: [u8; 4], newest: u16, record: &[u8]) -> Result<(u16, &[u8]), String> {
    let (body, checksum) = record
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| format!("the record has only {} bytes", record.len()))?;
    let mut fields = Fields::new(body);
    if fields.bytes(magic.len()) != Some(&magic) {
        return Err("the record does not begin with its magic".to_owned());
    }
    let (stored, computed) = (u32::from_be_bytes(*checksum), crc32c::crc32c(body));
    if stored != computed {
        return Err(format!(
            "the checksum is {stored:#010x}, the bytes have {computed:#010x}"
        ));
    }
    let version = fields.u16().ok_or_else(|| "the record is cut short".to_owned())?;
    if version > newest {
        return Err(format!(
            "version {version} is not known to this version of the software"
        ));
    }
    let length = fields.u32().and_then(|length| usize::try_from(length).ok());
    length
        .filter(|&length| length == fields.remaining())
        .and_then(|length| fields.bytes(length))
        .map(|payload| (version, payload))
        .ok_or_else(|| "the length does not fit the record".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::types::log_id;
    use super::*;

    #[test]
    fn votes_and_purged_entries_come_back() {
        for vote in [Vote::new(0, 0), Vote::new(7, 3), Vote::new_committed(u64::MAX, 1)] {
            for cluster_id in ["", "a-cluster"] {
                let record = encode_vote(&vote, cluster_id).unwrap();
                assert_eq!(decode_vote(&record), Ok((vote, cluster_id.to_owned())));
            }
        }
        assert_eq!(decode_purged(&encode_purged(&log_id(4, 900))), Ok(log_id(4, 900)));
    }

    #[test]
    fn an_index_that_no_log_has_is_not_read() {
        let largest = i64::MAX.cast_unsigned() - 1;
        assert!(decode_purged(&encode_purged(&log_id(4, largest))).is_ok());
        for index in [largest + 1, u64::MAX] {
            assert!(
                decode_purged(&encode_purged(&log_id(4, index))).is_err(),
                "{index}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let record = encode_vote(&Vote::new(7, 3), "a-cluster").unwrap();
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_vote(&damaged).is_err(), "bit {bit}");
        }
        for cut in 0..record.len() {
            assert!(decode_vote(&record[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_vote_of_version_0_is_read_and_has_no_cluster() {
        let record = encode_vote(&Vote::new(7, 3), "").unwrap();
        let payload = unseal(VOTE_MAGIC, VOTE_VERSION, &record).unwrap().1;
        let earlier = seal(VOTE_MAGIC, 0, payload);
        assert_eq!(decode_vote(&earlier), Ok((Vote::new(7, 3), String::new())));
        let later = seal(VOTE_MAGIC, VOTE_VERSION + 1, payload);
        assert!(decode_vote(&later).unwrap_err().contains("version 2"));
    }

    #[test]
    fn one_kind_of_record_is_not_taken_for_the_other() {
        assert!(decode_vote(&encode_purged(&log_id(1, 1))).is_err());
        assert!(decode_purged(&encode_vote(&Vote::new(1, 1), "").unwrap()).is_err());
    }
}
