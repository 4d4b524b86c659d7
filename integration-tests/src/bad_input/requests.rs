//! Whole requests to begin with: every request that the differential suite sends, at every version.

use protocol_compat::ApiKey;
use serde_json::Value;

use crate::codec::encode;
use crate::connection::CLIENT_ID;
use crate::differential::case::Action;
use crate::differential::cases;
use crate::schema::{self, Direction};

/// Stands for every value that a case would have captured: a number, and an id in hexadecimal.
const CAPTURED: &str = "00000000000000000000000000000001";
/// In the place of a case's own prefix.
const OWN: &str = "bad";
/// The resource type of brokers: what is set for the node would reach those who behave.
const BROKER_RESOURCE: i64 = 4;

/// Every request as a frame without its length. Correlation ids are 0.
pub fn all() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for scenario in cases::all() {
        for version in scenario.versions.clone() {
            for step in (scenario.steps)(version) {
                frames.extend(frame(&step.action));
            }
        }
    }
    frames.sort();
    frames.dedup();
    frames
}

fn frame(action: &Action) -> Option<Vec<u8>> {
    match action {
        Action::Call { api, version, body } => {
            let message = schema::message(Direction::Request, api)?;
            let body = filled(body);
            if alters_broker(&body) {
                return None;
            }
            Some(framed(
                message.api_key,
                *version,
                &encode(message, *version, &body),
            ))
        }
        Action::Raw {
            api_key,
            version,
            body,
        } => Some(framed(*api_key, *version, body)),
        Action::Bytes(bytes) => bytes.get(4..).map(<[u8]>::to_vec),
        Action::Receive { .. } => None,
    }
}

fn alters_broker(body: &Value) -> bool {
    let resources = body.get("Resources").and_then(Value::as_array);
    resources.is_some_and(|all| all.iter().any(|one| one["ResourceType"] == BROKER_RESOURCE))
}

/// A request header and this body.
pub fn framed(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 32);
    frame.extend(api_key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(0i32.to_be_bytes());
    frame.extend((CLIENT_ID.len() as i16).to_be_bytes());
    frame.extend(CLIENT_ID.as_bytes());
    if ApiKey::from_code(api_key).is_some_and(|key| key.is_flexible(version)) {
        frame.push(0);
    }
    frame.extend(body);
    frame
}

/// `body` without its `{words}`.
fn filled(body: &Value) -> Value {
    match body {
        Value::String(text) => Value::String(without_words(text)),
        Value::Array(elements) => elements.iter().map(filled).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), filled(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn without_words(text: &str) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((word, rest)) => {
                filled.push_str(if word == "own" { OWN } else { CAPTURED });
                filled.push_str(rest);
            }
            None => filled.push_str(part),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_api_and_version_is_among_them() {
        let frames = all();
        for api in schema::requests() {
            for version in api.versions.first..=api.versions.last {
                let head = [api.api_key.to_be_bytes(), version.to_be_bytes()].concat();
                assert!(
                    frames.iter().any(|frame| frame.starts_with(&head)),
                    "{} version {version}",
                    api.name
                );
            }
        }
    }
}
