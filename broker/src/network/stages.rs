//! How long requests take, stage by stage: which are sampled, and the histograms that their records end in.
//!
//! Names and meanings are those of Kafka's `RequestMetrics` where it has them; the stages that it has not are in the same
//! family. A request that is not sampled costs a branch here.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};
use protocol_compat::ApiKey;
use storage::stages::{Record, Spent, Stage, Work};

use crate::request::ResponseFrame;

/// One request in so many is sampled, of each connection. A prime: a client that repeats a few requests in turn has each of
/// them sampled.
const SAMPLED_ONE_IN: u32 = 61;

/// Upper ends of the buckets in milliseconds, from a microsecond to a second.
const BUCKETS_MS: [f64; 19] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0,
    500.0, 1000.0,
];

/// How a figure is read; `None` where the request has none.
type Read = fn(&Spent) -> Option<Duration>;
/// Name, help, and how the figure is read.
type Row = (&'static str, &'static str, Read);

/// Kafka's times count every sampled request, with 0 where there was nothing to wait for; the others count those that
/// came through the stage.
const HISTOGRAMS: &[Row] = &[
    (
        "kafka_network_requestmetrics_requestqueuetimems",
        "Milliseconds from when a request was read completely until its handling began",
        |spent| Some(or_zero(spent, Stage::Queue)),
    ),
    (
        "kafka_network_requestmetrics_decodetimems",
        "Milliseconds in which a request's bytes became a message",
        |spent| spent.of(Stage::Decode),
    ),
    (
        "kafka_network_requestmetrics_localtimems",
        "Milliseconds of handling a request, the log and its files included, waiting, decoding and encoding not",
        |spent| Some(local(spent)),
    ),
    (
        "kafka_network_requestmetrics_appendtimems",
        "Milliseconds of a request in the logs that it appends to, but for their files",
        |spent| spent.of(Stage::Append),
    ),
    (
        "kafka_network_requestmetrics_filetimems",
        "Milliseconds of a request in reads, writes and syncs of files",
        |spent| spent.of(Stage::File),
    ),
    (
        "kafka_network_requestmetrics_remotetimems",
        "Milliseconds that a request waited: for a high watermark, a flush, more data, a group",
        |spent| Some(or_zero(spent, Stage::Wait)),
    ),
    (
        "kafka_network_requestmetrics_encodetimems",
        "Milliseconds in which an answer became bytes",
        |spent| spent.of(Stage::Encode),
    ),
    (
        "kafka_network_requestmetrics_responsequeuetimems",
        "Milliseconds that an answer waited for those of earlier requests",
        |spent| Some(or_zero(spent, Stage::Order)),
    ),
    (
        "kafka_network_requestmetrics_responsesendtimems",
        "Milliseconds until the socket had taken the last byte of an answer",
        |spent| Some(or_zero(spent, Stage::Send)),
    ),
    (
        "kafka_network_requestmetrics_totaltimems",
        "Milliseconds from when a request was read completely until its answer had left",
        |spent| Some(spent.total()),
    ),
];

fn or_zero(spent: &Spent, stage: Stage) -> Duration {
    spent.of(stage).unwrap_or_default()
}

fn local(spent: &Spent) -> Duration {
    let stages = [Stage::Local, Stage::Append, Stage::File];
    stages.into_iter().map(|stage| or_zero(spent, stage)).sum()
}

/// The requests that are told apart.
const KINDS: [&str; 3] = ["Produce", "Fetch", "other"];

fn kind(key: ApiKey) -> usize {
    match key {
        ApiKey::Produce => 0,
        ApiKey::Fetch => 1,
        _ => 2,
    }
}

/// The histograms; clones share them.
#[derive(Clone)]
pub struct StageMetrics {
    /// Of each kind, in the order of the table.
    histograms: [Vec<(Histogram, Read)>; KINDS.len()],
}

impl StageMetrics {
    /// Registers the histograms.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<StageMetrics> {
        let mut histograms = KINDS.map(|_| Vec::with_capacity(HISTOGRAMS.len()));
        for (name, help, read) in HISTOGRAMS {
            let options = HistogramOpts::new(*name, *help).buckets(BUCKETS_MS.into());
            let family = HistogramVec::new(options, &["request"])?;
            registry.register(Box::new(family.clone()))?;
            for (kind, histograms) in KINDS.iter().zip(&mut histograms) {
                histograms.push((family.with_label_values(&[kind]), *read));
            }
        }
        Ok(StageMetrics { histograms })
    }

    /// How many requests of a kind were sampled.
    #[cfg(test)]
    pub(super) fn sampled(&self, key: ApiKey) -> u64 {
        let all = self.histograms[kind(key)].last();
        all.map_or(0, |(histogram, _)| histogram.get_sample_count())
    }

    /// Takes a request's record.
    pub fn observe(&self, key: ApiKey, spent: &Spent) {
        for (histogram, read) in &self.histograms[kind(key)] {
            if let Some(time) = read(spent) {
                histogram.observe(time.as_secs_f64() * 1e3);
            }
        }
    }
}

/// Chooses the requests of one connection.
pub(super) struct Sampler {
    /// How many come before the next one.
    before_next: u32,
}

impl Sampler {
    /// Connections begin at different places, so that short ones are sampled like long ones.
    pub(super) fn new(connection_id: u64) -> Sampler {
        let place = connection_id % u64::from(SAMPLED_ONE_IN);
        Sampler {
            before_next: u32::try_from(place).unwrap_or(0),
        }
    }

    /// Whether the next request is sampled.
    pub(super) fn is_due(&mut self) -> bool {
        match self.before_next.checked_sub(1) {
            Some(left) => {
                self.before_next = left;
                false
            }
            None => {
                self.before_next = SAMPLED_ONE_IN - 1;
                true
            }
        }
    }
}

/// The answer of a sampled request that waits: its record is on the thread while something is done for it, and waits with it
/// in between.
pub(super) struct Recorded {
    frame: BoxFuture<'static, ResponseFrame>,
    record: Option<Box<Record>>,
}

impl Recorded {
    pub(super) fn new(frame: BoxFuture<'static, ResponseFrame>, mut record: Box<Record>) -> Recorded {
        record.enter(Stage::Wait);
        Recorded {
            frame,
            record: Some(record),
        }
    }
}

impl Future for Recorded {
    type Output = (ResponseFrame, Option<Box<Record>>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (record, frame) = (self.record.take(), &mut self.frame);
        let work = Work::begin(record, Stage::Local);
        let polled = frame.as_mut().poll(context);
        let mut record = work.end();
        let after = if polled.is_ready() {
            Stage::Order
        } else {
            Stage::Wait
        };
        if let Some(record) = record.as_mut() {
            record.enter(after);
        }
        match polled {
            Poll::Ready(frame) => Poll::Ready((frame, record)),
            Poll::Pending => {
                self.record = record;
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use std::future::poll_fn;
    use std::task::Waker;

    use protocol_compat::messages::HeartbeatResponse;
    use storage::stages;

    use super::*;
    use crate::request::RequestContext;

    fn frame() -> ResponseFrame {
        RequestContext::for_test(ApiKey::Heartbeat, 0).respond(&HeartbeatResponse::default())
    }

    fn record(clock: &Arc<AtomicU64>) -> Box<Record> {
        let clock = clock.clone();
        let now = move || Duration::from_millis(clock.load(Ordering::Relaxed));
        Record::begin(Arc::new(now), Stage::Local)
    }

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn one_request_in_so_many_is_sampled_on_every_connection() {
        for connection_id in [0, 1, 60, 61, u64::MAX] {
            let mut sampler = Sampler::new(connection_id);
            let sampled = (0..SAMPLED_ONE_IN * 5).filter(|_| sampler.is_due());
            assert_eq!(sampled.count(), 5, "{connection_id}");
        }
    }

    #[test]
    fn time_between_polls_is_waiting_and_time_within_is_handling() {
        let clock = Arc::new(AtomicU64::new(0));
        let pass = |ms: u64| clock.fetch_add(ms, Ordering::Relaxed);
        // Two at a time on one thread, polled in turn.
        let waiting = |polls: u64| -> BoxFuture<'static, ResponseFrame> {
            let (clock, mut left) = (clock.clone(), polls);
            Box::pin(poll_fn(move |_| {
                let _file = stages::enter(Stage::File);
                clock.fetch_add(10, Ordering::Relaxed);
                left -= 1;
                if left == 0 {
                    Poll::Ready(frame())
                } else {
                    Poll::Pending
                }
            }))
        };
        let mut first = Recorded::new(waiting(2), record(&clock));
        let mut second = Recorded::new(waiting(3), record(&clock));
        let mut context = Context::from_waker(Waker::noop());
        let mut done = Vec::new();
        for _ in 0..3 {
            pass(1);
            for recorded in [&mut first, &mut second] {
                // What has answered is not polled again.
                if recorded.record.is_some()
                    && let Poll::Ready((_, record)) = Pin::new(recorded).poll(&mut context)
                {
                    done.extend(record);
                }
            }
        }
        let spent: Vec<Spent> = done.into_iter().map(|record| record.end()).collect();
        let of = |at: usize, stage| spent.get(at).and_then(|spent| spent.of(stage));
        assert_eq!(of(0, Stage::File), ms(20));
        assert_eq!(of(1, Stage::File), ms(30));
        // 1 ms before each poll, and the polls of the other one.
        assert_eq!(of(0, Stage::Wait), ms(12));
        assert_eq!(of(1, Stage::Wait), ms(23));
        assert_eq!(of(0, Stage::Order), ms(21));
    }

    #[test]
    fn a_record_is_counted_in_every_stage_that_it_came_through() {
        let registry = Registry::new();
        let metrics = StageMetrics::new(&registry).unwrap();
        let mut spent = record(&Arc::default());
        spent.add(Stage::File, Duration::from_millis(3));
        metrics.observe(ApiKey::Produce, &spent.end());
        let counts = |label: &str| -> Vec<(String, u64)> {
            let families = registry.gather();
            let rows = families.iter().flat_map(|family| {
                let of_label = family
                    .get_metric()
                    .iter()
                    .filter(|metric| metric.get_label().iter().any(|pair| pair.value() == label));
                of_label.map(|metric| {
                    (
                        family.name().to_owned(),
                        metric.get_histogram().get_sample_count(),
                    )
                })
            });
            rows.filter(|(_, count)| *count > 0).collect()
        };
        let counted: Vec<String> = counts("Produce")
            .into_iter()
            .map(|(name, _)| name.replace("kafka_network_requestmetrics_", ""))
            .collect();
        let expected = [
            "filetimems",
            "localtimems",
            "remotetimems",
            "requestqueuetimems",
            "responsequeuetimems",
            "responsesendtimems",
            "totaltimems",
        ];
        assert_eq!(counted, expected);
        assert_eq!(counts("Fetch"), []);
        assert_eq!(counts("other"), []);
    }
}
