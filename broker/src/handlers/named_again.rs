//! What a request names again and again is answered a bounded number of times.
//!
//! Protects the rule that an answer is in proportion to what there is: the settings of a broker are thousands of times
//! longer than its name, so that a request of some kilobytes that names it over and over would be answered with gigabytes.
//! No client names anything twice; Apache Kafka answers each.

use std::collections::BTreeSet;

/// So often a request gets an answer again for what it has named before, over all that it names.
const MOST_REPEATED: usize = 64;

/// What one request has named so far.
pub struct NamedAgain<K> {
    named: BTreeSet<K>,
    left: usize,
}

impl<K: Ord> NamedAgain<K> {
    /// Nothing yet.
    pub fn new() -> NamedAgain<K> {
        NamedAgain {
            named: BTreeSet::new(),
            left: MOST_REPEATED,
        }
    }

    /// Whether this is answered: it is named for the first time, or not too much was repeated before.
    pub fn is_answered(&mut self, key: K) -> bool {
        if self.named.insert(key) {
            return true;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_always_answered_and_the_rest_so_often() {
        let mut named = NamedAgain::new();
        let answered = |key: u32, times: usize, named: &mut NamedAgain<u32>| {
            (0..times).filter(|_| named.is_answered(key)).count()
        };
        assert_eq!(
            answered(1, 1 + MOST_REPEATED / 2, &mut named),
            1 + MOST_REPEATED / 2
        );
        assert_eq!(answered(2, 1000, &mut named), 1 + MOST_REPEATED / 2);
        assert_eq!(answered(3, 1000, &mut named), 1);
    }
}
