//! Connections from this process to itself, with a chosen congestion control.
//!
//! An accepted connection takes over the listener's setting, and the data's sender decides which one counts: both ends get
//! the same here.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};

use super::error::{BenchError, Doing};

/// The setting that is measured beside the machine's own: what most Linux machines have.
const USUAL: &str = "cubic";

/// A congestion control that this process can set.
#[derive(Clone, Debug)]
pub struct Congestion {
    /// The kernel's name.
    pub name: String,
}

/// The machine's own setting and the usual one, as far as they may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The machine's own first.
    pub settings: Vec<Congestion>,
    /// Why one is not there.
    pub notes: Vec<String>,
}

impl Settings {
    /// Tries them on a socket.
    ///
    /// # Errors
    /// If there is no loopback interface.
    pub fn of_this_machine() -> Result<Self, BenchError> {
        let socket = listener()?;
        let default = tcp_congestion(&socket).doing("ask for the congestion control")?;
        let mut found = Self {
            settings: vec![Congestion {
                name: default.clone(),
            }],
            notes: Vec::new(),
        };
        if default == USUAL {
            return Ok(found);
        }
        match set_tcp_congestion(&socket, USUAL) {
            Ok(()) => found.settings.push(Congestion {
                name: USUAL.to_owned(),
            }),
            Err(cause) => found
                .notes
                .push(format!("{USUAL} is not measured, it may not be set: {cause}")),
        }
        Ok(found)
    }
}

/// Both ends of a new connection on 127.0.0.1, without Nagle's delay.
///
/// # Errors
/// The system's.
pub fn connection(congestion: &Congestion) -> Result<(TcpStream, TcpStream), BenchError> {
    let listener = listener()?;
    set_tcp_congestion(&listener, &congestion.name).doing("set the congestion control")?;
    let address = listener.local_addr().doing("ask for a port")?;
    let connecting = TcpStream::connect(address).doing("connect to 127.0.0.1")?;
    set_tcp_congestion(&connecting, &congestion.name).doing("set the congestion control")?;
    let (accepted, peer) = listener.accept().doing("accept a connection")?;
    if peer != connecting.local_addr().doing("ask for a port")? {
        let stranger = std::io::Error::other("another process connected");
        return Err(stranger).doing("accept the probe's own connection");
    }
    for end in [&connecting, &accepted] {
        end.set_nodelay(true).doing("set TCP_NODELAY")?;
    }
    Ok((connecting, accepted))
}

fn listener() -> Result<TcpListener, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listen on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_have_the_setting_and_stay_on_the_loopback() {
        for congestion in Settings::of_this_machine().expect("settings").settings {
            let (one, other) = connection(&congestion).expect("a connection");
            for end in [&one, &other] {
                assert_eq!(tcp_congestion(end).expect("a name"), congestion.name);
                assert!(end.peer_addr().expect("an address").ip().is_loopback());
            }
        }
    }
}
