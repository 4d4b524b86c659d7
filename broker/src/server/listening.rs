//! The ports of a node: opened first, served when there is something to serve.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::error::StartError;
use crate::config::{Address, Listener, NetworkConfig, NodeConfig};
use crate::http::{self, HttpState};
use crate::network::transport::Acceptor;
use crate::network::{BoundListener, CongestionControl, ListenerSettings, Network, SocketSettings};

/// The congestion control for clients of the same machine; see [`CongestionControl`].
const LOOPBACK_CONGESTION_CONTROL: &str = "cubic";

/// Open ports that nobody is served on yet.
pub(super) struct BoundPorts<A = TcpListener> {
    kafka: Vec<BoundListener<A>>,
    http: Option<TcpListener>,
}

impl BoundPorts {
    /// Opens every port.
    ///
    /// # Errors
    /// The first listener that cannot bind. The HTTP port, if nobody asked for it, may be taken by another node: then this
    /// one has none, and says so.
    pub(super) fn open(config: &NodeConfig) -> Result<BoundPorts, StartError> {
        let mut kafka = Vec::new();
        for listener in &config.listeners {
            kafka.push(bind(listener, &config.network)?);
        }
        let http = match &config.metrics_listener {
            Some(address) => bind_http(address, config.metrics_listener_is_explicit)?,
            None => None,
        };
        Ok(BoundPorts { kafka, http })
    }
}

impl<A: Acceptor> BoundPorts<A> {
    /// Ports that are open already, without HTTP.
    pub(super) fn of(kafka: Vec<BoundListener<A>>) -> BoundPorts<A> {
        BoundPorts { kafka, http: None }
    }

    /// Where clients connect, by listener name.
    pub(super) fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.kafka
            .iter()
            .map(|bound| (bound.name().clone(), bound.local_addr()))
            .collect()
    }

    /// Serves every port until `stopping` becomes true.
    pub(super) fn serve(
        self,
        network: &Arc<Network>,
        http: &Arc<HttpState>,
        stopping: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks: Vec<JoinHandle<()>> = self
            .kafka
            .into_iter()
            .map(|bound| tokio::spawn(bound.serve(network.clone(), stopping.clone())))
            .collect();
        if let Some(listener) = self.http {
            tasks.push(tokio::spawn(http::serve(
                listener,
                http.clone(),
                stopping.clone(),
            )));
        }
        tasks
    }
}

fn bind(listener: &Listener, network: &NetworkConfig) -> Result<BoundListener, StartError> {
    let refused = |cause: io::Error| bind_error(&listener.name, &listener.bind, cause);
    let address = resolve(&listener.bind).map_err(refused)?;
    BoundListener::bind(ListenerSettings {
        name: listener.name.clone(),
        address,
        socket: SocketSettings {
            send_buffer_bytes: network.socket_send_buffer_bytes,
            receive_buffer_bytes: network.socket_receive_buffer_bytes,
            backlog: network.socket_listen_backlog_size,
            congestion_control: CongestionControl::Loopback(LOOPBACK_CONGESTION_CONTROL.to_owned()),
        },
    })
    .map_err(refused)
}

fn bind_http(address: &Address, is_explicit: bool) -> Result<Option<TcpListener>, StartError> {
    let bound = resolve(address).and_then(|address| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    match bound {
        Ok(listener) => {
            info!("metrics and health on http://{address}");
            Ok(Some(listener))
        }
        Err(cause) if is_explicit => Err(bind_error(&"metrics.listener".into(), address, cause)),
        Err(cause) => {
            info!("no metrics: {address} cannot be bound ({cause}); metrics.listener chooses another port");
            Ok(None)
        }
    }
}

fn bind_error(name: &Arc<str>, address: &Address, cause: io::Error) -> StartError {
    let (name, address) = (name.clone(), address.clone());
    if cause.kind() == io::ErrorKind::AddrInUse {
        StartError::PortInUse { name, address }
    } else {
        StartError::Bind { name, address, cause }
    }
}

/// An empty host is every interface, of both versions of IP where the machine has them.
fn resolve(address: &Address) -> io::Result<SocketAddr> {
    if address.host.is_empty() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], address.port)));
    }
    let found = (address.host.as_str(), address.port).to_socket_addrs()?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address"))
}

/// Limits by IP address; a host name counts for every address that it has now.
pub(super) fn addresses_of(limits: &BTreeMap<String, usize>) -> HashMap<IpAddr, usize> {
    let mut by_address = HashMap::new();
    for (host, limit) in limits {
        match (host.as_str(), 0).to_socket_addrs() {
            Ok(found) => by_address.extend(found.map(|address| (address.ip(), *limit))),
            Err(cause) => warn!(host, %cause, "a host of max.connections.per.ip.overrides is unknown"),
        }
    }
    by_address
}
