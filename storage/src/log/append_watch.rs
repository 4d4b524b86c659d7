//! Appends that take long: how long, and what of it is known here.
//!
//! Every append of a watched log costs two readings of the watch's clock. More is read only where something is slow anyway:
//! around a lock that another thread holds, and around files that are made. Why the rest of the time passed is for the
//! watch to find out, on the thread that lost it.

use std::fmt;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use protocol_compat::TopicPartition;

use super::PartitionLog;
use crate::stages::{self, Stage};

/// An append that takes so long is told of.
pub const STALL: Duration = Duration::from_millis(1);

/// Who is told of appends that took long. Called on the thread that appends; both clocks are the same.
pub trait AppendWatch: fmt::Debug + Send + Sync {
    /// An append begins: the time since any moment, which never goes back.
    fn begin(&self) -> Duration;
    /// The time.
    fn now(&self) -> Duration;
    /// An append took [`STALL`] or longer.
    fn stalled(&self, stall: &AppendStall<'_>);
}

/// An append that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendStall<'a> {
    /// Whose log it was.
    pub topic_partition: &'a TopicPartition,
    /// What was to be appended.
    pub bytes: usize,
    /// From its beginning to its end.
    pub took: Duration,
    /// Of this, how long other threads had the log.
    pub waited_for_log: Duration,
    /// Of this, how long a new segment or the partition's directory took.
    pub made_files: Duration,
}

/// What an append meets on its way.
pub(super) struct Course<'a> {
    watch: Option<&'a dyn AppendWatch>,
    waited_for_log: Duration,
    pub made_files: Duration,
}

impl Course<'_> {
    /// Takes a lock of the log, and notes how long that took where another thread had it.
    pub fn lock<'l, T>(&mut self, mutex: &'l Mutex<T>) -> MutexGuard<'l, T> {
        let Some(watch) = self.watch else {
            return mutex.lock();
        };
        if let Some(free) = mutex.try_lock() {
            return free;
        }
        let began = watch.now();
        let taken = mutex.lock();
        self.waited_for_log += watch.now().saturating_sub(began);
        taken
    }
}

impl PartitionLog {
    /// Runs one append of so many bytes, and tells the watch of it if it took long.
    pub(super) fn watched<T>(&self, bytes: usize, append: impl FnOnce(&mut Course<'_>) -> T) -> T {
        let _append = stages::enter(Stage::Append);
        let watch = self.files.append_watch();
        let mut course = Course {
            watch,
            waited_for_log: Duration::ZERO,
            made_files: Duration::ZERO,
        };
        let Some(watch) = watch else {
            return append(&mut course);
        };
        let began = watch.begin();
        let appended = append(&mut course);
        let took = watch.now().saturating_sub(began);
        if took >= STALL {
            watch.stalled(&AppendStall {
                topic_partition: &self.topic_partition,
                bytes,
                took,
                waited_for_log: course.waited_for_log,
                made_files: course.made_files,
            });
        }
        appended
    }

    /// The time on the watch's clock; zero where nobody watches.
    pub(super) fn watch_now(&self) -> Duration {
        self.files.append_watch().map_or(Duration::ZERO, AppendWatch::now)
    }

    /// Microseconds on the watch's clock since `began`.
    pub(super) fn watched_us_since(&self, began: Duration) -> u64 {
        let took = self.watch_now().saturating_sub(began);
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }
}
