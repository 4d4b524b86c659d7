//! Seeded random numbers: the same seed and name give the same row on every machine (SplitMix64).

/// A generator of one's own.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `name` in the run of `seed`.
    pub fn new(seed: u64, name: &str) -> Rng {
        let mut state = seed ^ 0x51ab_de51_0f0f_77c3;
        for byte in name.bytes() {
            state = (state ^ u64::from(byte))
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(23);
        }
        let mut rng = Rng(state);
        rng.bits();
        rng
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match bound {
            0 => 0,
            _ => ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64,
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low).saturating_add(1))
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// `choices` is empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_give_the_same_row_and_others_another_one() {
        let row = |seed, name| {
            let mut rng = Rng::new(seed, name);
            [rng.bits(), rng.bits(), rng.bits()]
        };
        assert_eq!(row(7, "producer-1"), row(7, "producer-1"));
        assert_ne!(row(7, "producer-1"), row(8, "producer-1"));
        assert_ne!(row(7, "producer-1"), row(7, "producer-2"));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut rng = Rng::new(1, "bound");
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[rng.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(rng.below(0), 0);
        assert!((0..1_000).all(|_| (3..=5).contains(&rng.between(3, 5))));
    }
}
