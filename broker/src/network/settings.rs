//! What a listener and its connections are told. Plain values: where they come from is the configuration's matter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its name, as in `listeners`.
    pub name: Arc<str>,
    /// Where it binds; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Its sockets.
    pub socket: SocketSettings,
}

/// The options of a listener's sockets.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// `socket.send.buffer.bytes`; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
    /// How TCP reacts to loss.
    pub congestion_control: CongestionControl,
}

/// Which of TCP's congestion control algorithms answers are sent with.
///
/// A machine whose default is BBR sends two to three times slower over loopback, so that peers on the same machine get
/// a plain algorithm unless somebody decides otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CongestionControl {
    /// The machine's default.
    Kernel,
    /// This one for peers on the loopback interface, the machine's default for others.
    Loopback(String),
    /// This one for every peer.
    Everyone(String),
}

/// Bounds and deadlines of every connection.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// `socket.request.max.bytes`: the largest frame.
    pub max_request_bytes: usize,
    /// `connections.max.idle.ms`; `None` keeps idle connections.
    pub idle_timeout: Option<Duration>,
    /// A frame that has begun must be complete within this time, and one second more for each
    /// [`MIN_FRAME_BYTES_PER_SECOND`] of it that have arrived.
    pub frame_timeout: Duration,
    /// The same while other requests wait for the bytes that this frame holds of `queued.max.request.bytes`; a second more
    /// for each [`CONTENDED_FRAME_BYTES_PER_SECOND`].
    pub contended_frame_timeout: Duration,
    /// Bytes of requests without an answer and of answers not yet sent, above which a connection is not read.
    pub max_in_flight_bytes: usize,
    /// Requests without an answer above which a connection is not read.
    pub max_in_flight_requests: usize,
    /// How long answers may take to leave once the node stops.
    pub drain_timeout: Duration,
}

/// Below this rate a frame is a client that holds a buffer hostage, not a slow line.
pub const MIN_FRAME_BYTES_PER_SECOND: u64 = 16 << 10;

/// Below this rate a frame makes others wait for no good reason.
pub const CONTENDED_FRAME_BYTES_PER_SECOND: u64 = 1 << 20;

impl ConnectionSettings {
    /// Bounds that are the node's own, beside the two of Kafka's keys.
    pub fn new(max_request_bytes: usize, idle_timeout: Option<Duration>) -> ConnectionSettings {
        ConnectionSettings {
            max_request_bytes,
            idle_timeout,
            frame_timeout: Duration::from_secs(30),
            // Time for 1 MiB over a line of 3 Mbit/s; a client that is cut off tries again.
            contended_frame_timeout: Duration::from_secs(3),
            // Several producer requests of the usual 1 MiB; a single larger request is let in alone.
            max_in_flight_bytes: 16 << 20,
            // Java clients keep five; others pipeline more, and this many small ones cost nothing.
            max_in_flight_requests: 128,
            drain_timeout: Duration::from_secs(1),
        }
    }
}
