//! A Kafka client for one node: frames out, frames in, with a deadline in virtual time.
//!
//! Whatever goes wrong between sending and the answer, the outcome is unknown and the connection is given up; the next
//! request makes another one. Answers come in the order of the requests, and a frame that is not the awaited one or does
//! not decode is a violation, for the network loses and delays but never alters.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::check::violation::Violation;
use crate::net::SimStream;
use crate::world::World;

/// Longer than any answer of the node's may take while nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
/// No answer is that long: every fetch says how much it takes.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: no node listens.
    NotSent,
    /// It may have been done or not.
    Unknown,
}

/// A client. Dropped with its connection when the node's life ends.
pub struct Client {
    world: World,
    name: String,
    patience: Duration,
    connection: Option<Connection>,
}

struct Connection {
    stream: SimStream,
    next_correlation_id: i32,
    awaited: VecDeque<i32>,
}

impl Client {
    /// A client that connects when it has something to send.
    pub fn new(world: &World, name: &str) -> Client {
        Client {
            world: world.clone(),
            name: name.to_owned(),
            patience: PATIENCE,
            connection: None,
        }
    }

    /// Waits that long for an answer, in place of 20 s.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Gives up the connection, as a client does that is closed.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Nothing was sent, or nothing came back.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, Failure> {
        self.send(version, request, true).await?;
        self.receive::<R>(version).await
    }

    /// Sends a request. Its answer, if one `is_answered`, must be received in turn.
    ///
    /// # Errors
    /// Nothing was sent, or perhaps a part.
    pub async fn send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        is_answered: bool,
    ) -> Result<(), Failure> {
        let frame = |correlation_id| encode(&self.name, version, correlation_id, request);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection {
                stream: timeout(self.patience, self.world.connect(&self.name))
                    .await
                    .map_err(|_| Failure::NotSent)?
                    .map_err(|_| Failure::NotSent)?,
                next_correlation_id: 1,
                awaited: VecDeque::new(),
            },
        };
        let correlation_id = connection.next_correlation_id;
        connection.next_correlation_id += 1;
        let written = timeout(self.patience, connection.stream.write_all(&frame(correlation_id))).await;
        if !matches!(written, Ok(Ok(()))) {
            return Err(Failure::Unknown);
        }
        if is_answered {
            connection.awaited.push_back(correlation_id);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Receives the answer to the oldest request that has none yet.
    ///
    /// # Errors
    /// It did not come.
    pub async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, Failure> {
        let mut connection = self.connection.take().ok_or(Failure::Unknown)?;
        let awaited = connection.awaited.pop_front().ok_or(Failure::Unknown)?;
        let frame = match timeout(self.patience, read_frame(&mut connection.stream)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) => return Err(Failure::Unknown),
            Err(_) => {
                self.world.trace(format_args!(
                    "{} waited in vain for api key {}",
                    self.name,
                    R::KEY
                ));
                return Err(Failure::Unknown);
            }
        };
        match decode::<R>(frame, version, awaited) {
            Ok(response) => {
                self.connection = Some(connection);
                Ok(response)
            }
            Err(what) => {
                let what = format!(
                    "{}: the answer to api key {} v{version}: {what}",
                    self.name,
                    R::KEY
                );
                let violation = Violation::new("G11", "garbled-answer", what);
                self.world.history().borrow_mut().violated(violation);
                Err(Failure::Unknown)
            }
        }
    }
}

fn encode<R: Request>(client: &str, version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client.to_owned())));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header
        .encode(&mut frame, R::header_version(version))
        .and_then(|()| request.encode(&mut frame, version))
        .expect("a request of our own can be encoded");
    let length = u32::try_from(frame.len() - 4).expect("a request is below 4 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

async fn read_frame(stream: &mut SimStream) -> std::io::Result<Bytes> {
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(usize::MAX);
    if length > MAX_FRAME_BYTES {
        return Err(std::io::Error::other("frame length"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(Bytes::from(frame))
}

fn decode<R: Request>(mut frame: Bytes, version: i16, awaited: i32) -> Result<R::Response, String> {
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))
        .map_err(|error| format!("header: {error}"))?;
    if header.correlation_id != awaited {
        return Err(format!(
            "has correlation id {}, not {awaited}",
            header.correlation_id
        ));
    }
    let response = R::Response::decode(&mut frame, version).map_err(|error| error.to_string())?;
    match frame.len() {
        0 => Ok(response),
        left => Err(format!("{left} bytes are left")),
    }
}
