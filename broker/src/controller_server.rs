//! The active controller: one ordered writer of decisions.
//!
//! Decisions are made strictly one at a time: the next closure sees a state in which the records of the one before it
//! are committed and replayed, so that no decision rests on records that may still be lost, and the order of decisions
//! is the order of the log. A decision's records are one entry, committed together or not at all. The writer is a task
//! of its own: a caller that goes away leaves its decision under way and nothing half done (rule P5).
//!
//! When the Raft core dies, whoever started the controller is told and stops the process (rules O5 and P1).

use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::{Controller, ControllerConfig, Decision, IdSource};
use metadata::quorum::{Quorum, QuorumConfig, QuorumError, QuorumStatus, QuorumStorage};
use protocol_compat::ErrorCode;
use protocol_compat::records::metadata::MetadataRecord;
use protocol_compat::types::encode_base64_id;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::clock::Clock;
use crate::controller_state::ControllerState;
use crate::metadata_publisher::MetadataPublisher;

/// Decisions that may wait for their turn; a caller beyond that waits before it is queued.
const QUEUED_DECISIONS: usize = 1_024;

/// Why a decision was not made, or did not become true.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControllerError {
    /// Another node is the active controller.
    #[error("node {leader:?} is the active controller, not this one")]
    NotController {
        /// The active controller, if one is known.
        leader: Option<i32>,
    },
    /// The active controller changed; the decision may or may not become true.
    #[error("the active controller changed while the records were under way")]
    Unknown,
    /// The records of the decision are too many for one batch.
    #[error("the request makes more metadata than one batch may hold")]
    TooLarge,
    /// A record has no form in Kafka's format.
    #[error("the decision cannot be written: {0}")]
    Encoding(String),
    /// The controller is shutting down or has failed.
    #[error("the controller has stopped")]
    Stopped,
}

impl ControllerError {
    /// The code that a client gets.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            ControllerError::NotController { .. } | ControllerError::Unknown => ErrorCode::NotController,
            ControllerError::TooLarge => ErrorCode::PolicyViolation,
            ControllerError::Encoding(_) => ErrorCode::UnknownServerError,
            ControllerError::Stopped => ErrorCode::BrokerNotAvailable,
        }
    }
}

impl From<QuorumError> for ControllerError {
    fn from(error: QuorumError) -> ControllerError {
        match error {
            QuorumError::NotLeader { leader } => ControllerError::NotController { leader },
            QuorumError::Unknown => ControllerError::Unknown,
            QuorumError::TooLarge(_) => ControllerError::TooLarge,
            QuorumError::Start(_) | QuorumError::Stopped(_) => ControllerError::Stopped,
        }
    }
}

type Outcome = Result<i64, ControllerError>;
type Answer = Box<dyn FnOnce(Outcome) + Send>;
type Job = Box<dyn FnOnce(&Controller, i64, &mut dyn IdSource) -> (Vec<MetadataRecord>, Answer) + Send>;

/// Asks the active controller for decisions. Cheap to clone.
#[derive(Clone)]
pub struct ControllerHandle {
    jobs: mpsc::Sender<Job>,
}

impl ControllerHandle {
    /// Decides against the latest committed state, commits the records, and gives the response when they are replayed
    /// and the image that holds them is published.
    ///
    /// Dropping the future does not undo the decision.
    ///
    /// # Errors
    /// [`ControllerError`].
    pub async fn write<R, F>(&self, decide: F) -> Result<R, ControllerError>
    where
        R: Send + 'static,
        F: FnOnce(&Controller, i64, &mut dyn IdSource) -> Decision<R> + Send + 'static,
    {
        self.write_at(decide).await.map(|(_, response)| response)
    }

    /// As [`ControllerHandle::write`], and the offset of the entry; `-1` for a decision without records. A broker's
    /// epoch is the offset of its registration (rule C4).
    ///
    /// # Errors
    /// [`ControllerError`].
    pub async fn write_at<R, F>(&self, decide: F) -> Result<(i64, R), ControllerError>
    where
        R: Send + 'static,
        F: FnOnce(&Controller, i64, &mut dyn IdSource) -> Decision<R> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |controller, now_ms, ids| {
            let Decision { records, response } = decide(controller, now_ms, ids);
            let answer: Answer = Box::new(move |outcome| {
                let unheard = reply.send(outcome.map(|offset| (offset, response))).is_err();
                if unheard {
                    tracing::debug!("nobody waits for a decision of the controller any more");
                }
            });
            (records, answer)
        });
        self.jobs.send(job).await.map_err(|_| ControllerError::Stopped)?;
        answer.await.unwrap_or(Err(ControllerError::Stopped))
    }
}

/// The controller of this node.
pub struct ControllerServer {
    handle: ControllerHandle,
    quorum: Arc<Quorum>,
}

impl ControllerServer {
    /// Starts the quorum and the writer; returns when every committed decision is in the published image.
    ///
    /// `failed` is called with a sentence when the Raft core dies; it has to stop the process.
    ///
    /// # Errors
    /// [`QuorumError::Start`] with a sentence for a person.
    pub async fn start(
        quorum: QuorumConfig,
        storage: QuorumStorage,
        controller: ControllerConfig,
        publisher: Arc<MetadataPublisher>,
        clock: Clock,
        failed: impl FnOnce(String) + Send + 'static,
    ) -> Result<ControllerServer, QuorumError> {
        let state = Arc::new(ControllerState::new(controller, publisher));
        let quorum = Arc::new(Quorum::start(quorum, storage, state.clone()).await?);
        let failure = quorum.failure();
        tokio::spawn(async move { failed(failure.await) });
        let (jobs, queue) = mpsc::channel(QUEUED_DECISIONS);
        let writer = Writer {
            quorum: quorum.clone(),
            state,
            clock,
            ids: RandomIds,
        };
        tokio::spawn(writer.run(queue));
        Ok(ControllerServer {
            handle: ControllerHandle { jobs },
            quorum,
        })
    }

    /// Where decisions are asked for.
    pub fn handle(&self) -> ControllerHandle {
        self.handle.clone()
    }

    /// The quorum as this node sees it now.
    pub fn quorum_status(&self) -> QuorumStatus {
        self.quorum.describe()
    }

    /// Where the quorum can be asked for its state.
    pub fn quorum(&self) -> Arc<Quorum> {
        self.quorum.clone()
    }

    /// Stops the quorum; decisions under way get [`ControllerError::Stopped`], what was answered is durable.
    ///
    /// # Errors
    /// [`QuorumError::Stopped`] if the Raft core had died before.
    pub async fn shutdown(self) -> Result<(), QuorumError> {
        self.quorum.shutdown().await
    }
}

/// The one task that decides and proposes.
struct Writer {
    quorum: Arc<Quorum>,
    state: Arc<ControllerState>,
    clock: Clock,
    ids: RandomIds,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut after_doubt = false;
        while let Some(job) = queue.recv().await {
            // After an outcome that nobody knows, the state may lack records that are committed all the same.
            if after_doubt && self.quorum.read_barrier().await.is_ok() {
                after_doubt = false;
            }
            let now_ms = self.clock.wall_ms();
            let (records, answer) = job(&self.state.controller(), now_ms, &mut self.ids);
            let outcome = self.commit(now_ms, &records).await;
            after_doubt |= outcome.is_err();
            answer(outcome);
        }
    }

    async fn commit(&self, now_ms: i64, records: &[MetadataRecord]) -> Outcome {
        if records.is_empty() {
            // Nobody else may have decided in the meantime (rule O10).
            self.quorum.read_barrier().await?;
            return Ok(-1);
        }
        let records = records
            .iter()
            .map(MetadataRecord::encode)
            .collect::<Result<Vec<Bytes>, _>>()
            .map_err(|error| ControllerError::Encoding(error.to_string()))?;
        Ok(self.quorum.propose(now_ms, records).await?)
    }
}

/// Random ids as Kafka makes them (`Uuid.randomUuid`): none of the first hundred, which are reserved, and none whose
/// text begins with a dash, which tools would take for an option.
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&mut self) -> Uuid {
        loop {
            let id = Uuid::new_v4();
            if id.as_u128() >= 100 && !encode_base64_id(id).starts_with('-') {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metadata::controller::{BrokerRegistration, CreatableTopic};
    use metadata::image::{BrokerEndpoint, MetadataImage};
    use metadata::quorum::WriterMode;
    use metadata::quorum::memory::MemoryDisk;
    use protocol_compat::BrokerId;

    use super::*;
    use crate::broker_lifecycle::{RegistrationError, register_broker};
    use crate::metadata_cache::MetadataCache;
    use crate::producer_id_manager::ProducerIdManager;

    const CLUSTER: &str = "a-cluster";

    struct Node {
        server: ControllerServer,
        cache: MetadataCache,
        failure: oneshot::Receiver<String>,
    }

    async fn start(disk: &MemoryDisk) -> Node {
        let quorum = QuorumConfig {
            node_id: 1,
            directory_id: Uuid::from_u128(5),
            cluster_id: CLUSTER.into(),
            ids_read_from: "meta.properties".to_owned(),
            snapshot_after_bytes: 2_000,
            entries_kept_behind_snapshot: 0,
        };
        let controller = ControllerConfig {
            cluster_id: CLUSTER.into(),
            node_id: BrokerId(1),
            num_partitions: 1,
            default_replication_factor: 1,
            broker_configs: Arc::default(),
        };
        let cache = MetadataCache::new(Arc::new(MetadataImage::empty(CLUSTER)));
        let publisher = Arc::new(MetadataPublisher::new(cache.clone()));
        let (failed, failure) = oneshot::channel();
        let server = ControllerServer::start(
            quorum,
            disk.storage(WriterMode::Thread),
            controller,
            publisher,
            Clock::real(),
            move |reason| failed.send(reason).unwrap(),
        )
        .await
        .unwrap();
        Node {
            server,
            cache,
            failure,
        }
    }

    fn registration(life: u128) -> BrokerRegistration {
        BrokerRegistration {
            id: BrokerId(1),
            cluster_id: CLUSTER.into(),
            incarnation_id: Uuid::from_u128(life),
            endpoints: vec![BrokerEndpoint {
                name: "PLAINTEXT".into(),
                host: "".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: Vec::new(),
            rack: None,
            directories: vec![Uuid::from_u128(5)],
            ready: true,
        }
    }

    #[tokio::test]
    async fn a_brokers_epoch_is_the_offset_of_its_registration_and_grows_with_every_life() {
        let disk = MemoryDisk::new();
        let mut epochs = Vec::new();
        for life in 1..4 {
            let node = start(&disk).await;
            let epoch = register_broker(&node.server.handle(), registration(life))
                .await
                .unwrap();
            let image = node.cache.image();
            let broker = image.brokers.get(BrokerId(1)).unwrap();
            assert_eq!((broker.epoch, broker.fenced, image.offset), (epoch, false, epoch));
            assert!(!image.features.is_empty());
            epochs.push(epoch);
            node.server.shutdown().await.unwrap();
        }
        assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    }

    #[tokio::test]
    async fn a_broker_of_another_cluster_is_refused_and_changes_nothing() {
        let node = start(&MemoryDisk::new()).await;
        let stranger = BrokerRegistration {
            cluster_id: "another".into(),
            ..registration(1)
        };
        let before = node.cache.image().offset;
        let refused = register_broker(&node.server.handle(), stranger)
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, RegistrationError::Refused(error) if error.code == ErrorCode::InconsistentClusterId)
        );
        assert!(refused.to_string().contains("another"), "{refused}");
        assert_eq!(node.cache.image().offset, before);
        node.server.shutdown().await.unwrap();
    }

    fn topic(name: String) -> CreatableTopic {
        CreatableTopic {
            name: name.into(),
            num_partitions: 3,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    async fn create(
        controller: &ControllerHandle,
        names: Vec<String>,
    ) -> Result<Vec<ErrorCode>, ControllerError> {
        let topics = names.into_iter().map(topic).collect();
        let created =
            controller.write(move |controller, _now_ms, ids| controller.create_topics(ids, topics, false));
        let code = |result: metadata::controller::CreateTopicResult| {
            result.outcome.err().map_or(ErrorCode::None, |error| error.code)
        };
        Ok(created.await?.into_iter().map(code).collect())
    }

    #[tokio::test]
    async fn of_many_that_ask_for_one_name_at_a_time_exactly_one_creates_the_topic() {
        let node = start(&MemoryDisk::new()).await;
        let controller = node.server.handle();
        register_broker(&controller, registration(1)).await.unwrap();
        let asked = (0..50).map(|_| create(&controller, vec!["orders".to_owned()]));
        let answers = futures_util::future::try_join_all(asked).await.unwrap();
        let created = answers
            .iter()
            .flatten()
            .filter(|&&code| code == ErrorCode::None)
            .count();
        let refused = answers
            .iter()
            .flatten()
            .filter(|&&code| code == ErrorCode::TopicAlreadyExists)
            .count();
        assert_eq!((created, refused), (1, 49));
        node.server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_a_whole_decision_behind() {
        let node = start(&MemoryDisk::new()).await;
        let controller = node.server.handle();
        register_broker(&controller, registration(1)).await.unwrap();
        for round in 0..30 {
            let asked = create(&controller, vec![format!("left-{round}")]);
            let impatient = tokio::time::timeout(std::time::Duration::from_micros(round * 20), asked);
            impatient.await.ok();
        }
        // Decisions stand in one queue: when this one is answered, those before it are made or were never asked.
        assert_eq!(
            create(&controller, vec!["last".to_owned()]).await.unwrap(),
            [ErrorCode::None]
        );
        let image = node.cache.image();
        for topic in image.topics.iter() {
            assert_eq!(topic.partitions().count(), 3, "{}", topic.name);
        }
        node.server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_restart_from_snapshot_and_log_rebuilds_the_same_image() {
        let disk = MemoryDisk::new();
        let node = start(&disk).await;
        let controller = node.server.handle();
        register_broker(&controller, registration(1)).await.unwrap();
        for number in 0..40 {
            create(&controller, vec![format!("topic-{number}")])
                .await
                .unwrap();
        }
        node.server.quorum().take_snapshot().await.unwrap();
        create(&controller, vec!["behind-the-snapshot".to_owned()])
            .await
            .unwrap();
        let before = node.cache.image();
        node.server.shutdown().await.unwrap();
        disk.restart(0);
        let node = start(&disk).await;
        let after = node.cache.image();
        assert_eq!(
            MetadataImage {
                offset: before.offset,
                ..(*after).clone()
            },
            *before
        );
        assert!(node.server.quorum_status().log_start_offset > 0);
        node.server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn producer_ids_are_never_handed_out_twice_even_across_a_crash() {
        let disk = MemoryDisk::new();
        let mut seen = std::collections::BTreeSet::new();
        for life in 1..4 {
            let node = start(&disk).await;
            let controller = node.server.handle();
            let epoch = register_broker(&controller, registration(life)).await.unwrap();
            let ids = ProducerIdManager::new(controller, BrokerId(1), epoch);
            for _ in 0..1_500 {
                assert!(seen.insert(ids.next_id().await.unwrap()));
            }
            drop(node);
            disk.restart(0);
        }
    }

    #[tokio::test]
    async fn an_earlier_life_of_a_broker_gets_no_producer_ids() {
        let node = start(&MemoryDisk::new()).await;
        let controller = node.server.handle();
        let earlier = register_broker(&controller, registration(1)).await.unwrap();
        register_broker(&controller, registration(2)).await.unwrap();
        let ids = ProducerIdManager::new(controller, BrokerId(1), earlier);
        assert_eq!(ids.next_id().await, Err(ErrorCode::StaleBrokerEpoch));
        node.server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_fails_ends_the_controller_and_is_reported() {
        let disk = MemoryDisk::new();
        let node = start(&disk).await;
        let controller = node.server.handle();
        register_broker(&controller, registration(1)).await.unwrap();
        disk.cut_power_at(disk.writes());
        assert_eq!(
            create(&controller, vec!["lost".to_owned()]).await,
            Err(ControllerError::Stopped)
        );
        let reason = node.failure.await.unwrap();
        assert!(reason.contains("the power went"), "{reason}");
    }
}
