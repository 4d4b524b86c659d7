//! What the network promises to both ends.

use broker::network::transport::ByteStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::time::Instant;

use super::*;

async fn pair(net: &SimNet) -> (SimStream, NodeStream) {
    let listener = net.listen();
    let client = net.connect().await.unwrap();
    let (node, _) = listener.accept().await.unwrap();
    std::mem::forget(listener);
    (client, node)
}

async fn read(node: &NodeStream) -> io::Result<Vec<u8>> {
    node.ready(Interest::READABLE).await?;
    let mut buffer = bytes::BytesMut::with_capacity(100);
    node.try_read_buf(&mut buffer)?;
    Ok(buffer.to_vec())
}

#[tokio::test(start_paused = true)]
async fn what_is_written_arrives_in_order_after_the_latency() {
    let (mut client, node) = pair(&SimNet::new(1)).await;
    let begun = Instant::now();
    client.write_all(b"one").await.unwrap();
    client.write_all(b"two").await.unwrap();
    assert_eq!(read(&node).await.unwrap(), b"onetwo");
    assert!(begun.elapsed() >= Duration::from_micros(20));
    node.try_write_vectored(&[io::IoSlice::new(b"an"), io::IoSlice::new(b"swer")])
        .unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_reset_reaches_both_ends() {
    let net = SimNet::new(2);
    let (mut client, node) = pair(&net).await;
    client.write_all(b"lost").await.unwrap();
    assert_eq!(net.disturb(LinkFault::Reset, false), 1);
    assert_eq!(
        read(&node).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        client.write_all(b"x").await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_takes_bytes_that_never_arrive() {
    let net = SimNet::new(3);
    let (mut client, node) = pair(&net).await;
    net.disturb(LinkFault::HalfOpen, true);
    client.write_all(b"lost").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(3600), read(&node)).await;
    assert!(waited.is_err());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_read_from_cannot_write_for_ever() {
    let (mut client, node) = pair(&SimNet::new(4)).await;
    let large = vec![7; 200 << 10];
    let writing = tokio::time::timeout(Duration::from_secs(1), client.write_all(&large)).await;
    assert!(writing.is_err());
    assert!(!read(&node).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_is_read_to_its_end() {
    let (mut client, node) = pair(&SimNet::new(5)).await;
    client.write_all(b"last").await.unwrap();
    drop(client);
    assert_eq!(read(&node).await.unwrap(), b"last");
    assert_eq!(read(&node).await.unwrap(), b"");
    assert!(node.try_write_vectored(&[io::IoSlice::new(b"x")]).is_err());
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_after_the_node_died() {
    let net = SimNet::new(6);
    let (mut client, _node) = pair(&net).await;
    net.node_died();
    assert!(client.read_u8().await.is_err());
    let refused = net.connect().await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}
