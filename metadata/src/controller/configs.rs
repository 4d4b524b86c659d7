//! AlterConfigs and IncrementalAlterConfigs for what is stored in the metadata log.
//!
//! Kafka's checks in Kafka's order (`ConfigurationControlManager`). Whether a broker key can change while the broker runs
//! is checked before, by the broker that received the request.

use std::collections::BTreeMap;

use protocol_compat::records::metadata::{ConfigRecord, MetadataRecord};
use protocol_compat::{BrokerId, ErrorCode};

use super::decision::{ApiError, Decision};
use super::state::Controller;
use super::topic_name::validate_topic_name;
use crate::configs::{ConfigResource, ConfigResourceType, ConfigType, topic_key, validate_topic_configs};

/// The longest value, in characters.
const MAX_VALUE_LENGTH: usize = 32_767;
/// Whose cluster-wide default cannot be removed, and whose broker value cannot be set, while KIP-966 is on.
const MIN_ISR: &str = "min.insync.replicas";
/// The feature of KIP-966.
const ELR_FEATURE: &str = "eligible.leader.replicas.version";

/// What shall happen to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It falls back to its default.
    Delete,
    /// These values join the list.
    Append(String),
    /// These values leave the list.
    Subtract(String),
}

/// The outcome for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigsResult {
    /// The resource.
    pub resource: ConfigResource,
    /// Why nothing changed.
    pub error: Option<ApiError>,
}

impl Controller {
    /// Decides about changes of single keys. One bad resource does not stop the others.
    pub fn incremental_alter_configs(
        &self,
        changes: Vec<(ConfigResource, BTreeMap<String, ConfigChange>)>,
        validate_only: bool,
    ) -> Decision<Vec<AlterConfigsResult>> {
        self.alter(changes, validate_only, |resource, changes| {
            let records = self.config_records(resource, changes)?;
            self.check_exists(resource)?;
            Ok(records)
        })
    }

    /// Decides about whole configurations: what `configs` does not name is removed.
    pub fn alter_configs(
        &self,
        configs: Vec<(ConfigResource, BTreeMap<String, String>)>,
        validate_only: bool,
    ) -> Decision<Vec<AlterConfigsResult>> {
        self.alter(configs, validate_only, |resource, wanted| {
            let set = wanted
                .iter()
                .map(|(key, value)| (key.clone(), ConfigChange::Set(value.clone())));
            let mut changes: BTreeMap<String, ConfigChange> = set.collect();
            for key in self.own_configs(resource).into_keys() {
                changes.entry(key).or_insert(ConfigChange::Delete);
            }
            let records = self.config_records(resource, &changes)?;
            self.check_exists(resource)?;
            Ok(records)
        })
    }

    fn alter<C>(
        &self,
        requests: Vec<(ConfigResource, C)>,
        validate_only: bool,
        decide: impl Fn(&ConfigResource, &C) -> Result<Vec<MetadataRecord>, ApiError>,
    ) -> Decision<Vec<AlterConfigsResult>> {
        let mut records = Vec::new();
        let mut response = Vec::new();
        for (resource, request) in requests {
            let decided = decide(&resource, &request);
            let error = decided.map(|decided| records.extend(decided)).err();
            response.push(AlterConfigsResult { resource, error });
        }
        if validate_only {
            records.clear();
        }
        Decision { records, response }
    }

    /// The records of a resource's changes, checked against what its configuration would be as a whole.
    pub(super) fn config_records(
        &self,
        resource: &ConfigResource,
        changes: &BTreeMap<String, ConfigChange>,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let current = self.own_configs(resource);
        let mut whole = current.clone();
        let mut records = Vec::new();
        for (key, change) in changes {
            let old = current.get(key);
            let new = changed_value(resource, key, old, change)?;
            if old == new.as_ref() && resource.kind != ConfigResourceType::Broker {
                continue;
            }
            self.check_min_isr(resource, key, new.as_deref())?;
            match &new {
                Some(value) if value.encode_utf16().count() > MAX_VALUE_LENGTH => {
                    return Err(value_too_long());
                }
                Some(value) => whole.insert(key.clone(), value.clone()),
                None => whole.remove(key),
            };
            let record = ConfigRecord {
                resource_type: resource.kind.id(),
                resource_name: resource.name.clone(),
                name: key.as_str().into(),
                value: new.map(Into::into),
            };
            records.push(record.into());
        }
        self.check_whole(resource, &whole)?;
        Ok(records)
    }

    fn check_min_isr(&self, resource: &ConfigResource, key: &str, new: Option<&str>) -> Result<(), ApiError> {
        let applies = key == MIN_ISR && resource.kind == ConfigResourceType::Broker;
        if !applies || self.image.features.level(ELR_FEATURE) == 0 {
            return Ok(());
        }
        let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidConfig, message));
        if !resource.name.is_empty() {
            return invalid("Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
        }
        if new.is_none() {
            return invalid("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
        }
        Ok(())
    }

    fn check_whole(
        &self,
        resource: &ConfigResource,
        whole: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        let invalid_request = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        match resource.kind {
            ConfigResourceType::Topic if resource.name.is_empty() => {
                invalid_request("Default topic resources are not allowed.")
            }
            ConfigResourceType::Topic => {
                validate_topic_name(&resource.name)
                    .map_err(|reason| ApiError::new(ErrorCode::InvalidTopicException, reason))?;
                validate_topic_configs(whole, self.broker_layers())
                    .map_err(|error| ApiError::new(ErrorCode::InvalidConfig, error.0))
            }
            ConfigResourceType::Broker if resource.name.is_empty() => Ok(()),
            ConfigResourceType::Broker => match resource.name.parse::<i32>() {
                Ok(id) if id < 0 => invalid_request("Invalid negative broker ID."),
                Ok(_) => Ok(()),
                Err(_) => invalid_request("Unable to parse broker name as a base 10 number."),
            },
            ConfigResourceType::BrokerLogger
            | ConfigResourceType::ClientMetrics
            | ConfigResourceType::Group => {
                invalid_request(&format!("Unknown resource type {}", resource.kind))
            }
        }
    }

    fn check_exists(&self, resource: &ConfigResource) -> Result<(), ApiError> {
        match resource.kind {
            ConfigResourceType::Topic if self.image.topics.by_name(&resource.name).is_none() => {
                Err(ApiError::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("The topic '{}' does not exist.", resource.name),
                ))
            }
            ConfigResourceType::Broker if !resource.name.is_empty() => {
                let id = resource.name.parse().map(BrokerId).unwrap_or(BrokerId::NONE);
                match self.image.brokers.get(id) {
                    Some(_) => Ok(()),
                    None => Err(ApiError::new(
                        ErrorCode::BrokerIdNotRegistered,
                        format!("No node with id {id} found."),
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}

fn value_too_long() -> ApiError {
    let message = format!(
        "The configuration value cannot be added because it exceeds the maximum value size of {MAX_VALUE_LENGTH} bytes."
    );
    ApiError::new(ErrorCode::InvalidConfig, message)
}

/// Whether a key holds a list, and the list's default.
fn list_default(resource: &ConfigResource, key: &str) -> Option<&'static str> {
    let known = match resource.kind {
        ConfigResourceType::Topic => topic_key(key),
        ConfigResourceType::Broker => crate::configs::TOPIC_KEYS
            .iter()
            .find(|topic_key| topic_key.synonyms.iter().any(|synonym| synonym.name == key)),
        ConfigResourceType::BrokerLogger | ConfigResourceType::ClientMetrics | ConfigResourceType::Group => {
            None
        }
    };
    known
        .filter(|known| known.kind == ConfigType::List)
        .map(|known| known.default)
}

fn changed_value(
    resource: &ConfigResource,
    key: &str,
    old: Option<&String>,
    change: &ConfigChange,
) -> Result<Option<String>, ApiError> {
    let (operation, operand) = match change {
        ConfigChange::Set(value) => return Ok(Some(value.clone())),
        ConfigChange::Delete => return Ok(None),
        ConfigChange::Append(value) => ("APPEND", value),
        ConfigChange::Subtract(value) => ("SUBTRACT", value),
    };
    let default = list_default(resource, key).ok_or_else(|| {
        let message = format!("Can't {operation} to key {key} because its type is not LIST.");
        ApiError::new(ErrorCode::InvalidConfig, message)
    })?;
    let text = old.map_or(default, String::as_str);
    let mut parts: Vec<&str> = text.split(',').filter(|part| !part.is_empty()).collect();
    for part in operand.split(',') {
        let position = parts.iter().position(|known| *known == part);
        match (change, position) {
            (ConfigChange::Subtract(_), Some(position)) => {
                parts.remove(position);
            }
            (ConfigChange::Append(_), None) => parts.push(part),
            _ => {}
        }
    }
    Ok(Some(parts.join(",")))
}
