//! What must differ between two brokers, or between two runs, and so is taken out of an answer before comparison.
//!
//! Ids, addresses, sizes of disks and times become a word in angle brackets; the wording of an error message becomes
//! `<text>`, its presence stays. Lists of structs are sorted: Kafka keeps most of them in hash maps.

use serde_json::{Map, Value, json};

use crate::codec::from_hex;
use crate::record_bytes::{moment, summary};

/// Values that an answer is written back in the case's words: (name, value).
pub type Words = Vec<(String, String)>;

/// Fields whose words are the broker's own.
const TEXTS: &[&str] = &["ErrorMessage", "BatchIndexErrorMessage", "Documentation"];
/// Ids that a broker makes up, and paths and addresses that it is given.
const IDS: &[&str] = &[
    "TopicId",
    "ClusterId",
    "DirectoryId",
    "VoterDirectoryId",
    "ReplicaDirectoryId",
    "LogDir",
    "Host",
    "MemberId",
];
/// Numbers that a broker makes up or measures; negative ones and zero are answers of their own and stay.
const NUMBERS: &[&str] = &[
    "Port",
    "SessionId",
    "TotalBytes",
    "UsableBytes",
    "FinalizedFeaturesEpoch",
    "ProducerId",
];
/// Progress of the metadata log, which no case controls.
const QUORUM_NUMBERS: &[&str] = &[
    "HighWatermark",
    "LogEndOffset",
    "LeaderEpoch",
    "LastFetchTimestamp",
    "LastCaughtUpTimestamp",
];
/// How an element of a list says what it is about.
const OWNERS: &[&str] = &["Name", "TopicName", "GroupId", "Topic", "Group", "ResourceName"];

/// The answer of `api`, comparable.
pub fn normalise(api: &str, answer: &Value, words: &Words, own: Option<&str>) -> Value {
    Normaliser { api, words, own }.value("", answer)
}

struct Normaliser<'a> {
    api: &'a str,
    words: &'a Words,
    own: Option<&'a str>,
}

impl Normaliser<'_> {
    fn value(&self, field: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(elements) => self.list(field, elements),
            Value::String(text) => self.text(field, text),
            Value::Number(number) => self.number(field, number.as_i64().unwrap_or(0), value),
            other => other.clone(),
        }
    }

    fn object(&self, fields: &Map<String, Value>) -> Value {
        let each = fields
            .iter()
            .map(|(name, value)| (name.clone(), self.value(name, value)));
        Value::Object(each.collect())
    }

    fn list(&self, field: &str, elements: &[Value]) -> Value {
        let served = |element: &&Value| {
            let key = element
                .get("ApiKey")
                .and_then(Value::as_i64)
                .and_then(|key| i16::try_from(key).ok());
            let known = key.and_then(protocol_compat::ApiKey::from_code);
            self.api != "ApiVersions"
                || field != "ApiKeys"
                || known.is_some_and(|key| key.served_versions().is_some())
        };
        let kept = elements
            .iter()
            .filter(|element| self.is_own(element))
            .filter(served);
        let mut list: Vec<Value> = kept.map(|element| self.value(field, element)).collect();
        if list.iter().all(Value::is_object) {
            list.sort_by_cached_key(Value::to_string);
        }
        Value::Array(list)
    }

    fn is_own(&self, element: &Value) -> bool {
        let Some(own) = self.own else { return true };
        let owner = OWNERS
            .iter()
            .find_map(|name| element.get(*name))
            .and_then(Value::as_str);
        owner.is_none_or(|owner| owner.contains(own))
    }

    fn text(&self, field: &str, text: &str) -> Value {
        if field == "Records" {
            return summary(&from_hex(text));
        }
        if TEXTS.contains(&field) && !text.is_empty() {
            return json!("<text>");
        }
        if let Some((name, _)) = self.words.iter().find(|(_, value)| value == text) {
            return json!(format!("{{{name}}}"));
        }
        if let Some(prefix) = before_random_id(text) {
            return json!(format!("{}<random>", self.in_words(prefix)));
        }
        if IDS.contains(&field) && !text.is_empty() && text.chars().any(|c| c != '0') {
            return json!(format!("<{field}>"));
        }
        json!(self.in_words(text))
    }

    /// Long words are found inside a text too; a short one could be there by chance.
    fn in_words(&self, text: &str) -> String {
        self.words
            .iter()
            .filter(|(_, value)| value.len() > 8)
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(value.as_str(), &format!("{{{name}}}"))
            })
    }

    fn number(&self, field: &str, number: i64, value: &Value) -> Value {
        let is_quorum = self.api == "DescribeQuorum" && QUORUM_NUMBERS.contains(&field);
        if (NUMBERS.contains(&field) && number > 0) || (is_quorum && number >= 0) {
            return json!(format!("<{field}>"));
        }
        if field.ends_with("TimeMs") || field.ends_with("Timestamp") {
            return moment(number);
        }
        value.clone()
    }
}

/// What stands before a random id at the end of a member id: `client-1b4e28ba-2fa1-11d2-883f-0016d3cca427`.
fn before_random_id(text: &str) -> Option<&str> {
    let (prefix, id) = text.split_at_checked(text.len().checked_sub(36)?)?;
    let hyphens = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| {
        if hyphens.contains(&at) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    id.bytes().enumerate().all(fits).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_values_go_and_telling_values_stay() {
        let words: Words = vec![("own".to_owned(), "d0123456789ab".to_owned())];
        let answer = json!({"ErrorMessage": "no", "ErrorCode": 3, "TopicId": "12ab", "Name": "d0123456789ab-a",
            "Port": 9092, "LogAppendTimeMs": -1, "ProducerId": -1});
        let expected = json!({"ErrorMessage": "<text>", "ErrorCode": 3, "TopicId": "<TopicId>", "Name": "{own}-a",
            "Port": "<Port>", "LogAppendTimeMs": -1, "ProducerId": -1});
        assert_eq!(normalise("Metadata", &answer, &words, None), expected);
    }

    #[test]
    fn a_random_member_id_keeps_what_stands_before_it() {
        let answer = json!({"Leader": "me-1b4e28ba-2fa1-11d2-883f-0016d3cca427", "MemberId": "me"});
        let expected = json!({"Leader": "me-<random>", "MemberId": "<MemberId>"});
        assert_eq!(normalise("JoinGroup", &answer, &Vec::new(), None), expected);
    }

    #[test]
    fn what_other_cases_left_behind_is_taken_out_on_demand() {
        let answer = json!({"Topics": [{"Name": "other"}, {"Name": "mine-a"}]});
        assert_eq!(
            normalise("Metadata", &answer, &Vec::new(), Some("mine")),
            json!({"Topics": [{"Name": "mine-a"}]})
        );
        assert_eq!(
            normalise("Metadata", &answer, &Vec::new(), None)["Topics"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );
    }

    #[test]
    fn the_order_of_structs_does_not_count_and_that_of_numbers_does() {
        let answer = json!({"A": [{"x": 2}, {"x": 1}], "B": [2, 1]});
        assert_eq!(
            normalise("", &answer, &Vec::new(), None),
            json!({"A": [{"x": 1}, {"x": 2}], "B": [2, 1]})
        );
    }
}
