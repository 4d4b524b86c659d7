//! Which bytes of a segment must be checked before they are sent: what may have come from the disk since they were.
//!
//! All else was appended by this process or read and checked by it, and was in the page cache whenever somebody looked.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// So many ranges are kept, 16 bytes each. More become fewer by taking what lies between two for cold.
const MOST_RANGES: usize = 64;

/// The cold parts of a segment.
#[derive(Debug)]
pub(super) struct ColdRanges {
    /// End of the last range, 0 where there is none: readers behind it need no lock.
    end: AtomicU64,
    /// In order, apart from each other, none empty.
    ranges: Mutex<Vec<Range<u64>>>,
}

impl ColdRanges {
    /// Everything is cold, whatever will be there.
    pub(super) fn everything() -> ColdRanges {
        ColdRanges {
            end: AtomicU64::new(u64::MAX),
            ranges: Mutex::new(up_to(u64::MAX)),
        }
    }

    /// What stands before `end` is cold and nothing behind it.
    pub(super) fn reset(&self, end: u64) {
        self.change(|ranges| *ranges = up_to(end));
    }

    /// The first cold range that has bytes of `part`, from its own start to its own end.
    pub(super) fn first_in(&self, part: &Range<u64>) -> Option<Range<u64>> {
        if part.start >= self.end.load(Ordering::Acquire) {
            return None;
        }
        let ranges = self.ranges.lock();
        let at = ranges.partition_point(|range| range.end <= part.start);
        ranges.get(at).filter(|range| range.start < part.end).cloned()
    }

    /// Takes `part` for cold.
    pub(super) fn add(&self, part: Range<u64>) {
        if part.is_empty() {
            return;
        }
        self.change(|ranges| {
            // Those that it overlaps or touches become one with it.
            let first = ranges.partition_point(|range| range.end < part.start);
            let last = ranges.partition_point(|range| range.start <= part.end);
            let touched = ranges.get(first..last).unwrap_or_default();
            let start = touched
                .first()
                .map_or(part.start, |range| range.start.min(part.start));
            let end = touched.last().map_or(part.end, |range| range.end.max(part.end));
            ranges.splice(first..last, std::iter::once(start..end));
            if ranges.len() > MOST_RANGES {
                close_smallest_gap(ranges);
            }
        });
    }

    /// `part` was read and checked. Where that would leave too many ranges, it stays cold.
    pub(super) fn remove(&self, part: &Range<u64>) {
        if self.first_in(part).is_none() {
            return;
        }
        self.change(|ranges| {
            let first = ranges.partition_point(|range| range.end <= part.start);
            let last = ranges.partition_point(|range| range.start < part.end);
            let overlapped = ranges.get(first..last).unwrap_or_default();
            let before = overlapped.first().map(|range| range.start..part.start);
            let behind = overlapped.last().map(|range| part.end..range.end);
            let left = [before, behind].into_iter().flatten();
            let left: Vec<_> = left.filter(|range| !range.is_empty()).collect();
            if ranges.len() + left.len() <= MOST_RANGES + overlapped.len() {
                ranges.splice(first..last, left);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Range<u64>>)) {
        let mut ranges = self.ranges.lock();
        change(&mut ranges);
        let end = ranges.last().map_or(0, |range| range.end);
        self.end.store(end, Ordering::Release);
    }
}

/// What stands before `end`, with no room for more: most segments never have more ranges, and many have none.
fn up_to(end: u64) -> Vec<Range<u64>> {
    (end > 0).then_some(0..end).into_iter().collect()
}

fn close_smallest_gap(ranges: &mut Vec<Range<u64>>) {
    let gaps = ranges.windows(2).map(|pair| match pair {
        [before, behind] => behind.start - before.end,
        _ => u64::MAX,
    });
    if let Some((at, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) {
        let behind = ranges.remove(at + 1);
        if let Some(before) = ranges.get_mut(at) {
            before.end = behind.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: u64 = 2000;

    /// The same, byte by byte.
    struct Model(Vec<bool>);

    impl Model {
        fn set(&mut self, part: &Range<u64>, is_cold: bool) {
            let [start, end] = [part.start, part.end].map(|at| usize::try_from(at).unwrap());
            self.0[start..end].fill(is_cold);
        }
    }

    fn is_cold(cold: &ColdRanges, at: u64) -> bool {
        cold.first_in(&(at..at + 1)).is_some()
    }

    proptest! {
        #[test]
        fn what_is_added_is_cold_and_what_is_removed_is_not(
            steps in prop::collection::vec((any::<bool>(), 0..BYTES, 0..90_u64), 1..60)
        ) {
            let cold = ColdRanges::everything();
            cold.reset(700);
            let mut model = Model(vec![false; usize::try_from(BYTES).unwrap()]);
            model.set(&(0..700), true);
            for (is_added, start, bytes) in steps {
                let part = start..(start + bytes).min(BYTES);
                if is_added {
                    cold.add(part.clone());
                } else {
                    cold.remove(&part);
                }
                model.set(&part, is_added);
                let ranges = cold.ranges.lock().clone();
                prop_assert!(ranges.iter().all(|range| !range.is_empty()), "{ranges:?}");
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
                for at in 0..BYTES {
                    let expected = model.0[usize::try_from(at).unwrap()];
                    prop_assert_eq!(is_cold(&cold, at), expected, "byte {}", at);
                }
            }
        }
    }

    #[test]
    fn too_many_ranges_become_fewer_and_nothing_cold_is_lost() {
        let cold = ColdRanges::everything();
        cold.reset(0);
        assert_eq!(cold.first_in(&(0..u64::MAX)), None);
        for number in 0..1000 {
            // The gaps grow: the first are closed first.
            let start = number * 100 + number * number;
            cold.add(start..start + 10);
            assert!(is_cold(&cold, start) && is_cold(&cold, start + 9));
            assert!(cold.ranges.lock().len() <= MOST_RANGES);
        }
        for number in 0..1000 {
            assert!(is_cold(&cold, number * 100 + number * number));
        }
        let last = 999 * 100 + 999 * 999;
        assert!(!is_cold(&cold, last - 1));
        // In the midst of a range there is no room for another one; at its ends there is.
        cold.remove(&(5..6));
        assert!(is_cold(&cold, 5));
        cold.remove(&(0..6));
        assert!(!is_cold(&cold, 5) && is_cold(&cold, 6));
        assert_eq!(cold.first_in(&(last + 10..u64::MAX)), None);
    }

    #[test]
    fn everything_can_be_read_bit_by_bit() {
        let cold = ColdRanges::everything();
        for at in 0..10 {
            assert_eq!(cold.first_in(&(at..at + 5)), Some(at..u64::MAX));
            cold.remove(&(at..at + 1));
        }
        assert_eq!(cold.first_in(&(0..10)), None);
        assert_eq!(cold.first_in(&(0..u64::MAX)), Some(10..u64::MAX));
    }
}
