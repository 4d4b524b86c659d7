//! Texts of group requests on their way between the wire and the coordinator.
//!
//! On the wire a text shares the memory of its frame; in the coordinator it outlives the frame and is shared among rows.

use std::net::IpAddr;
use std::sync::Arc;

use protocol_compat::messages::StrBytes;

/// A text that outlives its frame.
pub fn owned(text: &StrBytes) -> Arc<str> {
    Arc::from(&**text)
}

/// The same for a text that may be null.
pub fn owned_option(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(owned)
}

/// A text for an answer.
pub fn wire(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The same for a text that may be null.
pub fn wire_option(text: Option<&Arc<str>>) -> Option<StrBytes> {
    text.map(|text| wire(text))
}

/// A client's address as Kafka shows it for a member: Java's `InetAddress.toString` without a name.
pub fn client_host(address: IpAddr) -> Arc<str> {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}").into(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            format!("/{}", groups.join(":")).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_as_in_java() {
        assert_eq!(&*client_host("127.0.0.1".parse().unwrap()), "/127.0.0.1");
        assert_eq!(&*client_host("::ffff:10.0.0.1".parse().unwrap()), "/10.0.0.1");
        assert_eq!(&*client_host("::1".parse().unwrap()), "/0:0:0:0:0:0:0:1");
    }
}
