//! openraft's state machine over [`ApplySink`], and its snapshots.
//!
//! The state lives in memory and is rebuilt at a start from the newest snapshot and the log behind it. Protects that
//! every entry has exactly one result (rule O5), that a snapshot is installed whole or not at all, and that one of
//! another cluster or older than what was applied is refused (rule O7).

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, LogIdOptionExt, OptionalSend, RaftSnapshotBuilder};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use super::log_store::SnapshotBound;
use super::log_writer::{ROOM_POLL, Stopping, is_no_space};
use super::seams::{ApplySink, ImageView, SnapshotFiles, SnapshotName};
use super::snapshot_codec::{SnapshotContent, decode_snapshot, encode_snapshot};
use super::types::{Applied, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, term_of};

/// What a state machine and its snapshot builders share.
#[derive(Clone)]
pub(super) struct SnapshotHome {
    pub(super) files: Arc<dyn SnapshotFiles>,
    pub(super) cluster_id: Arc<str>,
    pub(super) bound: SnapshotBound,
    stopping: Stopping,
    current: Arc<Mutex<Option<SnapshotMeta>>>,
}

impl SnapshotHome {
    /// Finds the newest snapshot and reads it whole, so that a damaged one is found now and not by a peer later.
    ///
    /// # Errors
    /// What the disk says, or a sentence about a snapshot that is damaged or of another cluster.
    pub(super) fn open(
        files: Arc<dyn SnapshotFiles>,
        cluster_id: Arc<str>,
        bound: SnapshotBound,
        stopping: Stopping,
    ) -> io::Result<Self> {
        let home = SnapshotHome {
            files,
            cluster_id,
            bound,
            stopping,
            current: Arc::default(),
        };
        if let Some(content) = home.newest()? {
            home.remember(content.meta);
        }
        Ok(home)
    }

    fn newest(&self) -> io::Result<Option<SnapshotContent>> {
        let Some(stored) = self.files.newest()? else {
            return Ok(None);
        };
        self.decode(stored.content)
            .map(Some)
            .map_err(|sentence| corrupt(format!("{}: {sentence}", stored.location)))
    }

    fn decode(&self, bytes: Bytes) -> Result<SnapshotContent, String> {
        let content = decode_snapshot(bytes)?;
        if content.cluster_id == *self.cluster_id {
            Ok(content)
        } else {
            Err(format!(
                "the snapshot is of cluster {}, this is cluster {}",
                content.cluster_id, self.cluster_id
            ))
        }
    }

    fn current(&self) -> Option<SnapshotMeta> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn remember(&self, meta: SnapshotMeta) {
        self.bound
            .fetch_max(meta.last_log_id.next_index(), Ordering::AcqRel);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta);
    }

    fn save(&self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        let name = SnapshotName {
            end_offset: meta.last_log_id.next_index(),
            epoch: meta.last_log_id.as_ref().map_or(0, term_of),
        };
        self.files.install(name, bytes)?;
        self.remember(meta.clone());
        Ok(())
    }
}

fn corrupt(sentence: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

/// Asks for a snapshot when enough was applied since the last one.
#[derive(Clone)]
pub(super) struct SnapshotTrigger {
    /// Applied bytes after which a snapshot is due (`metadata.log.max.record.bytes.between.snapshots`).
    pub(super) after_bytes: u64,
    /// Told when one is due.
    pub(super) due: Arc<Notify>,
}

/// openraft's state machine.
pub(super) struct StateMachine {
    sink: Arc<dyn ApplySink>,
    home: SnapshotHome,
    trigger: SnapshotTrigger,
    applied: Option<LogId>,
    membership: StoredMembership,
    bytes_since_snapshot: u64,
}

impl StateMachine {
    pub(super) fn new(
        sink: Arc<dyn ApplySink>,
        home: SnapshotHome,
        trigger: SnapshotTrigger,
    ) -> StateMachine {
        StateMachine {
            sink,
            home,
            trigger,
            applied: None,
            membership: StoredMembership::default(),
            bytes_since_snapshot: 0,
        }
    }

    fn apply_one(&mut self, entry: Entry) -> io::Result<Applied> {
        let id = entry.log_id;
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(id), membership);
            }
            EntryPayload::Normal(proposal) => {
                self.sink.replay(id.index, &proposal.records).map_err(|error| {
                    corrupt(format!(
                        "the entry at offset {} cannot be applied: {error}",
                        id.index
                    ))
                })?;
                let bytes: usize = proposal.records.iter().map(Bytes::len).sum();
                self.count(bytes);
            }
        }
        self.applied = Some(id);
        Ok(Applied { offset: id.index })
    }

    fn count(&mut self, bytes: usize) {
        self.bytes_since_snapshot = self.bytes_since_snapshot.saturating_add(bytes as u64);
        if self.bytes_since_snapshot >= self.trigger.after_bytes {
            self.trigger.due.notify_one();
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = self.apply_one(entry)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.bytes_since_snapshot = 0;
        SnapshotBuilder {
            home: self.home.clone(),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            view: Some(self.sink.view()),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let content = self.home.decode(snapshot.clone()).map_err(corrupt)?;
        if content.meta != *meta {
            return Err(corrupt(
                "the snapshot is not the one that was announced".to_owned(),
            ));
        }
        if meta.last_log_id < self.applied {
            return Err(corrupt(format!(
                "the snapshot ends at {:?}, before what was applied, {:?}",
                meta.last_log_id, self.applied
            )));
        }
        // Durable first: after a power cut the old state or the new one is found, and nothing between.
        if self.home.current().as_ref() != Some(meta) {
            self.home.save(meta, &snapshot)?;
        }
        if let Some(last) = meta.last_log_id {
            self.sink.install(last.index, &content.records).map_err(|error| {
                corrupt(format!(
                    "the snapshot up to {} cannot be installed: {error}",
                    last.index
                ))
            })?;
        }
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.bytes_since_snapshot = 0;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        if self.home.current().is_none() {
            return Ok(None);
        }
        let Some(stored) = self.home.files.newest()? else {
            return Err(corrupt(
                "the snapshot has disappeared from the metadata log directory".to_owned(),
            ));
        };
        let content = self.home.decode(stored.content.clone());
        let content = content.map_err(|sentence| corrupt(format!("{}: {sentence}", stored.location)))?;
        Ok(Some(Snapshot {
            meta: content.meta,
            snapshot: stored.content,
        }))
    }
}

/// Writes one snapshot from a view of the image, beside the apply path.
pub(super) struct SnapshotBuilder {
    home: SnapshotHome,
    meta: SnapshotMeta,
    view: Option<ImageView>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let view = self
            .view
            .take()
            .ok_or_else(|| io::Error::other("a snapshot builder builds one snapshot"))?;
        let (home, meta) = (self.home.clone(), self.meta.clone());
        let cluster_id = home.cluster_id.clone();
        let snapshot = blocking(move || encode(&cluster_id, meta, view)).await?;
        loop {
            let (home, saved) = (home.clone(), snapshot.clone());
            match blocking(move || home.save(&saved.meta, &saved.snapshot)).await {
                // Until there is room the log keeps what the snapshot would hold.
                Err(error) if is_no_space(&error) && !self.home.stopping.is_set() => {
                    tracing::warn!("a snapshot of the metadata waits until there is room: {error}");
                    tokio::time::sleep(ROOM_POLL).await;
                }
                saved => return saved.map(|()| snapshot),
            }
        }
    }
}

/// Runs `action` where it may block. On a runtime of one thread the runtime alone decides the order of all that happens.
async fn blocking<T: Send + 'static>(
    action: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return action();
    }
    tokio::task::spawn_blocking(action)
        .await
        .map_err(io::Error::other)?
}

fn encode(cluster_id: &str, meta: SnapshotMeta, view: ImageView) -> io::Result<Snapshot> {
    let content = SnapshotContent {
        cluster_id: cluster_id.to_owned(),
        meta,
        records: view().map_err(corrupt)?,
    };
    let bytes = encode_snapshot(&content).map_err(corrupt)?;
    Ok(Snapshot {
        meta: content.meta,
        snapshot: bytes.into(),
    })
}
