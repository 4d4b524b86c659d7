//! The two ends of a connection, as the node and as a client use them.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use broker::network::SocketSettings;
use broker::network::transport::ByteStream;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::time::{Instant, Sleep};

use super::NODE;
use super::pipe::{End, Link};

/// Read at a time by the node where its buffer has more room.
const READ_BYTES: usize = 64 << 10;

/// The node's end.
pub struct NodeStream(Arc<Link>);

impl NodeStream {
    pub(super) fn new(link: Arc<Link>) -> NodeStream {
        NodeStream(link)
    }
}

impl ByteStream for NodeStream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let mut arrival = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        poll_fn(|context| {
            let mut ready = Ready::EMPTY;
            if interest.is_readable()
                && poll_readable(&self.0, End::Node, arrival.as_mut(), context).is_ready()
            {
                ready |= Ready::READABLE;
            }
            if interest.is_writable() && self.0.poll_writable(End::Node, context).is_ready() {
                ready |= Ready::WRITABLE;
            }
            if ready.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(ready))
            }
        })
        .await
    }

    fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        self.0.try_read(End::Node, buffer, room.min(READ_BYTES))
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(End::Node, slices)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(NODE)
    }

    fn prepare(&self, _: &SocketSettings, _: SocketAddr, _: SocketAddr) {}
}

impl Drop for NodeStream {
    fn drop(&mut self) {
        self.0.close(End::Node);
    }
}

/// A client's end.
pub struct SimStream {
    link: Arc<Link>,
    arrival: Pin<Box<Sleep>>,
}

impl SimStream {
    pub(super) fn new(link: Arc<Link>) -> SimStream {
        SimStream {
            link,
            arrival: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let link = self.link.clone();
        ready!(poll_readable(&link, End::Client, self.arrival.as_mut(), context));
        let mut read = BytesMut::new();
        link.try_read(End::Client, &mut read, buffer.remaining())?;
        buffer.put_slice(&read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.link.poll_writable(End::Client, context));
        Poll::Ready(self.link.try_write(End::Client, &[IoSlice::new(bytes)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.close(End::Client);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.link.close(End::Client);
    }
}

/// Waits for bytes that are under way, or for somebody to send some.
fn poll_readable(link: &Link, end: End, mut arrival: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
    loop {
        let (readable, at) = link.poll_readable(end, context);
        let Some(at) = at else { return readable };
        if arrival.deadline() != at {
            arrival.as_mut().reset(at.max(Instant::now()));
        }
        ready!(arrival.as_mut().poll(context));
    }
}
