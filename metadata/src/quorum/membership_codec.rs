//! The voters as bytes: our own layout, since openraft promises none.
//!
//! Layout, big-endian: `u8` version (0); `u32` number of configurations (two while one hands over to the next), each a
//! `u32` count and that many `u64` node ids; `u32` number of nodes, each a `u64` id and its 16-byte directory id.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::fields::Fields;
use super::types::{Membership, VoterNode};

const VERSION: u8 = 0;

/// Appends a membership.
pub(super) fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    out.push(VERSION);
    let configurations = membership.get_joint_config();
    put_count(out, configurations.len());
    for voters in configurations {
        put_count(out, voters.len());
        for id in voters {
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
    put_count(out, membership.nodes().count());
    for (id, node) in membership.nodes() {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(node.directory_id().as_bytes());
    }
}

/// Voters are counted in tens.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u32).to_be_bytes());
}

/// Reads a membership.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub(super) fn take_membership(fields: &mut Fields<'_>) -> Result<Membership, String> {
    let version = fields.u8().ok_or("the voters are missing")?;
    if version != VERSION {
        return Err(format!("voters of unknown version {version}"));
    }
    let (configurations, nodes) = take_parts(fields).ok_or("the voters are cut short")?;
    if configurations.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configurations, nodes)
        .map_err(|error| format!("the voters contradict themselves: {error}"))
}

type Parts = (Vec<BTreeSet<u64>>, BTreeMap<u64, VoterNode>);

fn take_parts(fields: &mut Fields<'_>) -> Option<Parts> {
    let mut configurations = Vec::new();
    for _ in 0..fields.u32()? {
        let mut voters = BTreeSet::new();
        for _ in 0..fields.u32()? {
            voters.insert(fields.u64()?);
        }
        configurations.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let id = fields.u64()?;
        nodes.insert(id, VoterNode::new(Uuid::from_u128(fields.u128()?)));
    }
    Some((configurations, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint() -> Membership {
        let nodes: BTreeMap<u64, VoterNode> = (1..=4)
            .map(|id| (id, VoterNode::new(Uuid::from_u128(u128::from(id) << 64))))
            .collect();
        Membership::new(vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3])], nodes).unwrap()
    }

    #[test]
    fn voters_come_back_and_every_cut_is_refused() {
        let mut bytes = Vec::new();
        put_membership(&mut bytes, &joint());
        let mut fields = Fields::new(&bytes);
        assert_eq!(take_membership(&mut fields).unwrap(), joint());
        assert!(fields.is_empty());
        for cut in 0..bytes.len() {
            assert!(
                take_membership(&mut Fields::new(&bytes[..cut])).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_count_that_the_bytes_do_not_carry_is_refused() {
        let bytes = [VERSION, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert!(take_membership(&mut Fields::new(&bytes)).is_err());
    }

    #[test]
    fn voters_of_a_later_version_are_refused_by_name() {
        let error = take_membership(&mut Fields::new(&[9])).unwrap_err();
        assert!(error.contains("unknown version 9"), "{error}");
    }
}
