//! The address of a broker as one client shall use it.

use metadata::image::BrokerImage;

use crate::request::RequestContext;

/// Host and port of `broker` on the listener over which the client came; `None` when the broker has no such listener.
/// A broker that advertises nothing is reached at the address that the client used.
pub fn broker_address(broker: &BrokerImage, context: &RequestContext) -> Option<(String, i32)> {
    let endpoint = broker.endpoint(&context.listener)?;
    if endpoint.host.is_empty() {
        let used = context.local;
        return Some((used.ip().to_canonical().to_string(), i32::from(used.port())));
    }
    Some((endpoint.host.to_string(), i32::from(endpoint.port)))
}
