//! Where the time of a request goes: a record that the thread which works on the request carries along.
//!
//! Few requests have one; without a record everything here is one branch. A record is in one stage at a time, and the clock
//! is read only when that changes, so that its stages add up to its time. What waits is off the thread meanwhile: each
//! piece of work carries its record by itself ([`Work`]), and a request that is given up takes its record with it.
//!
//! One record passes through the whole node, which is why the stages of all crates stand here. This crate enters
//! [`Stage::Append`] and [`Stage::File`]; which requests are sampled, and what becomes of their records, is for whoever
//! serves them.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// What a request is in the midst of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was read completely, and others go first.
    Queue,
    /// Its bytes become a message.
    Decode,
    /// Handling that is none of the other stages.
    Local,
    /// The log takes its records, but for the file.
    Append,
    /// Files are read, written or synced.
    File,
    /// It waits for a high watermark, a flush, more data, a group.
    Wait,
    /// Its answer becomes bytes.
    Encode,
    /// The answers of earlier requests leave first.
    Order,
    /// Its answer is on its way into the socket.
    Send,
}

const STAGES: usize = Stage::Send as usize + 1;

/// A clock: time since any moment, which never goes back.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How long a request was in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent([Option<Duration>; STAGES]);

impl Spent {
    /// The time in one stage; `None` if it was never entered.
    pub fn of(&self, stage: Stage) -> Option<Duration> {
        self.0[stage as usize]
    }

    /// The time in all stages.
    pub fn total(&self) -> Duration {
        self.0.iter().flatten().sum()
    }

    fn add(&mut self, stage: Stage, time: Duration) {
        *self.0[stage as usize].get_or_insert_default() += time;
    }
}

/// The stages of one request until now.
pub struct Record {
    now: Now,
    stage: Stage,
    since: Duration,
    spent: Spent,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?} after {:?})", self.stage, self.spent)
    }
}

impl Record {
    /// A record that begins in `stage`.
    pub fn begin(now: Now, stage: Stage) -> Box<Record> {
        Box::new(Record {
            since: now(),
            now,
            stage,
            spent: Spent::default(),
        })
    }

    /// Adds time that passed before the record began.
    pub fn add(&mut self, stage: Stage, time: Duration) {
        self.spent.add(stage, time);
    }

    /// Goes over to `stage`; the stage before it.
    pub fn enter(&mut self, stage: Stage) -> Stage {
        let now = (self.now)();
        self.spent.add(self.stage, now.saturating_sub(self.since));
        self.since = now;
        std::mem::replace(&mut self.stage, stage)
    }

    /// Ends the record.
    pub fn end(mut self) -> Spent {
        self.enter(Stage::Send);
        self.spent
    }
}

thread_local! {
    static CARRIED: RefCell<Option<Box<Record>>> = const { RefCell::new(None) };
}

/// A piece of work for a request. While it lasts, the thread carries the request's record, if it has one; what the thread
/// carried before waits, and is in its place again when this ends or is dropped.
#[must_use = "the piece of work ends at once"]
pub struct Work {
    /// `None` where the request has no record.
    before: Option<Option<Box<Record>>>,
    /// Not `Send`: what it put on a thread is on that thread.
    _of_this_thread: PhantomData<*const ()>,
}

impl Work {
    /// Begins a piece of work in `stage`.
    #[inline]
    pub fn begin(record: Option<Box<Record>>, stage: Stage) -> Work {
        Work {
            before: record.map(|mut record| {
                record.enter(stage);
                CARRIED.replace(Some(record))
            }),
            _of_this_thread: PhantomData,
        }
    }

    /// Ends it: the record that it began with.
    #[inline]
    pub fn end(mut self) -> Option<Box<Record>> {
        self.before.take().and_then(|before| CARRIED.replace(before))
    }
}

impl Drop for Work {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            CARRIED.set(before);
        }
    }
}

/// A stage of the record that this thread carries, if any. Ends when dropped: the stage before it goes on.
#[must_use = "the stage ends at once"]
pub struct Entered {
    before: Option<Stage>,
    /// Not `Send`: it must not outlive the piece of work.
    _of_this_thread: PhantomData<*const ()>,
}

/// Enters a stage of the request whose record this thread carries; nothing where it carries none.
#[inline]
pub fn enter(stage: Stage) -> Entered {
    let before = CARRIED.with_borrow_mut(|carried| carried.as_mut().map(|record| record.enter(stage)));
    Entered {
        before,
        _of_this_thread: PhantomData,
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            CARRIED.with_borrow_mut(|carried| {
                if let Some(record) = carried {
                    record.enter(before);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that a test moves.
    #[derive(Clone, Default)]
    struct Hand(Arc<AtomicU64>);

    impl Hand {
        fn pass(&self, ms: u64) {
            self.0.fetch_add(ms, Ordering::Relaxed);
        }

        fn record(&self, stage: Stage) -> Box<Record> {
            let hand = self.clone();
            Record::begin(
                Arc::new(move || Duration::from_millis(hand.0.load(Ordering::Relaxed))),
                stage,
            )
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn is_carrying() -> bool {
        CARRIED.with_borrow(Option::is_some)
    }

    #[test]
    fn stages_add_up_and_an_inner_stage_is_not_counted_twice() {
        let clock = Hand::default();
        let mut record = clock.record(Stage::Decode);
        record.add(Stage::Queue, ms(3));
        clock.pass(1);
        let work = Work::begin(Some(record), Stage::Local);
        clock.pass(2);
        for _ in 0..2 {
            let _append = enter(Stage::Append);
            clock.pass(10);
            {
                let _file = enter(Stage::File);
                clock.pass(100);
            }
            clock.pass(20);
        }
        clock.pass(4);
        let mut record = work.end().unwrap();
        record.enter(Stage::Send);
        clock.pass(7);
        let spent = record.end();
        let of = |stage| spent.of(stage);
        assert_eq!(of(Stage::Queue), Some(ms(3)));
        assert_eq!(of(Stage::Decode), Some(ms(1)));
        assert_eq!(of(Stage::Local), Some(ms(6)));
        assert_eq!(of(Stage::Append), Some(ms(60)));
        assert_eq!(of(Stage::File), Some(ms(200)));
        assert_eq!(of(Stage::Send), Some(ms(7)));
        assert_eq!(of(Stage::Wait), None);
        assert_eq!(spent.total(), ms(277));
    }

    #[test]
    fn a_thread_without_a_record_notes_nothing() {
        let work = Work::begin(None, Stage::Local);
        drop(enter(Stage::File));
        assert!(!is_carrying() && work.end().is_none());
    }

    #[test]
    fn the_outer_record_goes_on_where_the_inner_one_ends() {
        let clock = Hand::default();
        let outer = Work::begin(Some(clock.record(Stage::Local)), Stage::Local);
        clock.pass(1);
        let inner = Work::begin(Some(clock.record(Stage::Local)), Stage::Encode);
        {
            let _file = enter(Stage::File);
            clock.pass(2);
        }
        // One without a record beside them changes nothing.
        assert!(Work::begin(None, Stage::Decode).end().is_none());
        let inner = inner.end().unwrap();
        {
            let _append = enter(Stage::Append);
            clock.pass(4);
        }
        let outer = outer.end().unwrap();
        assert!(!is_carrying());
        let (inner, outer) = (inner.end(), outer.end());
        assert_eq!(inner.of(Stage::File), Some(ms(2)));
        assert_eq!(inner.of(Stage::Append), None);
        // The inner work belongs to the outer one as well.
        assert_eq!(outer.of(Stage::Local), Some(ms(3)));
        assert_eq!(outer.of(Stage::Append), Some(ms(4)));
        assert_eq!(outer.of(Stage::File), None);
    }

    #[test]
    fn a_panic_leaves_no_record_on_the_thread() {
        let clock = Hand::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _work = Work::begin(Some(clock.record(Stage::Local)), Stage::Local);
            let _file = enter(Stage::File);
            panic!("the work is given up");
        }));
        assert!(outcome.is_err());
        assert!(!is_carrying());
    }
}
