//! What prepares a load, one request at a time: which versions the broker serves, topics, the first batch of a partition.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use protocol_compat::ErrorCode;

use super::answers::{self, TopicFound};
use super::buffers::answer_length;
use super::error::{LoadError, Malformed};
use super::requests::{self, Frame, VERSIONS};
use super::tally::error_name;

/// How long the broker may take over one request, or over leading a new partition.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A new topic's leaders are not there yet.
const NOT_YET: [ErrorCode; 3] = [
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::LeaderNotAvailable,
    ErrorCode::NotLeaderOrFollower,
];

/// A blocking connection.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    stream: TcpStream,
    correlation_id: i32,
}

/// A connection that nothing was asked on yet.
///
/// # Errors
/// The system's.
pub fn connect(address: SocketAddr) -> Result<TcpStream, LoadError> {
    TcpStream::connect(address).map_err(|cause| LoadError::Connection {
        doing: format!("connect to {address}"),
        cause,
    })
}

impl Control {
    /// Connects, and makes sure that the broker serves every version that loads are made of.
    ///
    /// # Errors
    /// [`LoadError::Version`] if it does not.
    pub fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        let mut control = Self {
            address,
            stream: connect(address)?,
            correlation_id: 0,
        };
        let doing = || format!("prepare the connection to {address}");
        let prepared = control
            .stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| control.stream.set_nodelay(true));
        prepared.map_err(|cause| LoadError::Connection {
            doing: doing(),
            cause,
        })?;
        control.refuse_missing_versions()?;
        Ok(control)
    }

    /// The connection by itself.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn refuse_missing_versions(&mut self) -> Result<(), LoadError> {
        let mut request = requests::api_versions();
        let (error, served) = self.ask(&mut request, answers::api_versions)?;
        answered(error, || "say which versions it serves".to_owned(), "")?;
        for (api, version) in VERSIONS {
            let range = served.iter().find(|(key, ..)| *key == api.code());
            if !range.is_some_and(|(_, low, high)| (*low..=*high).contains(&version)) {
                return Err(LoadError::Version {
                    request: api.name(),
                    version,
                    served: range.map_or("none".to_owned(), |(_, low, high)| format!("{low} to {high}")),
                });
            }
        }
        Ok(())
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If there is none within [`PATIENCE`], or it is not one.
    pub fn ask<T>(
        &mut self,
        request: &mut Frame,
        read: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, LoadError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        request.set_correlation_id(self.correlation_id);
        let name = request.name();
        let doing = |cause| LoadError::Connection {
            doing: format!("ask {} for {name}", self.address),
            cause,
        };
        let malformed = |cause| LoadError::Malformed { request: name, cause };
        self.stream.write_all(request.bytes()).map_err(doing)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(doing)?;
        let length = answer_length(length).map_err(malformed)?;
        let mut answer = Vec::new();
        let read_bytes = (&mut self.stream).take(length as u64).read_to_end(&mut answer);
        if read_bytes.map_err(doing)? < length {
            return Err(malformed(Malformed::Truncated));
        }
        let found = answer.first_chunk().map(|id| i32::from_be_bytes(*id));
        if found != Some(self.correlation_id) {
            return Err(malformed(Malformed::CorrelationId {
                expected: self.correlation_id,
                found: found.unwrap_or(0),
            }));
        }
        read(&answer).map_err(malformed)
    }

    /// A topic, if it exists.
    ///
    /// # Errors
    /// What the broker answers but that it does not know it.
    pub fn topic(&mut self, name: &str) -> Result<Option<TopicFound>, LoadError> {
        let topics = self.ask(&mut requests::metadata(Some(name)), answers::topics)?;
        let Some(topic) = topics.into_iter().find(|topic| topic.name == name) else {
            return Ok(None);
        };
        if ErrorCode::from_code(topic.error) == ErrorCode::UnknownTopicOrPartition {
            return Ok(None);
        }
        answered(topic.error, || format!("describe the topic {name}"), "")?;
        Ok(Some(topic))
    }

    /// Creates a topic of one replica.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        keys: &[(&str, &str)],
    ) -> Result<(), LoadError> {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let mut request = requests::create_topic(name, partitions, keys);
        let (error, message) = self.ask(&mut request, answers::create_topic)?;
        answered(error, || format!("create the topic {name}"), &message)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), LoadError> {
        let error = self.ask(&mut requests::delete_topic(name), answers::delete_topic)?;
        answered(error, || format!("delete the topic {name}"), "")
    }

    /// Produces one batch, again and again while the broker does not lead the new partition: Apache Kafka answers
    /// CreateTopics before it does. Gives the batch's first offset.
    ///
    /// # Errors
    /// Any other error that the broker answers, and these after [`PATIENCE`].
    pub fn produce_once_led(&mut self, request: &mut Frame, partition: i32) -> Result<i64, LoadError> {
        request.set_partition(partition);
        let began = Instant::now();
        loop {
            let found = self.ask(request, answers::produce)?;
            match (found.errors.first(), found.base_offset) {
                (None, Some(offset)) => return Ok(offset),
                (None, None) => {
                    return Err(LoadError::Malformed {
                        request: request.name(),
                        cause: Malformed::Truncated,
                    });
                }
                (Some(code), _)
                    if NOT_YET.contains(&ErrorCode::from_code(*code)) && began.elapsed() < PATIENCE => {}
                (Some(code), _) => {
                    answered(*code, || format!("take a batch for partition {partition}"), "")?;
                }
            }
        }
    }
}

fn answered(code: i16, doing: impl FnOnce() -> String, message: &str) -> Result<(), LoadError> {
    if code == 0 {
        return Ok(());
    }
    let separator = if message.is_empty() { "" } else { ": " };
    Err(LoadError::Answered {
        doing: doing(),
        error: format!("{}{separator}{message}", error_name(code)),
    })
}
