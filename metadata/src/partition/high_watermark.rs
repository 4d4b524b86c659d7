//! The high watermark: the offset below which every in-sync replica has every record.

use protocol_compat::BrokerId;

/// The smallest durable end offset among `members` (rule R5). A member that has not reported yet holds it back, as does
/// an empty set. A member may be named twice.
pub fn high_watermark_candidate<'a>(
    members: impl Iterator<Item = &'a BrokerId>,
    durable_end_offsets: &[(BrokerId, i64)],
) -> Option<i64> {
    let reported = |id: &BrokerId| {
        let mut ends = durable_end_offsets.iter();
        ends.find(|(replica, _)| replica == id).map(|(_, end)| *end)
    };
    members.map(reported).min().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_member_decides_and_silence_holds_back() {
        let members = [BrokerId(1), BrokerId(2)];
        let mut ends = vec![(BrokerId(1), 9), (BrokerId(3), 1)];
        assert_eq!(high_watermark_candidate(members.iter(), &ends), None);
        ends.push((BrokerId(2), 4));
        assert_eq!(high_watermark_candidate(members.iter(), &ends), Some(4));
        assert_eq!(high_watermark_candidate([].iter(), &ends), None);
    }
}
