//! One raw connection to a broker: frames out, frames in, no opinion about either.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use protocol_compat::ApiKey;
use serde_json::Value;

use crate::codec;
use crate::schema::{Direction, message};

/// A broker that says nothing for this long is a finding, not a slow machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The client id that every request carries; brokers build member ids from it.
pub const CLIENT_ID: &str = "differential";

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A response's bytes after the length.
    Frame(Vec<u8>),
    /// The broker closed the connection.
    Closed,
    /// Neither within the patience.
    Silence,
}

/// A TCP connection that counts its requests.
pub struct Connection {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            next_correlation_id: 1,
        })
    }

    /// Sends a request with the header of its version and gives its correlation id.
    pub fn send(&mut self, api_key: i16, version: i16, body: &[u8]) -> io::Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let mut frame = Vec::with_capacity(body.len() + 32);
        frame.extend(api_key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(correlation_id.to_be_bytes());
        frame.extend((CLIENT_ID.len() as i16).to_be_bytes());
        frame.extend(CLIENT_ID.as_bytes());
        if ApiKey::from_code(api_key).is_some_and(|key| key.is_flexible(version)) {
            frame.push(0);
        }
        frame.extend(body);
        self.send_frame(&frame)?;
        Ok(correlation_id)
    }

    /// Sends one request and reads its answer; `None` where none comes.
    pub fn ask(&mut self, api: &str, version: i16, body: &Value) -> io::Result<Option<Value>> {
        let of = |direction| message(direction, api).ok_or_else(|| io::Error::other(api.to_owned()));
        let (request, response) = (of(Direction::Request)?, of(Direction::Response)?);
        self.send(request.api_key, version, &codec::encode(request, version, body))?;
        let Answer::Frame(frame) = self.receive()? else {
            return Ok(None);
        };
        let header = if response.flexible.contains(version) { 5 } else { 4 };
        let body = frame.get(header..).unwrap_or_default();
        let answer = codec::decode(response, version, body).map_err(|why| io::Error::other(why.0))?;
        Ok(Some(answer))
    }

    /// Sends bytes as one frame.
    pub fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
        bytes.extend(frame);
        self.send_bytes(&bytes)
    }

    /// Sends bytes as they are. A connection that the broker has closed meanwhile shows at the next receive.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if is_closed(&error) => Ok(()),
            result => result,
        }
    }

    /// The next frame.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let mut length = [0; 4];
        match self.fill(&mut length)? {
            Answer::Frame(_) => {}
            other => return Ok(other),
        }
        let length = usize::try_from(i32::from_be_bytes(length));
        let mut frame = vec![0; length.map_err(|_| io::Error::other("negative frame length"))?];
        match self.fill(&mut frame)? {
            Answer::Frame(_) => Ok(Answer::Frame(frame)),
            other => Ok(other),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Answer> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Ok(Answer::Frame(Vec::new())),
            Err(error) if is_closed(&error) => Ok(Answer::Closed),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Answer::Silence)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}
