//! One life of the node: it starts, clients work, things go wrong, it ends. And the row of lives that a seed is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::blocking;
use broker::clock::Clock;
use broker::config::{NodeConfig, Settings};
use broker::disk_stalls::DiskStalls;
use broker::network::{BoundListener, CongestionControl, ListenerSettings, SocketSettings};
use broker::server::{Server, StartError, Surroundings};
use futures_util::future::join_all;
use metadata::quorum::WriterMode;
use storage::disk::{Disk, SimDisk, SimFault};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::check::final_check;
use crate::check::violation::Violation;
use crate::history::LifeEnd;
use crate::net::{LinkFault, NODE, SimNet};
use crate::plan::{LifePlan, Mishap, Plan};
use crate::trace::Trace;
use crate::workload;
use crate::world::{Actor, Phase, World};

/// The disk's room where nothing takes it away.
const CAPACITY_BYTES: u64 = 4 << 30;
/// How often somebody looks whether the power went.
const LOOK_PERIOD: Duration = Duration::from_millis(5);
/// Longer than any client may need to come to an end once nothing fails any more.
const HEALING_LIMIT: Duration = Duration::from_secs(600);
/// A node that was asked to stop is gone after this.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Where Linux keeps files in memory.
const MEMORY_DIR: &str = "/dev/shm";
/// The directories of partitions on the simulated disk.
const LOG_DIRS: [&str; 2] = ["/data/a", "/data/b"];

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What must not be and was.
    pub violations: Vec<Violation>,
    /// How the lives ended: kills, power cuts, clean stops.
    pub ends: [u64; 3],
    /// Records acknowledged.
    pub acked: u64,
    /// Records read.
    pub read: u64,
    /// The disk's calls.
    pub disk_calls: u64,
    /// Lines of the trace, and what they come to.
    pub trace: (u64, u64),
    /// Virtual milliseconds.
    pub virtual_ms: i64,
    /// Parts of the plan, and of the actors, that can be left out.
    pub parts: u32,
}

/// A seed on its way.
struct Run {
    plan: Plan,
    world: World,
    disk: SimDisk,
    net: SimNet,
    scratch: tempfile::TempDir,
    offset_stores: Cell<u32>,
    boots: Cell<u32>,
    ends: RefCell<[u64; 3]>,
}

/// How a life came to its end.
enum Ended {
    AsPlanned,
    PowerCut,
    Died(String),
    DidNotStart(StartError),
}

/// Runs a seed, without the parts whose numbers are in `without`. To be called once in a process.
///
/// # Errors
/// The machine's own, for instance no room for scratch files.
pub fn run(seed: u64, without: &BTreeSet<u32>, prints: bool) -> io::Result<Outcome> {
    let plan = Plan::of(seed, without);
    let net = SimNet::new(seed);
    let run = Run {
        world: World::new(seed, plan.flushed, net.clone(), Trace::new(prints)),
        disk: SimDisk::new(seed, CAPACITY_BYTES),
        net,
        scratch: scratch_dir()?,
        offset_stores: Cell::new(0),
        boots: Cell::new(0),
        ends: RefCell::default(),
        plan,
    };
    let parts = run.plan.numbers;
    let mut numbered: u32 = parts;
    let mut actors: Vec<Box<dyn Actor>> = Vec::new();
    for actor in workload::actors(seed) {
        if !without.contains(&numbered) {
            actors.push(actor);
        }
        numbered += 1;
    }
    run.say(format_args!("{:?}", run.plan));
    let lives = run.plan.lives.clone();
    for (at, life) in (0..).zip(&lives) {
        run.live(at, Some(life), &mut actors)?;
    }
    run.live(u32::try_from(lives.len()).unwrap_or(u32::MAX), None, &mut actors)?;
    Ok(run.outcome(numbered))
}

impl Run {
    fn say(&self, args: std::fmt::Arguments<'_>) {
        self.world.trace(args);
    }

    fn violated(&self, guarantee: &'static str, anomaly: &'static str, what: String) {
        let violation = Violation::new(guarantee, anomaly, what);
        self.world.history().borrow_mut().violated(violation);
    }

    /// One life; the last one has no plan.
    fn live(&self, at: u32, life: Option<&LifePlan>, actors: &mut [Box<dyn Actor>]) -> io::Result<()> {
        let phase = if life.is_some() {
            Phase::Working
        } else {
            Phase::Healing
        };
        self.world.begin_life(at, phase);
        self.disk.set_capacity_bytes(CAPACITY_BYTES);
        if let Some(call) = life.and_then(|life| life.cut_at_call) {
            self.disk.fail_at(self.disk.calls() + call, SimFault::PowerCut);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        runtime.block_on(async {
            self.world.time().begin_life();
            let config = self.config();
            let server = self.start(config, life).await;
            let (server, ended) = match server {
                Ok(mut server) => {
                    let ended = self.between(&mut server, life, actors).await;
                    (Some(server), ended)
                }
                Err(ended) => (None, ended),
            };
            self.end(life, server, ended).await;
            self.world.time().end_life();
        });
        drop(runtime);
        Ok(())
    }

    async fn start(&self, config: NodeConfig, life: Option<&LifePlan>) -> Result<Server, Ended> {
        let listener = BoundListener::of(listener_settings(), self.net.listen(), NODE);
        let surroundings = Surroundings {
            disk: Disk::simulated(&self.disk.in_this_life()),
            clock: Clock::steered(self.world.time()),
            boot_id: Some(format!("boot-{}", self.boots.get())),
            offset_store_dir: self.offset_store_dir(),
            quorum_writer: WriterMode::Inline,
            flush_threads: 0,
            flush_journal_bytes: 1 << 18,
            max_open_log_files: 512,
            disk_stalls: DiskStalls::unwatched(),
        };
        self.say(format_args!("the node starts"));
        let started = Server::start_on(config, surroundings, vec![listener]).await;
        match started {
            Ok(server) => Ok(server),
            Err(_) if self.disk.is_cut() => Err(Ended::PowerCut),
            Err(cause) => {
                let expected = life.is_some_and(LifePlan::has_disk_error);
                if !expected {
                    self.violated("G12", "unavailable", format!("the node does not start: {cause}"));
                }
                Err(Ended::DidNotStart(cause))
            }
        }
    }

    async fn between(
        &self,
        server: &mut Server,
        life: Option<&LifePlan>,
        actors: &mut [Box<dyn Actor>],
    ) -> Ended {
        let all = join_all(actors.iter_mut().map(|actor| actor.live(self.world.clone())));
        let Some(life) = life else {
            return self.heal(server, all).await;
        };
        let mut all = std::pin::pin!(all);
        let working = async {
            all.as_mut().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.power() => Ended::PowerCut,
            reason = server.failed() => Ended::Died(reason),
            () = sleep(Duration::from_millis(life.length_ms)) => Ended::AsPlanned,
            () = self.mishaps(life) => Ended::AsPlanned,
            () = working => Ended::AsPlanned,
        }
    }

    /// Nothing fails any more: everybody comes to an end, and everything is read once more.
    async fn heal(&self, server: &mut Server, all: impl Future<Output = Vec<()>>) -> Ended {
        let finished = async {
            if timeout(HEALING_LIMIT, all).await.is_err() {
                self.violated(
                    "G12",
                    "unavailable",
                    "a client does not come to an end".to_owned(),
                );
            }
            // What it finds is in the history.
            if timeout(HEALING_LIMIT, final_check(&self.world)).await.is_err() {
                let what = "a healthy node does not let itself be read";
                self.violated("G12", "unavailable", what.to_owned());
            }
        };
        tokio::select! {
            biased;
            reason = server.failed() => Ended::Died(reason),
            () = finished => Ended::AsPlanned,
        }
    }

    /// Resolves when the power is gone.
    async fn power(&self) {
        while !self.disk.is_cut() {
            sleep(LOOK_PERIOD).await;
        }
    }

    /// Lets happen what is planned; never ends.
    async fn mishaps(&self, life: &LifePlan) {
        let begun = Instant::now();
        for happening in &life.happenings {
            sleep_until(begun + Duration::from_millis(happening.at_ms)).await;
            self.say(format_args!("#{} {:?}", happening.number, happening.mishap));
            match happening.mishap {
                Mishap::ResetOne => self.disturb(LinkFault::Reset, false),
                Mishap::ResetAll => self.disturb(LinkFault::Reset, true),
                Mishap::HalfOpen => self.disturb(LinkFault::HalfOpen, false),
                Mishap::Slow(us_per_kib) => self.disturb(LinkFault::Slow(us_per_kib), true),
                Mishap::Heal => self.net.heal(),
                Mishap::ClockJump(by_ms) => self.world.time().jump_ms(by_ms),
                Mishap::Stall(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
                Mishap::SlowDisk(ms) => blocking::delay_on_this_thread(Duration::from_millis(ms)),
                Mishap::DiskFull(room) => self.disk.set_capacity_bytes(self.used_bytes() + room),
                Mishap::DiskFreed => self.disk.set_capacity_bytes(CAPACITY_BYTES),
                Mishap::IoError(call) => self.disk.fail_at(self.disk.calls() + call, SimFault::Error),
            }
        }
        std::future::pending().await
    }

    fn disturb(&self, fault: LinkFault, all: bool) {
        let met = self.net.disturb(fault, all);
        self.say(format_args!("{met} connections meet {fault:?}"));
    }

    fn used_bytes(&self) -> u64 {
        let space = Disk::simulated(&self.disk).space(Path::new("/"));
        space.map_or(0, |space| space.total_bytes.saturating_sub(space.usable_bytes))
    }

    /// Takes the node away, and leaves the disk as the end of the life leaves it.
    async fn end(&self, life: Option<&LifePlan>, server: Option<Server>, ended: Ended) {
        let planned = life.map_or(LifeEnd::CleanStop, |life| life.end);
        let how = match &ended {
            Ended::PowerCut => LifeEnd::PowerCut,
            Ended::Died(_) | Ended::DidNotStart(_) => LifeEnd::Kill,
            Ended::AsPlanned => planned,
        };
        blocking::delay_on_this_thread(Duration::ZERO);
        self.report(life, &ended);
        self.say(format_args!("the life ends: {how:?}"));
        match how {
            LifeEnd::CleanStop => {
                if let Some(server) = server
                    && timeout(STOP_LIMIT, server.stop()).await.is_err()
                {
                    self.violated("G12", "unavailable", "the node does not stop".to_owned());
                }
                self.net.node_died();
                self.disk.restart_process();
            }
            LifeEnd::Kill => {
                self.keep_offset_store(life);
                self.net.node_died();
                self.disk.restart_process();
                drop(server);
            }
            LifeEnd::PowerCut => {
                self.keep_offset_store(life);
                self.net.node_died();
                self.disk.cut_power();
                self.disk.restart();
                self.boots.set(self.boots.get() + 1);
                drop(server);
            }
        }
        self.world
            .history()
            .borrow_mut()
            .life_ended(how, self.world.now_ms());
        self.ends.borrow_mut()[how as usize] += 1;
    }

    fn report(&self, life: Option<&LifePlan>, ended: &Ended) {
        match ended {
            Ended::Died(reason) => {
                self.say(format_args!("the node died: {reason}"));
                let expected = life.is_some_and(LifePlan::has_disk_error);
                if !expected && !self.disk.is_cut() {
                    self.violated("G12", "unavailable", format!("the node died: {reason}"));
                }
            }
            Ended::DidNotStart(cause) => self.say(format_args!("the node did not start: {cause}")),
            Ended::AsPlanned | Ended::PowerCut => {}
        }
    }

    fn offset_store_dir(&self) -> PathBuf {
        self.scratch
            .path()
            .join(format!("offsets-{}", self.offset_stores.get()))
    }

    /// What a death leaves of the store of committed offsets: the files as they are now, while the memory is lost. A node that
    /// is taken down in this process would write that first, so that the next life gets a copy.
    fn keep_offset_store(&self, life: Option<&LifePlan>) {
        let before = self.offset_store_dir();
        self.offset_stores.set(self.offset_stores.get() + 1);
        if life.is_some_and(|life| life.loses_offset_store) {
            self.say(format_args!("the store of committed offsets is gone"));
            return;
        }
        if let Err(cause) = copy_files(&before, &self.offset_store_dir()) {
            self.say(format_args!(
                "the store of committed offsets is gone: {}",
                cause.kind()
            ));
        }
    }

    fn config(&self) -> NodeConfig {
        let mut settings = Settings::default();
        let dirs = usize::try_from(self.plan.log_dirs).unwrap_or(1);
        let log_dirs = LOG_DIRS[..dirs].join(",");
        let flush = if self.plan.flushed {
            "1"
        } else {
            "9223372036854775807"
        };
        for (key, value) in [
            ("log.dirs", log_dirs.as_str()),
            ("log.flush.interval.messages", flush),
        ]
        .iter()
        .chain(SETTINGS)
        {
            if let Err(cause) = settings.set(key, value, "the simulator") {
                panic!("{key}={value}: {cause}");
            }
        }
        match NodeConfig::new(settings, Some("the-simulated-cluster".to_owned())) {
            Ok(config) => config,
            Err(cause) => panic!("{cause}"),
        }
    }

    fn outcome(self, parts: u32) -> Outcome {
        let history = self.world.history().borrow();
        let counts = history.counts();
        let trace = self.world.trace_of();
        Outcome {
            violations: history.violations().to_vec(),
            ends: *self.ends.borrow(),
            acked: counts.acked,
            read: counts.read,
            disk_calls: self.disk.calls(),
            trace: (trace.lines(), trace.fingerprint()),
            virtual_ms: self.world.now_ms(),
            parts,
        }
    }
}

/// Short periods, so that a few virtual seconds hold many passes; small sizes, so that many files are touched.
const SETTINGS: &[(&str, &str)] = &[
    ("listeners", "PLAINTEXT://10.0.0.1:9092"),
    ("metrics.listener", "none"),
    ("offsets.topic.num.partitions", "3"),
    ("offsets.topic.segment.bytes", "1048576"),
    ("group.initial.rebalance.delay.ms", "20"),
    ("log.retention.check.interval.ms", "700"),
    ("log.segment.delete.delay.ms", "900"),
    ("log.cleaner.backoff.ms", "300"),
    ("log.cleaner.dedupe.buffer.size", "1048577"),
    ("log.flush.offset.checkpoint.interval.ms", "500"),
    ("log.flush.start.offset.checkpoint.interval.ms", "800"),
    ("replica.high.watermark.checkpoint.interval.ms", "600"),
    // A day that the clock jumps ahead must not look like a producer that was silent for a day.
    ("producer.id.expiration.ms", "259200000"),
];

fn listener_settings() -> ListenerSettings {
    ListenerSettings {
        name: Arc::from("PLAINTEXT"),
        address: NODE,
        socket: SocketSettings {
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            backlog: 50,
            congestion_control: CongestionControl::Kernel,
        },
    }
}

/// A directory for RocksDB, in memory where the machine has a place for that: what is synced there costs no time.
fn scratch_dir() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("cauce-simulate-");
    builder.tempdir_in(MEMORY_DIR).or_else(|_| builder.tempdir())
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Remembers panics of whatever task; the function that is returned gives them as violations.
pub fn count_panics() -> impl FnOnce() -> Vec<Violation> {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (hook, printed) = (seen.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        printed(panic);
        let mut seen = hook.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(panic.to_string().replace('\n', " "));
    }));
    move || {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let panics = seen.iter();
        panics
            .map(|panic| Violation::new("G11", "panic", panic.clone()))
            .collect()
    }
}
