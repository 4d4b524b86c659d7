//! How many connections there may be, and how many bytes of requests.
//!
//! Protects the node as a whole: a connection's own bounds are in [`settings`](super::settings). What is admitted holds
//! a guard and gives its place back when the guard is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `max.connections`, `max.connections.per.ip` and its overrides, over all listeners.
pub struct ConnectionLimits {
    places: Arc<Semaphore>,
    per_ip: usize,
    overrides: HashMap<IpAddr, usize>,
    /// Bounded by the number of open connections.
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionLimits {
    /// At most `max_connections`, and `per_ip` of them from one address unless it has a limit of its own.
    pub fn new(
        max_connections: usize,
        per_ip: usize,
        overrides: HashMap<IpAddr, usize>,
    ) -> Arc<ConnectionLimits> {
        let places = Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS));
        Arc::new(ConnectionLimits {
            places: Arc::new(places),
            per_ip,
            overrides,
            open: Mutex::default(),
        })
    }

    /// Waits for a place. While none is free, new connections stay in the kernel's backlog, as in Kafka.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // An error means that the semaphore was closed, which nobody does.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Counts a connection from `ip`; `None` where that address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, place: OwnedSemaphorePermit) -> Option<Admission> {
        // An IPv4 client of a socket for both versions counts as what it is.
        let ip = ip.to_canonical();
        let limit = self.overrides.get(&ip).copied().unwrap_or(self.per_ip);
        let mut open = self.open.lock();
        let count = open.entry(ip).or_default();
        if *count >= limit {
            if *count == 0 {
                open.remove(&ip);
            }
            return None;
        }
        *count += 1;
        drop(open);
        Some(Admission {
            limits: Arc::clone(self),
            ip,
            _place: place,
        })
    }
}

/// A connection's place.
pub(super) struct Admission {
    limits: Arc<ConnectionLimits>,
    ip: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.limits.open.lock();
        if let Some(count) = open.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

/// `queued.max.request.bytes`: the bytes of requests that are being read or whose answer waits, over all connections.
#[derive(Clone)]
pub struct RequestBudget(Option<(Arc<Semaphore>, u32)>);

impl RequestBudget {
    /// No bound beside those of each connection: Kafka's -1.
    pub fn unbounded() -> RequestBudget {
        RequestBudget(None)
    }

    /// At most `bytes`. A request that is larger gets all of it.
    pub fn bytes(bytes: usize) -> RequestBudget {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX);
        RequestBudget(Some((Arc::new(Semaphore::new(total as usize)), total)))
    }

    /// A share at once, if that many bytes are free.
    pub(super) fn try_share(&self, bytes: usize) -> Option<BudgetShare> {
        let Some((semaphore, total)) = &self.0 else {
            return Some(BudgetShare { _permit: None });
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(*total);
        let permit = Arc::clone(semaphore).try_acquire_many_owned(bytes).ok()?;
        Some(BudgetShare {
            _permit: Some(permit),
        })
    }

    /// A share as soon as that many bytes are free; first come, first served.
    pub(super) async fn share(self, bytes: usize) -> BudgetShare {
        let Some((semaphore, total)) = self.0 else {
            return BudgetShare { _permit: None };
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(total);
        // An error means that the semaphore was closed, which nobody does.
        BudgetShare {
            _permit: semaphore.acquire_many_owned(bytes).await.ok(),
        }
    }
}

/// A request's bytes, given back when it is dropped.
pub(super) struct BudgetShare {
    _permit: Option<OwnedSemaphorePermit>,
}
