//! What AlterConfigs and IncrementalAlterConfigs have in common: the checks of the broker that receives the request
//! (`ConfigAdminManager`), and putting its errors and the controller's together.

use std::collections::{BTreeMap, BTreeSet};

use metadata::configs::{ConfigResource, ConfigResourceType};
use metadata::controller::{AlterConfigsResult, ApiError};
use protocol_compat::{BrokerId, ErrorCode};

use crate::controller_server::ControllerError;

/// A resource as a request names it.
pub type Identity = (i8, String);

/// A resource that may be changed over this broker.
pub struct CheckedResource {
    /// The resource.
    pub resource: ConfigResource,
}

impl CheckedResource {
    /// Whether its keys are broker keys.
    pub fn is_broker(&self) -> bool {
        self.resource.kind == ConfigResourceType::Broker
    }
}

/// Resources that a request names more than once.
fn repeated(identities: &[Identity]) -> BTreeSet<Identity> {
    let mut seen = BTreeSet::new();
    let again = identities.iter().filter(|identity| !seen.insert(*identity));
    again.cloned().collect()
}

/// Refuses a key that is named twice.
///
/// # Errors
/// INVALID_REQUEST.
pub fn check_key_names<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    if names.all(|name| seen.insert(name)) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::InvalidRequest,
        "Error due to duplicate config keys",
    ))
}

/// Finds the resource, and refuses kinds that are not built and brokers that are not this one.
///
/// # Errors
/// INVALID_REQUEST.
pub fn check_resource(node_id: BrokerId, kind: i8, name: &str) -> Result<CheckedResource, ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let kind = match ConfigResourceType::from_id(kind) {
        Some(kind @ (ConfigResourceType::Topic | ConfigResourceType::Broker)) => kind,
        _ => return invalid(format!("Unknown resource type {kind}")),
    };
    if kind == ConfigResourceType::Broker && !name.is_empty() {
        match name.parse::<i32>() {
            Err(_) => return invalid(format!("Node id must be an integer, but it is: {name}")),
            Ok(id) if id != node_id.0 => {
                return invalid(format!(
                    "Unexpected broker id, expected {node_id}, but received {name}"
                ));
            }
            Ok(_) => {}
        }
    }
    let name = name.into();
    Ok(CheckedResource {
        resource: ConfigResource { kind, name },
    })
}

/// Checks each resource of a request; one that is named twice is refused wherever it stands. What may be changed, and the
/// error of every other resource, in the order of the request.
pub fn checked_changes<R, C>(
    resources: &[R],
    identity: impl Fn(&R) -> Identity,
    check: impl Fn(&R) -> Result<C, ApiError>,
) -> (Vec<C>, Vec<(Identity, Option<ApiError>)>) {
    let identities: Vec<Identity> = resources.iter().map(identity).collect();
    let repeated = repeated(&identities);
    let (mut changes, mut errors) = (Vec::new(), Vec::new());
    for (resource, identity) in resources.iter().zip(identities) {
        let checked = match repeated.contains(&identity) {
            true => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "Each resource must appear at most once.",
            )),
            false => check(resource),
        };
        errors.push((identity, checked.map(|change| changes.push(change)).err()));
    }
    (changes, errors)
}

/// What the request's answer says of each resource: the broker's own error, else the controller's.
pub fn settled(
    own: Vec<(Identity, Option<ApiError>)>,
    decided: Result<Vec<AlterConfigsResult>, ControllerError>,
) -> impl Iterator<Item = (Identity, Option<ApiError>)> {
    let decided = errors_by_resource(decided);
    own.into_iter().map(move |(identity, own)| {
        let error = own.or_else(|| match &decided {
            Ok(errors) => errors.get(&identity).cloned().flatten(),
            Err(error) => Some(error.clone()),
        });
        (identity, error)
    })
}

/// What the controller said about each resource.
fn errors_by_resource(
    decided: Result<Vec<AlterConfigsResult>, ControllerError>,
) -> Result<BTreeMap<Identity, Option<ApiError>>, ApiError> {
    let results = decided.map_err(|error| ApiError::new(error.error_code(), error.to_string()))?;
    let rows = results.into_iter().map(|result| {
        let identity = (result.resource.kind.id(), result.resource.name.to_string());
        (identity, result.error)
    });
    Ok(rows.collect())
}
