//! What happens to the node of a seed: how often it dies and how, and what goes wrong in between.
//!
//! A plan is a list of numbered happenings; leaving some of them out gives a smaller plan of the same seed, which is how a
//! failing one is shrunk.

use std::collections::BTreeSet;

use crate::history::LifeEnd;
use crate::rng::Rng;

/// A wall clock that is wrong is wrong by this much.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Something that goes wrong while the node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// One connection is reset.
    ResetOne,
    /// Every connection is reset.
    ResetAll,
    /// One connection loses every byte from now on, and nobody is told.
    HalfOpen,
    /// Every connection needs this many microseconds for a kilobyte.
    Slow(u64),
    /// Connections are fast again, half-open ones end.
    Heal,
    /// The wall clock jumps by this many milliseconds.
    ClockJump(i64),
    /// The process stands still for this many milliseconds, as on a disk that stalls.
    Stall(u64),
    /// What is done on threads of its own because it blocks on the disk takes this many milliseconds longer.
    SlowDisk(u64),
    /// The disk has no room but for this many bytes.
    DiskFull(u64),
    /// The disk has room again.
    DiskFreed,
    /// The disk's call with this number from now on fails.
    IoError(u64),
}

/// A mishap and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Its number in the plan.
    pub number: u32,
    /// Milliseconds after the life began.
    pub at_ms: u64,
    /// What happens.
    pub mishap: Mishap,
}

/// One life of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifePlan {
    /// Its number in the plan.
    pub number: u32,
    /// How long it lasts, in milliseconds.
    pub length_ms: u64,
    /// How it ends.
    pub end: LifeEnd,
    /// Where the power goes at a call of the disk instead of after `length_ms`: the number of the call, from the life's begin.
    pub cut_at_call: Option<u64>,
    /// Whether the store of committed offsets is gone afterwards.
    pub loses_offset_store: bool,
    /// What goes wrong, in order.
    pub happenings: Vec<Happening>,
}

/// Everything that happens to the node of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether records are on the disk before they are acknowledged.
    pub flushed: bool,
    /// Directories of partitions, 1 or 2.
    pub log_dirs: u32,
    /// The lives before the last one, in which nothing goes wrong.
    pub lives: Vec<LifePlan>,
    /// Numbers given out.
    pub numbers: u32,
}

impl Plan {
    /// The plan of `seed`, without the parts whose numbers are in `without`.
    pub fn of(seed: u64, without: &BTreeSet<u32>) -> Plan {
        let mut rng = Rng::new(seed, "plan");
        let mut numbers = 0;
        let mut number = || {
            numbers += 1;
            numbers - 1
        };
        let flushed = rng.chance(400);
        let log_dirs = if rng.chance(250) { 2 } else { 1 };
        let mut lives = Vec::new();
        for _ in 0..rng.between(1, 4) {
            let life = LifePlan::draw(&mut rng, &mut number);
            lives.push(life);
        }
        // Drawn apart, so that the rest of a seed's plan is as it was before there were slow disks.
        let mut rng = Rng::new(seed, "slow disk");
        for life in &mut lives {
            if rng.chance(150) {
                life.slow_disk(&mut rng, &mut number);
            }
        }
        let mut plan = Plan {
            flushed,
            log_dirs,
            lives,
            numbers,
        };
        plan.leave_out(without);
        plan
    }

    fn leave_out(&mut self, without: &BTreeSet<u32>) {
        self.lives.retain(|life| !without.contains(&life.number));
        for life in &mut self.lives {
            life.happenings
                .retain(|happening| !without.contains(&happening.number));
        }
    }
}

impl LifePlan {
    fn draw(rng: &mut Rng, number: &mut impl FnMut() -> u32) -> LifePlan {
        let length_ms = *rng.pick(&[50, 300, 1_000, 3_000, 8_000]) + rng.below(1_000);
        let (end, cut_at_call) = match rng.below(10) {
            0..=3 => (LifeEnd::Kill, None),
            4..=5 => (LifeEnd::PowerCut, None),
            6..=7 => (LifeEnd::PowerCut, Some(rng.between(1, 2_000))),
            _ => (LifeEnd::CleanStop, None),
        };
        let own = number();
        let mut happenings = Vec::new();
        for _ in 0..rng.below(5) {
            let at_ms = rng.below(length_ms);
            let mut add = |at_ms, mishap| {
                happenings.push(Happening {
                    number: number(),
                    at_ms,
                    mishap,
                });
            };
            match rng.below(12) {
                0..=1 => add(at_ms, Mishap::ResetOne),
                2 => add(at_ms, Mishap::ResetAll),
                3..=4 => {
                    add(at_ms, Mishap::HalfOpen);
                    add(at_ms + rng.between(100, 5_000), Mishap::Heal);
                }
                5 => {
                    add(at_ms, Mishap::Slow(rng.between(500, 20_000)));
                    add(at_ms + rng.between(100, 3_000), Mishap::Heal);
                }
                6..=7 => {
                    let by = if rng.chance(500) { DAY_MS } else { -DAY_MS };
                    add(at_ms, Mishap::ClockJump(by));
                    add(at_ms + rng.between(10, 3_000), Mishap::ClockJump(-by));
                }
                8 => add(at_ms, Mishap::Stall(rng.between(10, 4_000))),
                9..=10 => {
                    add(at_ms, Mishap::DiskFull(rng.below(70 << 20)));
                    add(at_ms + rng.between(100, 4_000), Mishap::DiskFreed);
                }
                _ => add(at_ms, Mishap::IoError(rng.between(1, 300))),
            }
        }
        happenings.sort_by_key(|happening| happening.at_ms);
        LifePlan {
            number: own,
            length_ms,
            end,
            cut_at_call,
            loses_offset_store: rng.chance(150),
            happenings,
        }
    }

    fn slow_disk(&mut self, rng: &mut Rng, number: &mut impl FnMut() -> u32) {
        let begins = rng.below(self.length_ms);
        let ends = begins + rng.between(100, 5_000);
        let delay_ms = *rng.pick(&[20, 200, 2_000]);
        for (at_ms, delay_ms) in [(begins, delay_ms), (ends, 0)] {
            let mishap = Mishap::SlowDisk(delay_ms);
            let number = number();
            self.happenings.push(Happening {
                number,
                at_ms,
                mishap,
            });
        }
        self.happenings.sort_by_key(|happening| happening.at_ms);
    }

    /// Whether something is done to the disk that may end the node.
    pub fn has_disk_error(&self) -> bool {
        self.happenings
            .iter()
            .any(|happening| matches!(happening.mishap, Mishap::IoError(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_what_is_left_out_is_all_that_is_missing() {
        let whole = Plan::of(5, &BTreeSet::new());
        assert_eq!(whole, Plan::of(5, &BTreeSet::new()));
        assert_ne!(whole, Plan::of(6, &BTreeSet::new()));
        let first = whole.lives[0].number;
        let smaller = Plan::of(5, &BTreeSet::from([first]));
        assert_eq!(smaller.lives, whole.lives[1..]);
    }

    #[test]
    fn among_some_seeds_everything_happens() {
        let plans: Vec<Plan> = (0..300).map(|seed| Plan::of(seed, &BTreeSet::new())).collect();
        let lives: Vec<&LifePlan> = plans.iter().flat_map(|plan| &plan.lives).collect();
        for end in [LifeEnd::Kill, LifeEnd::PowerCut, LifeEnd::CleanStop] {
            assert!(lives.iter().any(|life| life.end == end), "{end:?}");
        }
        assert!(lives.iter().any(|life| life.cut_at_call.is_some()));
        assert!(lives.iter().any(|life| life.has_disk_error()));
        let mut mishaps = lives.iter().flat_map(|life| &life.happenings);
        assert!(mishaps.any(|happening| matches!(happening.mishap, Mishap::SlowDisk(1..))));
        assert!(plans.iter().any(|plan| plan.flushed) && plans.iter().any(|plan| !plan.flushed));
    }
}
