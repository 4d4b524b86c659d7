//! Ports for nodes and their metrics, that the kernel gives to nothing else between the asking and the listening.
//!
//! Programs that listen on a port of their own choice, and scripts with a fixed one, are not kept away: only what listens already
//! is passed over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first of the ports given out.
const FIRST: u32 = 10_240;
/// How many are given out. The last lies below 32,768: from there on the kernel gives every connection that is made, and every
/// listener that asks for any port, one of its own choice (`net.ipv4.ip_local_port_range`, see ip(7)). A port of that range
/// that was free a moment ago is the near end of a client's connection the next.
const COUNT: u32 = 16_384;
/// How far apart two processes with neighbouring ids begin.
const APART: u32 = 101;

/// An address of the loopback whose port nothing listens on. This process gets each once, until all were given.
///
/// # Errors
/// The system's; `AddrInUse` if all are taken.
pub fn free_address() -> io::Result<SocketAddr> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let begin = process::id().wrapping_mul(APART);
    for _ in 0..COUNT {
        let nth = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + nth % COUNT).map_err(io::Error::other)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound?.local_addr(),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_port_is_free_given_once_and_not_one_that_the_kernel_gives_to_connections() {
        let mut given = HashSet::new();
        let mut last = 0;
        for _ in 0..200 {
            last = free_address().expect("a port").port();
            assert!(last < 32_768, "{last}");
            assert!(given.insert(last), "{last} twice");
        }
        // Those that would come next are taken, by these or by others.
        let following = last + 1..=last + 50;
        let _taken: Vec<_> = following
            .clone()
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .collect();
        let next = free_address().expect("a port").port();
        assert!(!following.contains(&next), "{next} is listened on");
    }
}
