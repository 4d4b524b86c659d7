//! Which topic names are allowed, which are internal, and which get in each other's way.

/// The longest topic name, in characters.
pub const MAX_TOPIC_NAME_LENGTH: usize = 249;
/// The topic of committed offsets and groups.
pub const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The topic of transactions.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// The topic of share groups.
pub const SHARE_GROUP_STATE_TOPIC: &str = "__share_group_state";
/// The metadata log's name, which no client can create.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether clients shall treat the topic as internal.
pub fn is_internal_topic(name: &str) -> bool {
    [
        GROUP_METADATA_TOPIC,
        TRANSACTION_STATE_TOPIC,
        SHARE_GROUP_STATE_TOPIC,
    ]
    .contains(&name)
}

/// Checks a topic name.
///
/// # Errors
/// Kafka's sentence for INVALID_TOPIC_EXCEPTION.
pub fn validate_topic_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.encode_utf16().count() > MAX_TOPIC_NAME_LENGTH {
        format!("the length of '{name}' is longer than the max allowed length {MAX_TOPIC_NAME_LENGTH}")
    } else if !name.chars().all(legal) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(format!("Topic name is invalid: {reason}"))
}

/// The name under which metrics of a topic would appear, for a name with characters that collide there.
pub fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_in_kafkas_words() {
        assert_eq!(validate_topic_name("a.b_c-D9"), Ok(()));
        assert_eq!(validate_topic_name(&"x".repeat(249)), Ok(()));
        assert!(validate_topic_name(&"x".repeat(250)).is_err());
        assert_eq!(
            validate_topic_name(""),
            Err("Topic name is invalid: the empty string is not allowed".into())
        );
        assert_eq!(
            validate_topic_name(".."),
            Err("Topic name is invalid: '..' is not allowed".into())
        );
        let refused = validate_topic_name("a b").unwrap_err();
        assert!(refused.contains("'a b' contains one or more characters other than ASCII"));
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
        assert_eq!(collision_key("ab"), None);
    }
}
