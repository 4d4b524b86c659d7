//! A listener: opens its port, lets connections in, and ends them when the node stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::connection::{Connection, End};
use super::environment::Network;
use super::limits::Admission;
use super::settings::{CongestionControl, ListenerSettings};
use super::transport::{Acceptor, ByteStream};

/// Where the kernel decides how much it buffers of what a peer has not acknowledged, so much of it is not on its way: what a peer
/// does not take is not copied for it.
const MOST_UNSENT_BYTES: u32 = 128 << 10;
/// After a failure to accept (no file descriptor is free, as a rule) the next attempt comes after this.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A listener whose port is open: clients can connect, and are served once [`BoundListener::serve`] runs.
pub struct BoundListener<A = TcpListener> {
    settings: ListenerSettings,
    listener: A,
    local_addr: SocketAddr,
}

impl BoundListener {
    /// Opens the port.
    ///
    /// # Errors
    /// The system's, where the port is taken or the address is not this machine's.
    pub fn bind(settings: ListenerSettings) -> io::Result<BoundListener> {
        let address = settings.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit them; set before listening, they decide the window that is offered.
        match settings.socket.send_buffer_bytes {
            Some(bytes) => socket.set_send_buffer_size(bytes)?,
            None => socket.set_tcp_notsent_lowat(MOST_UNSENT_BYTES)?,
        }
        if let Some(bytes) = settings.socket.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let inherited = match &settings.socket.congestion_control {
            CongestionControl::Everyone(name) => Some(name),
            CongestionControl::Loopback(name) if address.ip().is_loopback() => Some(name),
            CongestionControl::Loopback(_) | CongestionControl::Kernel => None,
        };
        if let Some(name) = inherited
            && let Err(error) = socket.set_tcp_congestion(name.as_bytes())
        {
            warn!(listener = %settings.name, %error, "could not choose the congestion control {name}");
        }
        socket.bind(&address.into())?;
        socket.listen(settings.socket.backlog)?;
        let listener = TcpListener::from_std(socket.into())?;
        let local_addr = listener.local_addr()?;
        Ok(BoundListener::of(settings, listener, local_addr))
    }
}

impl<A: Acceptor> BoundListener<A> {
    /// A port that is open already, at `local_addr`.
    pub fn of(settings: ListenerSettings, listener: A, local_addr: SocketAddr) -> BoundListener<A> {
        BoundListener {
            settings,
            listener,
            local_addr,
        }
    }

    /// Its name, as in `listeners`.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Where it listens; with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves connections until `shutdown` becomes true and the last connection has ended: at once where nothing is in
    /// flight, after the drain timeout at the latest.
    pub async fn serve(self, network: Arc<Network>, mut shutdown: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let inherited = shutdown.clone();
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(failure) = ended {
                        error!(listener = %self.settings.name, %failure, "a connection's task failed");
                    }
                }
                accepted = self.accept(&network) => {
                    let Some((stream, peer, admission)) = accepted else { continue };
                    if let Some(connection) = self.open(stream, peer, &network, &inherited) {
                        connections.spawn(serve_one(connection, peer, admission, Arc::clone(&network)));
                    }
                }
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }

    /// The next connection that may come in; `None` where one may not, or accepting failed.
    async fn accept(&self, network: &Network) -> Option<(A::Stream, SocketAddr, Admission)> {
        let (limits, metrics) = (&network.limits, &network.metrics);
        let place = limits.place(&metrics.connection_waits).await;
        limits.turn(network.clock, &metrics.connection_rate_waits).await;
        let (stream, peer) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                network.metrics.accept_errors.inc();
                warn!(listener = %self.settings.name, %error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                return None;
            }
        };
        let Some(admission) = network.limits.admit(peer.ip(), place, network.clock.monotonic()) else {
            network.metrics.refused_per_ip.inc();
            if network.is_line_due(peer.ip()) {
                info!(listener = %self.settings.name, %peer, "refused a connection: max.connections.per.ip");
            }
            return None;
        };
        Some((stream, peer, admission))
    }

    fn open(
        &self,
        stream: A::Stream,
        peer: SocketAddr,
        network: &Arc<Network>,
        shutdown: &watch::Receiver<bool>,
    ) -> Option<Connection<A::Stream>> {
        stream.prepare(&self.settings.socket, self.local_addr, peer);
        let id = network.next_connection_id();
        let name = Arc::clone(&self.settings.name);
        match Connection::new(stream, peer, name, id, Arc::clone(network), shutdown.clone()) {
            Ok(connection) => Some(connection),
            Err(error) => {
                debug!(listener = %self.settings.name, %peer, %error, "a connection was gone before it began");
                None
            }
        }
    }
}

async fn serve_one<S: ByteStream>(
    connection: Connection<S>,
    peer: SocketAddr,
    admission: Admission,
    network: Arc<Network>,
) {
    network.metrics.accepted.inc();
    network.metrics.connections.inc();
    let end = connection.run().await;
    network.metrics.connections.dec();
    network.metrics.closed.with_label_values(&[end.label()]).inc();
    report(&end, peer, &network);
    drop(admission);
}

/// Says why a connection ended, where somebody may want to know.
fn report(end: &End, peer: SocketAddr, network: &Network) {
    match end {
        End::Peer | End::Idle(_) | End::Shutdown | End::Io(_) => debug!(%peer, "closed a connection: {end}"),
        End::Encode(_) => error!(%peer, "closed a connection: {end}"),
        End::Frame(_) | End::Request(_) | End::SlowFrame => {
            if network.is_line_due(peer.ip()) {
                info!(%peer, "closed a connection: {end}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::network::settings::SocketSettings;

    /// How much the kernel takes of an answer for a peer that reads nothing and offers a window of so many bytes.
    async fn taken_for_nobody(window: usize) -> usize {
        let bound = BoundListener::bind(ListenerSettings {
            name: Arc::from("PLAINTEXT"),
            address: "127.0.0.1:0".parse().expect("an address"),
            socket: SocketSettings {
                send_buffer_bytes: None,
                receive_buffer_bytes: None,
                backlog: 50,
                congestion_control: CongestionControl::Loopback("reno".to_owned()),
            },
        })
        .expect("a free port");
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        client.set_recv_buffer_size(window).expect("a size");
        client.connect(&bound.local_addr().into()).expect("it listens");
        let (stream, _): (TcpStream, _) = bound.listener.accept().await.expect("a client");
        let mut taken = 0;
        let answer = vec![7; 64 << 10];
        loop {
            stream.writable().await.expect("connected");
            match stream.try_write(&answer) {
                Ok(bytes) => taken += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_has_little_copied_for_it_and_a_fast_one_much() {
        const WINDOW: usize = 128 << 10;
        // The kernel doubles what is asked for, and counts what it takes to keep the bytes.
        let slow = taken_for_nobody(WINDOW).await;
        assert!(slow <= 2 * WINDOW + 2 * (128 << 10), "{slow} bytes");
        let fast = taken_for_nobody(2 << 20).await;
        assert!(fast > 512 << 10, "{fast} bytes");
    }
}
