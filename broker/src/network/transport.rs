//! What a connection and a listener need of a network: readiness, and reads and writes that never wait.
//!
//! The node runs on TCP. A simulated network implements the same two traits, so that what is simulated is everything above
//! the system calls.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use bytes::BytesMut;
use protocol_compat::messages::FileRecords;
use rustix::net::{SendAncillaryBuffer, SendFlags};
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

    /// The same; where it leaves room in `buffer`, everything was there, and the stream is ready again only once more has come.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there.
    fn try_read_last_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }

    /// Writes as much of the slices as the stream takes.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The same, where more follows at once: a network of packets waits for it before it sends one that is not full.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing.
    fn try_write_vectored_more(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    /// Writes as much of a part of a file as the stream takes, `most` at most, without reading it; 0 where the file has ended
    /// before.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing, `Unsupported` where it takes bytes in memory alone.
    fn try_write_file(&self, part: &FileRecords, most: usize) -> io::Result<usize> {
        let _ = (part, most);
        Err(io::ErrorKind::Unsupported.into())
    }

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

    fn try_read_last_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut taken = 0;
        let read = self.try_io(Interest::READABLE, || {
            taken = TcpStream::try_read_buf(self, buffer)?;
            let left_room = taken > 0 && buffer.len() < buffer.capacity();
            // What arrived since this closure began makes the stream ready again (edge-triggered `epoll`).
            if left_room {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(taken)
            }
        });
        match read {
            Err(error) if taken > 0 && error.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            read => read,
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TcpStream::try_write_vectored(self, slices)
    }

    fn try_write_vectored_more(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            Ok(rustix::net::sendmsg(
                self,
                slices,
                &mut SendAncillaryBuffer::default(),
                flags,
            )?)
        })
    }

    fn try_write_file(&self, part: &FileRecords, most: usize) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || {
            let mut position = part.position;
            Ok(rustix::fs::sendfile(
                self,
                &part.file,
                Some(&mut position),
                part.length.min(most),
            )?)
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use protocol_compat::messages::output::Piece;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::network::output::WriteQueue;

    use super::*;

    #[tokio::test]
    async fn a_last_read_ends_readiness_until_more_comes_or_the_peer_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound"))
            .await
            .expect("it listens");
        let (stream, _) = TcpListener::accept(&listener).await.expect("a client");
        let is_ready = || stream.ready(Interest::READABLE).now_or_never().is_some();
        let mut buffer = BytesMut::with_capacity(8);
        for _ in 0..2 {
            client.write_all(b"some").await.expect("connected");
            stream.readable().await.expect("connected");
            buffer.clear();
            assert_eq!(stream.try_read_last_buf(&mut buffer).expect("bytes"), 4);
            assert!(!is_ready(), "everything was read");
        }
        client.write_all(b"twelve bytes").await.expect("connected");
        stream.readable().await.expect("connected");
        buffer = BytesMut::with_capacity(8);
        let room = buffer.capacity();
        assert_eq!(stream.try_read_last_buf(&mut buffer).expect("bytes"), room);
        assert!(is_ready(), "the buffer was filled");
        buffer.clear();
        assert_eq!(stream.try_read_last_buf(&mut buffer).expect("bytes"), 12 - room);
        drop(client);
        stream.readable().await.expect("the peer has closed");
        assert_eq!(stream.try_read_last_buf(&mut buffer).expect("the end"), 0);
    }

    #[tokio::test]
    async fn a_part_of_a_file_arrives_between_what_stands_around_it() {
        let content: Vec<u8> = (0..6_000_000u32).map(|number| (number / 3) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, &content).expect("room");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound"))
            .await
            .expect("it listens");
        let (stream, _) = TcpListener::accept(&listener).await.expect("a client");
        let mut queue = WriteQueue::default();
        let part = FileRecords {
            file: Arc::new(file),
            position: 70_001,
            length: 5_000_000,
        };
        let text = |text: &'static [u8]| Piece::Bytes(Bytes::from_static(text));
        queue.push(vec![text(b"head"), Piece::File(part), text(b"tail")]);
        let send = async {
            while !queue.is_empty() {
                stream.writable().await.expect("connected");
                queue.write_to(&stream, usize::MAX).expect("connected");
            }
        };
        let mut received = vec![0; 4 + 5_000_000 + 4];
        let (_, read) = tokio::join!(send, client.read_exact(&mut received));
        read.expect("all of it");
        let expected = [&b"head"[..], &content[70_001..5_070_001], b"tail"].concat();
        assert!(received == expected, "other bytes arrived");
    }
}
