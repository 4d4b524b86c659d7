//! What a connection and a listener need of a network: readiness, and reads and writes that never wait.
//!
//! The node runs on TCP. A simulated network implements the same two traits, so that what is simulated is everything above
//! the system calls.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::settings::{CongestionControl, SocketSettings};

/// One connection's bytes.
pub trait ByteStream: Send + 'static {
    /// Waits until the stream can be read or written, whichever `interest` asks for.
    ///
    /// # Errors
    /// The network's; the connection is then gone.
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send;

    /// Reads what is there into the room that `buffer` has; 0 once the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there.
    fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Writes as much of the slices as the stream takes.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// This end's address.
    ///
    /// # Errors
    /// The network's; the connection is then gone.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Chooses what `settings` say of a connection that `peer` made to `local`. A connection works without it.
    fn prepare(&self, settings: &SocketSettings, local: SocketAddr, peer: SocketAddr);
}

/// An open port.
pub trait Acceptor: Send + Sync + 'static {
    /// What a connection is.
    type Stream: ByteStream;

    /// The next connection and its peer.
    ///
    /// # Errors
    /// The network's; the next call may work.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl ByteStream for TcpStream {
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        TcpStream::ready(self, interest)
    }

    fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        TcpStream::try_read_buf(self, buffer)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TcpStream::try_write_vectored(self, slices)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpStream::local_addr(self)
    }

    fn prepare(&self, settings: &SocketSettings, local: SocketAddr, peer: SocketAddr) {
        if let Err(error) = self.set_nodelay(true) {
            debug!(%peer, %error, "could not set TCP_NODELAY");
        }
        // Where this end is on the loopback interface, the listener's sockets pass it on.
        if let CongestionControl::Loopback(name) = &settings.congestion_control
            && !local.ip().is_loopback()
            && peer.ip().to_canonical().is_loopback()
            && let Err(error) = SockRef::from(self).set_tcp_congestion(name.as_bytes())
        {
            debug!(%peer, %error, "could not choose the congestion control {name}");
        }
    }
}

impl Acceptor for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}
