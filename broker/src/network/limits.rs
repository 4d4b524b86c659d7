//! How many connections there may be, how fast they may come, and how many bytes of requests there may be.
//!
//! Protects the node as a whole: a connection's own bounds are in [`settings`](super::settings). What is admitted holds
//! a guard and gives its place back when the guard is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;

/// The limits on connections as Kafka's keys give them; all of them can change while the node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimitValues {
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub overrides: HashMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, in connections per second.
    pub creation_rate: u32,
}

impl ConnectionLimitValues {
    /// At most `max_connections`, `per_ip` of them from one address, as fast as they come.
    pub fn new(max_connections: usize, per_ip: usize) -> ConnectionLimitValues {
        ConnectionLimitValues {
            max_connections,
            per_ip,
            overrides: HashMap::new(),
            creation_rate: UNLIMITED_RATE,
        }
    }
}

/// Kafka's default of `max.connection.creation.rate`, which bounds nothing.
const UNLIMITED_RATE: u32 = i32::MAX as u32;
/// Connections of so much time may come at once after a pause.
const RATE_BURST: Duration = Duration::from_secs(1);

/// `max.connections`, `max.connections.per.ip` with its overrides, and `max.connection.creation.rate`, over all listeners.
pub struct ConnectionLimits {
    state: Mutex<State>,
    /// A place is free again, or the limits are others.
    changed: Notify,
}

struct State {
    values: ConnectionLimitValues,
    open: usize,
    /// Bounded by the number of open connections.
    open_by_ip: HashMap<IpAddr, usize>,
    /// When, on the monotonic clock, the connections so far would have come at exactly the rate.
    rate_used_until: Duration,
}

impl ConnectionLimits {
    /// Limits that nothing has been taken from.
    pub fn new(values: ConnectionLimitValues) -> Arc<ConnectionLimits> {
        Arc::new(ConnectionLimits {
            state: Mutex::new(State {
                values,
                open: 0,
                open_by_ip: HashMap::new(),
                rate_used_until: Duration::ZERO,
            }),
            changed: Notify::new(),
        })
    }

    /// Takes other limits over. Connections that are open stay, also where they are more than there may be now: none is
    /// let in until enough of them have ended.
    pub fn set(&self, values: ConnectionLimitValues) {
        self.state.lock().values = values;
        self.changed.notify_waiters();
    }

    /// `max.connections` at this moment.
    pub fn max_connections(&self) -> usize {
        self.state.lock().values.max_connections
    }

    /// Waits for a place. While none is free, new connections stay in the kernel's backlog, as in Kafka. `waits` counts
    /// the times that none was.
    pub(super) async fn place(self: &Arc<Self>, waits: &IntCounter) -> Place {
        loop {
            let changed = self.changed.notified();
            if let Some(place) = self.try_place() {
                return place;
            }
            waits.inc();
            changed.await;
        }
    }

    fn try_place(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state.lock();
        if state.open >= state.values.max_connections {
            return None;
        }
        state.open += 1;
        Some(Place {
            limits: Arc::clone(self),
        })
    }

    /// Waits until another connection may come at the rate. `waits` counts the times that none could.
    pub(super) async fn turn(&self, clock: Clock, waits: &IntCounter) {
        loop {
            let changed = self.changed.notified();
            let wait = self.state.lock().rate_wait(clock.monotonic());
            if !matches!(wait, RateWait::None) {
                waits.inc();
            }
            match wait {
                RateWait::None => return,
                RateWait::For(time) => {
                    tokio::select! {
                        () = tokio::time::sleep(time) => {}
                        () = changed => {}
                    }
                }
                RateWait::UntilChanged => changed.await,
            }
        }
    }

    /// Counts a connection from `ip` that came at `now`; `None` where that address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, place: Place, now: Duration) -> Option<Admission> {
        // An IPv4 client of a socket for both versions counts as what it is.
        let ip = ip.to_canonical();
        let mut state = self.state.lock();
        state.use_rate(now);
        let limit = state.values.overrides.get(&ip).copied();
        let limit = limit.unwrap_or(state.values.per_ip);
        let count = state.open_by_ip.get(&ip).copied().unwrap_or(0);
        if count >= limit {
            drop(state);
            return None;
        }
        state.open_by_ip.insert(ip, count + 1);
        Some(Admission { ip, place })
    }
}

enum RateWait {
    None,
    For(Duration),
    UntilChanged,
}

impl State {
    fn rate_wait(&self, now: Duration) -> RateWait {
        match self.values.creation_rate {
            UNLIMITED_RATE.. => RateWait::None,
            0 => RateWait::UntilChanged,
            rate => {
                let ahead = RATE_BURST.saturating_sub(Duration::from_secs(1) / rate);
                match self.rate_used_until.checked_sub(now + ahead) {
                    None | Some(Duration::ZERO) => RateWait::None,
                    Some(time) => RateWait::For(time),
                }
            }
        }
    }

    fn use_rate(&mut self, now: Duration) {
        if let Some(interval) = Duration::from_secs(1).checked_div(self.values.creation_rate) {
            self.rate_used_until = self.rate_used_until.max(now) + interval;
        }
    }
}

/// A place among all connections.
pub(super) struct Place {
    limits: Arc<ConnectionLimits>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.limits.state.lock();
        state.open = state.open.saturating_sub(1);
        drop(state);
        self.limits.changed.notify_waiters();
    }
}

/// A connection's place, counted for its address.
pub(super) struct Admission {
    ip: IpAddr,
    place: Place,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.place.limits.state.lock();
        if let Some(count) = state.open_by_ip.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.open_by_ip.remove(&self.ip);
            }
        }
    }
}

/// `queued.max.request.bytes`: the bytes of requests that are being read or whose answer waits, over all connections; and
/// as many of answers that peers have not taken.
#[derive(Clone)]
pub struct RequestBudget(Option<Arc<Budget>>);

struct Budget {
    free: Arc<Semaphore>,
    total_bytes: u32,
    waiting: AtomicUsize,
    began_to_wait: Notify,
    untaken_bytes: AtomicUsize,
}

/// What the metrics show of the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Bytes that may be taken; 0 where nothing bounds them.
    pub total_bytes: usize,
    /// Bytes that are taken.
    pub used_bytes: usize,
    /// Requests that wait for a share.
    pub waiting: usize,
}

impl RequestBudget {
    /// No bound beside those of each connection: Kafka's -1.
    pub fn unbounded() -> RequestBudget {
        RequestBudget(None)
    }

    /// At most `bytes`. A request that is larger gets all of it.
    pub fn bytes(bytes: usize) -> RequestBudget {
        let total_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        RequestBudget(Some(Arc::new(Budget {
            free: Arc::new(Semaphore::new(total_bytes as usize)),
            total_bytes,
            waiting: AtomicUsize::new(0),
            began_to_wait: Notify::new(),
            untaken_bytes: AtomicUsize::new(0),
        })))
    }

    /// How much is taken, and who waits.
    pub fn status(&self) -> BudgetStatus {
        let Some(budget) = &self.0 else {
            return BudgetStatus::default();
        };
        let total_bytes = budget.total_bytes as usize;
        BudgetStatus {
            total_bytes,
            used_bytes: total_bytes.saturating_sub(budget.free.available_permits()),
            waiting: budget.waiting.load(Ordering::Relaxed),
        }
    }

    /// Whether somebody waits for bytes that others hold.
    pub(super) fn is_contended(&self) -> bool {
        let waiting = |budget: &Arc<Budget>| budget.waiting.load(Ordering::Relaxed) > 0;
        self.0.as_ref().is_some_and(waiting)
    }

    /// Waits until somebody waits for bytes that others hold: for ever where nothing bounds them.
    pub(super) async fn contention(self) {
        let Some(budget) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            let began = budget.began_to_wait.notified();
            if self.is_contended() {
                return;
            }
            began.await;
        }
    }

    /// A share at once, if that many bytes are free.
    pub(super) fn try_share(&self, bytes: usize) -> Option<BudgetShare> {
        let Some(budget) = &self.0 else {
            return Some(BudgetShare { _permit: None });
        };
        let free = Arc::clone(&budget.free);
        let permit = free.try_acquire_many_owned(budget.share_of(bytes)).ok()?;
        Some(BudgetShare {
            _permit: Some(permit),
        })
    }

    /// Whether peers have left as many bytes of answers as there may be: who has left some gets no more until it takes them.
    pub(super) fn is_full_of_answers(&self) -> bool {
        let is_full = |budget: &Arc<Budget>| {
            budget.untaken_bytes.load(Ordering::Relaxed) >= budget.total_bytes as usize
        };
        self.0.as_ref().is_some_and(is_full)
    }

    /// What one connection's answers take of it: nothing yet.
    pub(super) fn untaken_answers(&self) -> UntakenAnswers {
        UntakenAnswers {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// A share as soon as that many bytes are free; first come, first served.
    pub(super) async fn share(self, bytes: usize) -> BudgetShare {
        let Some(budget) = self.0 else {
            return BudgetShare { _permit: None };
        };
        let _waiting = Waiting::new(&budget);
        let free = Arc::clone(&budget.free);
        // An error means that the semaphore was closed, which nobody does.
        BudgetShare {
            _permit: free.acquire_many_owned(budget.share_of(bytes)).await.ok(),
        }
    }
}

impl Budget {
    fn share_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total_bytes)
    }
}

/// Counts who waits, also where the wait is given up.
struct Waiting<'a>(&'a Budget);

impl Waiting<'_> {
    fn new(budget: &Budget) -> Waiting<'_> {
        budget.waiting.fetch_add(1, Ordering::Relaxed);
        budget.began_to_wait.notify_waiters();
        Waiting(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's bytes, given back when it is dropped.
pub(super) struct BudgetShare {
    _permit: Option<OwnedSemaphorePermit>,
}

impl BudgetShare {
    /// Of a request that is bounded in another way.
    pub(super) fn uncounted() -> BudgetShare {
        BudgetShare { _permit: None }
    }
}

/// The bytes of one connection's answers that its peer has not taken, given back when it is dropped.
pub(super) struct UntakenAnswers {
    budget: RequestBudget,
    bytes: usize,
}

impl UntakenAnswers {
    /// There are so many now. Costs nothing where nothing has changed, as with a peer that takes every answer at once.
    pub(super) fn set(&mut self, bytes: usize) {
        let Some(budget) = self.budget.0.as_ref().filter(|_| bytes != self.bytes) else {
            return;
        };
        if bytes > self.bytes {
            budget
                .untaken_bytes
                .fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            budget
                .untaken_bytes
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for UntakenAnswers {
    fn drop(&mut self) {
        self.set(0);
    }
}
