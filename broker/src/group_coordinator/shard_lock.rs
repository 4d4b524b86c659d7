//! The lock of a shard, which can be waited for without a thread: until it is free, not until it is taken.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A state that one thread has at a time.
pub(super) struct ShardLock<T> {
    state: Mutex<T>,
    /// How many wait until it is free.
    waiting: AtomicUsize,
    freed: Notify,
}

/// The state, until this is dropped.
pub(super) struct Held<'a, T> {
    /// Always there but while this is dropped.
    state: Option<MutexGuard<'a, T>>,
    lock: &'a ShardLock<T>,
}

impl<T> ShardLock<T> {
    pub(super) fn new(state: T) -> ShardLock<T> {
        ShardLock {
            state: Mutex::new(state),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// Takes the state; the thread waits for whoever has it.
    pub(super) fn lock(&self) -> Held<'_, T> {
        Held {
            state: Some(self.state.lock()),
            lock: self,
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.state.is_locked()
    }

    /// Resolves once nobody has the state. Somebody may have it again by then.
    pub(super) async fn freed(&self) {
        let _counted = Counted::among(&self.waiting);
        let mut freed = pin!(self.freed.notified());
        // From here on no release is missed: either it sees the count, or the lock is seen free.
        freed.as_mut().enable();
        fence(Ordering::SeqCst);
        if self.is_locked() {
            freed.await;
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.state.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.state.as_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        drop(self.state.take());
        fence(Ordering::SeqCst);
        if self.lock.waiting.load(Ordering::Relaxed) > 0 {
            self.lock.freed.notify_waiters();
        }
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn among(count: &AtomicUsize) -> Counted<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn who_waits_is_told_when_the_state_is_let_go_and_not_before() {
        let lock = ShardLock::new(1);
        lock.freed().await;
        let mut held = lock.lock();
        *held += 1;
        let mut freed = pin!(lock.freed());
        assert!(futures_util::poll!(freed.as_mut()).is_pending());
        assert!(lock.is_locked());
        drop(held);
        tokio::time::timeout(PATIENCE, freed).await.unwrap();
        assert_eq!(*lock.lock(), 2);
        assert_eq!(lock.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_release_is_missed_by_those_who_begin_to_wait_beside_it() {
        let lock = Arc::new(ShardLock::new(0_u32));
        let taker = {
            let lock = lock.clone();
            std::thread::spawn(move || {
                for _ in 0..200_000 {
                    *lock.lock() += 1;
                }
            })
        };
        let mut waits = 0;
        while !taker.is_finished() {
            tokio::time::timeout(PATIENCE, lock.freed()).await.unwrap();
            waits += 1;
        }
        taker.join().unwrap();
        assert!(waits > 0);
        assert_eq!(*lock.lock(), 200_000);
    }
}
