//! Sends the steps of a case to a broker and gives the comparable answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol_compat::{ApiKey, ErrorCode};
use serde_json::{Value, json};

use super::case::{Action, Scenario, Step};
use super::normalise::{Words, normalise};
use crate::codec::{decode, encode, to_hex};
use crate::connection::{Answer, Connection};
use crate::schema::{self, Direction};

/// How long "not yet" may last.
const SETTLING: Duration = Duration::from_secs(30);

/// How often each error code stood in the answers, by the API's name and the code's.
pub type ErrorCounts = BTreeMap<(&'static str, &'static str), u64>;

/// Runs one scenario at one version and adds the error codes of every answer to `errors`.
pub fn run(
    address: SocketAddr,
    scenario: &Scenario,
    version: i16,
    errors: &mut ErrorCounts,
) -> Result<Vec<Value>, String> {
    let mut run = Run {
        address,
        errors,
        connections: BTreeMap::new(),
        words: vec![("own".to_owned(), scenario.own_prefix(version))],
    };
    let mut answers = Vec::new();
    for (number, step) in (scenario.steps)(version).iter().enumerate() {
        let answer = run.step(step).map_err(|why| format!("step {number}: {why}"))?;
        answers.extend(answer);
    }
    Ok(answers)
}

struct Run<'a> {
    address: SocketAddr,
    errors: &'a mut ErrorCounts,
    connections: BTreeMap<usize, Connection>,
    words: Words,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<Option<Value>, String> {
        let deadline = Instant::now() + SETTLING;
        let (api, answer) = loop {
            let (api, answer) = self.exchange(step).map_err(|error| error.to_string())?;
            let again = error_codes(&answer)
                .iter()
                .any(|code| step.retry_on.contains(code));
            if !again {
                break (api, answer);
            }
            if Instant::now() > deadline {
                return Err(format!("did not settle: {answer}"));
            }
        };
        if !step.awaits_answer {
            return Ok(None);
        }
        for (name, pointer) in &step.captures {
            let value = answer
                .pointer(pointer)
                .ok_or_else(|| format!("nothing at {pointer} in {answer}"))?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.words.push(((*name).to_owned(), text));
        }
        if step.is_compared {
            let own = self
                .words
                .first()
                .filter(|_| step.only_own)
                .map(|(_, own)| own.as_str());
            return Ok(Some(normalise(api, &answer, &self.words, own)));
        }
        match error_codes(&answer).iter().find(|code| **code != 0) {
            Some(_) => Err(format!("the set-up failed: {answer}")),
            None => Ok(None),
        }
    }

    fn exchange(&mut self, step: &Step) -> io::Result<(&'static str, Value)> {
        let words = self.words.clone();
        if !self.connections.contains_key(&step.connection) {
            self.connections
                .insert(step.connection, Connection::open(self.address)?);
        }
        let connection = self
            .connections
            .get_mut(&step.connection)
            .ok_or_else(|| io::Error::other("no connection"))?;
        let (api, api_key, version) = match &step.action {
            Action::Call { api, version, body } => {
                let message =
                    schema::message(Direction::Request, api).ok_or_else(|| io::Error::other(*api))?;
                let body = encode(message, *version, &substituted(body, &words));
                connection.send(message.api_key, *version, &body)?;
                (*api, message.api_key, *version)
            }
            Action::Raw {
                api_key,
                version,
                body,
            } => {
                connection.send(*api_key, *version, body)?;
                (
                    ApiKey::from_code(*api_key).map_or("", ApiKey::name),
                    *api_key,
                    *version,
                )
            }
            Action::Bytes(bytes) => {
                connection.send_bytes(bytes)?;
                // Where such bytes are answered at all, they were an ApiVersions request.
                ("ApiVersions", 18, 0)
            }
            Action::Receive { api, version } => {
                let message =
                    schema::message(Direction::Request, api).ok_or_else(|| io::Error::other(*api))?;
                (*api, message.api_key, *version)
            }
        };
        if !step.awaits_answer {
            return Ok((api, Value::Null));
        }
        let answer = match connection.receive()? {
            Answer::Closed => json!("closed"),
            Answer::Silence => json!("no answer"),
            Answer::Frame(frame) => decoded(api_key, version, &frame),
        };
        if answer == "closed" {
            self.connections.remove(&step.connection);
        }
        for code in error_codes(&answer).into_iter().filter(|code| *code != 0) {
            let code = ErrorCode::from_code(i16::try_from(code).unwrap_or(-1));
            *self.errors.entry((api, code.name())).or_default() += 1;
        }
        Ok((api, answer))
    }
}

/// The decoded body of a response, or its bytes where they are not what the version says. An ApiVersions request of an
/// unknown version is answered in version 0 (KIP-511).
pub fn decoded(api_key: i16, version: i16, frame: &[u8]) -> Value {
    let undecoded = |why: &str| json!({ "undecodable": why, "bytes": to_hex(frame) });
    let Some(message) = schema::response_by_key(api_key) else {
        return undecoded("unknown API");
    };
    let known = message.versions.contains(version);
    let (version, is_fallback) = if known { (version, false) } else { (0, true) };
    let flexible_header =
        ApiKey::from_code(api_key).is_some_and(|key| key.response_header_version(version) == 1);
    let header = if flexible_header { 5 } else { 4 };
    let Some(body) = frame.get(header..) else {
        return undecoded("short header");
    };
    match decode(message, version, body) {
        Ok(value) if is_fallback => json!({ "version 0": value }),
        Ok(value) => value,
        Err(why) => undecoded(&why.0),
    }
}

fn error_codes(answer: &Value) -> Vec<i64> {
    match answer {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_i64() {
                Some(code) if name.ends_with("ErrorCode") => vec![code],
                _ => error_codes(value),
            })
            .collect(),
        Value::Array(elements) => elements.iter().flat_map(error_codes).collect(),
        _ => Vec::new(),
    }
}

/// `body` with every `{word}` replaced by what it stands for.
fn substituted(body: &Value, words: &Words) -> Value {
    match body {
        Value::String(text) if text.contains('{') => {
            let filled = words.iter().fold(text.clone(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            });
            json!(filled)
        }
        Value::Array(elements) => elements
            .iter()
            .map(|element| substituted(element, words))
            .collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), substituted(value, words)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Waits until the broker coordinates groups on every partition of `__consumer_offsets`: Kafka's own first second
/// answers with "loading" and "not the coordinator", which no case is about.
pub fn await_coordinators(address: SocketAddr, errors: &mut ErrorCounts) -> Result<(), String> {
    let groups: Vec<Value> = (0..400)
        .map(|number| json!({"GroupId": format!("warm-{number}"), "Topics": null}))
        .collect();
    let find = super::case::call(
        "FindCoordinator",
        4,
        json!({"KeyType": 0, "CoordinatorKeys": ["warm"]}),
    )
    .quiet()
    .retry_on(&[15]);
    let fetch = super::case::call("OffsetFetch", 8, json!({"Groups": groups}))
        .quiet()
        .retry_on(&[14, 15, 16]);
    let producer = super::case::call(
        "InitProducerId",
        4,
        json!({"TransactionalId": null, "TransactionTimeoutMs": 1000}),
    )
    .quiet()
    .retry_on(&[14, 15, 16]);
    let mut run = Run {
        address,
        errors,
        connections: BTreeMap::new(),
        words: Words::new(),
    };
    for step in [find, fetch, producer] {
        run.step(&step)
            .map_err(|why| format!("the broker at {address} is not ready: {why}"))?;
    }
    Ok(())
}
