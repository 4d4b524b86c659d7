//! A request on its way to a handler, and what the handler gives back.
//!
//! Both the network and the handlers speak of these; neither knows the other. A handler never sees a socket, and the
//! network never a message.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use protocol_compat::messages::FetchResponse;
use protocol_compat::messages::output::Piece;
use protocol_compat::{
    ApiKey, DecodeError, EncodeError, ErrorCode, ErrorCodes, RequestMessage, ResponseMessage, decode_request,
    encode_again, encode_fetch_response, encode_response,
};
use storage::stages::{self, Stage};
use thiserror::Error;

/// Who asks, over which connection, and for which version of which API.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The API.
    pub api_key: ApiKey,
    /// Its version: a served one, but for ApiVersions, which answers every version.
    pub version: i16,
    /// What the answer repeats.
    pub correlation_id: i32,
    /// The client's `client.id`; empty and missing are the same to Kafka.
    pub client_id: Option<Arc<str>>,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client used.
    pub local: SocketAddr,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Differs for every connection of the process.
    pub connection_id: u64,
    /// When its handling began, milliseconds since 1970.
    pub received_ms: i64,
    /// Who the client is: `User:ANONYMOUS` without authentication.
    pub principal: Arc<str>,
    /// Whether the connection's next request has arrived as well.
    pub more_follows: bool,
}

impl RequestContext {
    /// The body's message.
    ///
    /// # Errors
    /// What the handler returns at once: Kafka closes the connection on a body that it cannot read.
    pub fn decode<R: RequestMessage>(&self, body: Bytes) -> Result<R, Handled> {
        let _decode = stages::enter(Stage::Decode);
        decode_request(self.version, body).map_err(|error| {
            Handled::Close(CloseReason::Undecodable {
                api_key: self.api_key,
                error,
            })
        })
    }

    /// The answer at the request's version.
    pub fn respond<M: ResponseMessage + ErrorCodes>(&self, message: &M) -> ResponseFrame {
        self.respond_at(self.version, message)
    }

    /// The answer at another version than the request's: ApiVersions answers what it does not know at version 0.
    pub fn respond_at<M: ResponseMessage + ErrorCodes>(&self, version: i16, message: &M) -> ResponseFrame {
        let _encode = stages::enter(Stage::Encode);
        ResponseFrame {
            pieces: encode_response(version, self.correlation_id, message)
                .map(|frame| vec![frame.into()])
                .map_err(NoFrame::from),
            api_key: self.api_key,
            errors: errors_of(version, message),
        }
    }

    /// An answer that another request of the same version had: what stood behind its correlation id, not copied.
    pub fn respond_again(&self, rest: Bytes) -> ResponseFrame {
        let _encode = stages::enter(Stage::Encode);
        ResponseFrame {
            pieces: encode_again(self.correlation_id, rest).map_err(NoFrame::from),
            api_key: self.api_key,
            errors: Vec::new(),
        }
    }

    /// The answer to a fetch, its records not copied.
    pub fn respond_fetch(&self, response: &FetchResponse) -> ResponseFrame {
        let _encode = stages::enter(Stage::Encode);
        ResponseFrame {
            pieces: encode_fetch_response(self.version, self.correlation_id, response).map_err(NoFrame::from),
            api_key: self.api_key,
            errors: errors_of(self.version, response),
        }
    }
}

#[cfg(test)]
impl RequestContext {
    /// A client on this machine.
    pub fn for_test(api_key: ApiKey, version: i16) -> RequestContext {
        RequestContext {
            api_key,
            version,
            correlation_id: 3,
            client_id: None,
            peer: SocketAddr::from(([127, 0, 0, 1], 50_000)),
            local: SocketAddr::from(([127, 0, 0, 1], 9092)),
            listener: "PLAINTEXT".into(),
            connection_id: 1,
            received_ms: 0,
            principal: "User:ANONYMOUS".into(),
            more_follows: false,
        }
    }
}

/// The codes other than success, each with how often it stands in the response. Allocates nothing for a success.
fn errors_of(version: i16, response: &impl ErrorCodes) -> Vec<(ErrorCode, u64)> {
    let mut errors: Vec<(ErrorCode, u64)> = Vec::new();
    response.visit_error_codes(version, |code| {
        if code == 0 {
            return;
        }
        let code = ErrorCode::from_code(code);
        match errors.iter_mut().find(|(counted, _)| *counted == code) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => errors.push((code, 1)),
        }
    });
    errors
}

/// Why there is nothing to be sent, and the connection is closed.
#[derive(Debug, Error)]
pub enum NoFrame {
    /// The answer could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The request says so.
    #[error(transparent)]
    Close(#[from] CloseReason),
}

/// A whole response, ready to be sent.
#[derive(Debug)]
pub struct ResponseFrame {
    /// Its bytes in pieces, length prefix included; or why it could not be encoded, which closes the connection and is
    /// a fault of this broker. None for a client that wants no answer.
    pub pieces: Result<Vec<Piece>, NoFrame>,
    /// The API that it answers.
    pub api_key: ApiKey,
    /// Its error codes, each with how often it stands in the response; empty where all succeeded.
    pub errors: Vec<(ErrorCode, u64)>,
}

impl ResponseFrame {
    /// What stands for the answer where the client wants none, of a request that has waited.
    pub fn without_answer(api_key: ApiKey, outcome: Result<(), CloseReason>) -> ResponseFrame {
        ResponseFrame {
            pieces: outcome.map(|()| Vec::new()).map_err(NoFrame::from),
            api_key,
            errors: Vec::new(),
        }
    }

    /// Its length; 0 where it could not be encoded.
    pub fn bytes(&self) -> usize {
        self.pieces
            .as_ref()
            .map_or(0, |pieces| pieces.iter().map(Piece::len).sum())
    }
}

#[cfg(test)]
impl ResponseFrame {
    /// All bytes of an answer that has no part in a file.
    pub fn to_bytes(&self) -> Bytes {
        let pieces = self.pieces.as_ref().expect("an answer that can be written");
        let bytes = pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::File(part) => panic!("{part:?} is in a file"),
        });
        Bytes::from(bytes.collect::<Vec<_>>().concat())
    }
}

/// What a handler makes of a request.
pub enum Handled {
    /// The answer is ready.
    Now(ResponseFrame),
    /// The request took effect and its answer waits; the next request of the connection may begin. Answers leave in
    /// the order of requests all the same.
    Later(BoxFuture<'static, ResponseFrame>),
    /// The answer waits, and so does the next request, as with every request of Kafka.
    Exclusive(BoxFuture<'static, ResponseFrame>),
    /// The request has begun, and shares what is left to do with those that have arrived behind it: it is finished at once
    /// when they have begun too, and before any request that is not of this kind.
    Begun(Box<dyn FnOnce() -> Handled + Send>),
    /// The client wants no answer (Produce with `acks=0`).
    NoReply,
    /// The connection is closed once the answers before this request are written.
    Close(CloseReason),
}

/// Why the broker closes a connection on a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The header cannot be read, or names an API that Kafka does not have.
    #[error("request header: {0}")]
    Header(DecodeError),
    /// The API, or this version of it, is not served.
    #[error("{} version {version} is not served", api_key.name())]
    NotServed {
        /// The API.
        api_key: ApiKey,
        /// The version that was asked for.
        version: i16,
    },
    /// The body cannot be read.
    #[error("{} request: {error}", api_key.name())]
    Undecodable {
        /// The API.
        api_key: ApiKey,
        /// Why.
        error: DecodeError,
    },
    /// A Produce without an answer failed: closing is the only way to say so, as in Kafka.
    #[error("a produce request with acks=0 failed")]
    FailedWithoutReply,
}

/// Takes requests in the order in which a connection sent them. Called on the connection's task.
pub trait RequestHandler: Send + Sync + 'static {
    /// Begins a request, and finishes it where that needs no waiting.
    fn handle(&self, context: &RequestContext, body: Bytes) -> Handled;
}
