//! Incremental fetch sessions (KIP-227): a client names its partitions once and is answered what changed.
//!
//! The cache holds `max.incremental.fetch.session.cache.slots` sessions. A new one replaces one that was idle for two
//! minutes, or one with fewer partitions that is two minutes old; otherwise it is not kept and the client goes on with full
//! fetches (`FetchSessionCacheShard`). Only clients have sessions here; a follower's would come first, as in Kafka.

mod session;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use protocol_compat::ErrorCode;

use self::session::SessionPartitions;
pub use self::session::{AnswerSummary, FetchKey, FetchTarget};
use crate::replica_manager::{ChangedPartitions, Partition};

/// The wire's "no session".
const NO_SESSION: i32 = 0;
/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that closes a session and wants none.
const FINAL_EPOCH: i32 = -1;
/// How long a session is safe from eviction (`ServerConfigs.MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_MS: i64 = 120_000;

/// Session fields of a request.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// The session's id; 0 for none.
    pub id: i32,
    /// Which request of the session this is.
    pub epoch: i32,
    /// Whether the request names topic ids.
    pub uses_topic_ids: bool,
    /// Whether to look at all partitions, not only at those that may have news: who asks is answered otherwise than others.
    pub looks_at_all: bool,
}

/// What a fetch has to read, and how its answer is to be put together.
pub struct FetchContext {
    /// The partitions to read, in order. Those of a session that cannot have news are not among them.
    pub targets: Vec<(FetchKey, FetchTarget)>,
    kind: ContextKind,
}

enum ContextKind {
    /// No session before or after.
    Sessionless,
    /// A full fetch that may open a session.
    Full { uses_topic_ids: bool },
    /// A fetch of a session.
    Incremental(SessionFetch),
}

/// One fetch of a session, which must still be at this epoch when the answer is made. An evicted session lives as long as
/// its last fetch; the next request learns of it.
struct SessionFetch {
    id: i32,
    session: Arc<Mutex<Session>>,
    expected_epoch: i32,
}

/// The session part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionAnswer {
    /// The error of the whole answer, [`ErrorCode::None`] for none.
    pub error: ErrorCode,
    /// The session's id; 0 for none.
    pub session_id: i32,
    /// Which of the partitions belong into the answer, in the order of the summaries.
    pub included: Vec<bool>,
}

struct Session {
    partitions: SessionPartitions,
    uses_topic_ids: bool,
    epoch: i32,
}

/// What the cache knows of a session without locking it.
struct CachedSession {
    session: Arc<Mutex<Session>>,
    created_ms: i64,
    last_used_ms: i64,
    cached_len: usize,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<i32, CachedSession>,
    by_last_use: BTreeSet<(i64, i32)>,
    by_len: BTreeSet<(usize, i32)>,
    partitions: usize,
    evictions: u64,
}

/// The sessions of this node.
pub struct FetchSessionCache {
    slots: usize,
    sessions: Mutex<Sessions>,
}

/// What the metrics show of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSessionStatus {
    /// Sessions that are open.
    pub sessions: usize,
    /// Partitions in them, together.
    pub partitions: usize,
    /// Sessions that were evicted since the start.
    pub evictions: u64,
}

impl FetchSessionCache {
    /// A cache for at most `slots` sessions.
    pub fn new(slots: usize) -> FetchSessionCache {
        FetchSessionCache {
            slots,
            sessions: Mutex::default(),
        }
    }

    /// How many sessions there may be.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// What is in the cache.
    pub fn status(&self) -> FetchSessionStatus {
        let sessions = self.sessions.lock();
        FetchSessionStatus {
            sessions: sessions.by_id.len(),
            partitions: sessions.partitions,
            evictions: sessions.evictions,
        }
    }

    /// Finds out what a request has to read.
    ///
    /// # Errors
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH`, or `FETCH_SESSION_TOPIC_ID_ERROR` where a session
    /// that began with names goes on with ids or the other way round.
    pub fn begin(
        &self,
        request: SessionRequest,
        wanted: Vec<(FetchKey, FetchTarget)>,
        forgotten: &[FetchKey],
        now_ms: i64,
    ) -> Result<FetchContext, ErrorCode> {
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            let closed = self.sessions.lock().remove(request.id);
            // Its watches are taken off their partitions while nobody waits for the cache.
            drop(closed);
            let kind = if request.epoch == FINAL_EPOCH {
                ContextKind::Sessionless
            } else {
                ContextKind::Full {
                    uses_topic_ids: request.uses_topic_ids,
                }
            };
            return Ok(FetchContext {
                targets: wanted,
                kind,
            });
        }
        let cached = self.sessions.lock().session(request.id);
        let shared = cached.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let mut session = shared.lock();
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.partitions.update(&wanted, forgotten);
        let len = session.partitions.len();
        if len == 0 {
            self.sessions.lock().remove(request.id);
            return Ok(FetchContext {
                targets: wanted,
                kind: ContextKind::Sessionless,
            });
        }
        session.epoch = next_epoch(session.epoch);
        session.partitions.take_changes();
        if request.looks_at_all {
            session.partitions.open_all();
        }
        let (targets, expected_epoch) = (session.partitions.targets(), session.epoch);
        drop(session);
        self.sessions.lock().touch(request.id, len, now_ms);
        Ok(FetchContext {
            targets,
            kind: ContextKind::Incremental(SessionFetch {
                id: request.id,
                session: shared,
                expected_epoch,
            }),
        })
    }

    /// Opens the session of a full fetch, or leaves out of an incremental answer what is no news. `summaries` stand in
    /// the order of the answer.
    pub fn finish(
        &self,
        context: FetchContext,
        summaries: &[(FetchKey, AnswerSummary)],
        now_ms: i64,
    ) -> SessionAnswer {
        let everything = |session_id| SessionAnswer {
            error: ErrorCode::None,
            session_id,
            included: vec![true; summaries.len()],
        };
        match context.kind {
            ContextKind::Sessionless => everything(NO_SESSION),
            ContextKind::Full { uses_topic_ids } => {
                let targets = context.targets.into_iter().collect();
                let mut sessions = self.sessions.lock();
                everything(sessions.create(self.slots, uses_topic_ids, targets, summaries, now_ms))
            }
            ContextKind::Incremental(fetch) => fetch.finish(summaries),
        }
    }
}

impl FetchContext {
    /// Whether partitions were left out that have been read to their ends.
    pub fn has_settled(&self) -> bool {
        let fetch = self.incremental();
        fetch.is_some_and(|fetch| fetch.session.lock().partitions.has_settled())
    }

    /// What tells that partitions of the session changed; `None` without a session.
    pub fn changed(&self) -> Option<Arc<ChangedPartitions>> {
        let fetch = self.incremental()?;
        Some(fetch.session.lock().partitions.changed().clone())
    }

    /// Has the session's watches look at the targets, which were found as `found` in their order. To be called before the
    /// partitions are read, so that no change is missed.
    pub fn watch<'a>(&self, found: impl Iterator<Item = Option<&'a Arc<Partition>>>) {
        if let Some(fetch) = self.incremental()
            && let Some(mut session) = fetch.current()
        {
            session.partitions.watch(found);
        }
    }

    /// Takes over what the watches told; where partitions became targets that were none, the targets are new.
    pub fn renew(&mut self) -> Renewed {
        let Some(fetch) = self.incremental() else {
            return Renewed::Same;
        };
        let Some(mut session) = fetch.current() else {
            return Renewed::Over;
        };
        if !session.partitions.take_changes() {
            return Renewed::Same;
        }
        let targets = session.partitions.targets();
        drop(session);
        self.targets = targets;
        Renewed::Others
    }

    fn incremental(&self) -> Option<&SessionFetch> {
        match &self.kind {
            ContextKind::Incremental(fetch) => Some(fetch),
            ContextKind::Sessionless | ContextKind::Full { .. } => None,
        }
    }
}

impl std::fmt::Debug for FetchContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FetchContext({:?})", self.targets)
    }
}

/// What became of the targets of a waiting fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// They are the same.
    Same,
    /// There are others.
    Others,
    /// A later request of the session has begun: this one is answered with an error.
    Over,
}

impl SessionFetch {
    /// The session, if no later request has begun.
    fn current(&self) -> Option<MutexGuard<'_, Session>> {
        let session = self.session.lock();
        (session.epoch == self.expected_epoch).then_some(session)
    }

    fn finish(&self, summaries: &[(FetchKey, AnswerSummary)]) -> SessionAnswer {
        let (error, included) = match self.current() {
            Some(mut session) => {
                let included = summaries
                    .iter()
                    .map(|(key, answer)| session.partitions.must_answer(key, answer));
                (ErrorCode::None, included.collect())
            }
            None => (ErrorCode::InvalidFetchSessionEpoch, vec![false; summaries.len()]),
        };
        SessionAnswer {
            error,
            session_id: self.id,
            included,
        }
    }
}

/// The epoch after this one; 0 is kept for opening.
fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..0 => FINAL_EPOCH,
        i32::MAX => 1,
        _ => epoch + 1,
    }
}

impl Sessions {
    fn session(&self, id: i32) -> Option<Arc<Mutex<Session>>> {
        self.by_id.get(&id).map(|cached| cached.session.clone())
    }

    fn remove(&mut self, id: i32) -> Option<CachedSession> {
        let session = self.by_id.remove(&id)?;
        self.by_last_use.remove(&(session.last_used_ms, id));
        self.by_len.remove(&(session.cached_len, id));
        self.partitions = self.partitions.saturating_sub(session.cached_len);
        Some(session)
    }

    /// Moves a session of `len` partitions to where its age and size put it.
    fn touch(&mut self, id: i32, len: usize, now_ms: i64) {
        let Some(session) = self.by_id.get_mut(&id) else {
            return;
        };
        self.by_last_use.remove(&(session.last_used_ms, id));
        self.by_len.remove(&(session.cached_len, id));
        self.partitions = self.partitions.saturating_sub(session.cached_len) + len;
        session.last_used_ms = now_ms;
        session.cached_len = len;
        self.by_last_use.insert((now_ms, id));
        if now_ms.saturating_sub(session.created_ms) > EVICTION_MS {
            self.by_len.insert((len, id));
        }
    }

    fn create(
        &mut self,
        slots: usize,
        uses_topic_ids: bool,
        mut targets: HashMap<FetchKey, FetchTarget>,
        summaries: &[(FetchKey, AnswerSummary)],
        now_ms: i64,
    ) -> i32 {
        let has_room = self.by_id.len() < slots || self.evict_for(summaries.len(), now_ms);
        let Some(id) = self.free_id().filter(|_| has_room) else {
            return NO_SESSION;
        };
        let mut partitions = SessionPartitions::default();
        for (key, answer) in summaries {
            if let Some(target) = targets.remove(key) {
                partitions.add_answered(key.clone(), target, answer);
            }
        }
        let len = partitions.len();
        let session = Session {
            partitions,
            uses_topic_ids,
            epoch: next_epoch(INITIAL_EPOCH),
        };
        let cached = CachedSession {
            session: Arc::new(Mutex::new(session)),
            created_ms: now_ms,
            last_used_ms: now_ms,
            cached_len: 0,
        };
        self.by_id.insert(id, cached);
        self.touch(id, len, now_ms);
        id
    }

    /// Evicts a session that is worth less than a new one with `len` partitions, if there is one.
    fn evict_for(&mut self, len: usize, now_ms: i64) -> bool {
        let stale = self
            .by_last_use
            .first()
            .filter(|(last_used_ms, _)| now_ms.saturating_sub(*last_used_ms) > EVICTION_MS)
            .map(|(_, id)| *id);
        // A new session's id counts as 0 in Kafka's comparison, so that equal sizes do not evict.
        let smaller = || {
            self.by_len
                .first()
                .filter(|(smallest, _)| *smallest < len)
                .map(|(_, id)| *id)
        };
        match stale.or_else(smaller) {
            Some(id) => {
                self.remove(id);
                self.evictions += 1;
                true
            }
            None => false,
        }
    }

    /// A positive id that no session has. Ids are random, so that a client cannot name another's by counting.
    fn free_id(&self) -> Option<i32> {
        loop {
            let random = getrandom::u32().ok()?;
            let id = (random & 0x7fff_ffff).cast_signed();
            if id != NO_SESSION && !self.by_id.contains_key(&id) {
                return Some(id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
