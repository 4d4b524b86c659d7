//! ApiVersions, API key 18, versions 0-4. Names the APIs and versions that this broker serves, and its features.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219).
//! - 3: flexible; the client's software (KIP-511); features (KIP-584). The answer keeps the plain header.
//! - 4: features whose lowest level is 0 are named; before, clients fail over them.
//!
//! A version that is not known is answered at version 0 with `UNSUPPORTED_VERSION` and the versions of this API, so
//! that the client can ask again. Unlike Apache Kafka, APIs and features that are not built are not named.

use bytes::Bytes;
use metadata::controller::{KRAFT_VERSION, SUPPORTED_FEATURES, finalized_features};
use metadata::image::MetadataImage;
use protocol_compat::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use protocol_compat::messages::{ApiVersionsRequest, ApiVersionsResponse, StrBytes};
use protocol_compat::{ApiKey, ErrorCode};

use crate::request::{Handled, RequestContext};

/// The first version at which the client names its software.
const FIRST_WITH_SOFTWARE: i16 = 3;
/// The first version at which a feature's lowest level may be 0.
const FIRST_WITH_LEVEL_0: i16 = 4;

/// Features of Kafka 4.3 whose APIs this broker does not serve: a client that sees a level would rely on it.
const NOT_BUILT: [&str; 4] = [
    "group.version",
    "share.version",
    "streams.version",
    "transaction.version",
];

/// Answers at once.
pub fn handle(image: &MetadataImage, context: &RequestContext, body: Bytes) -> Handled {
    if !ApiKey::ApiVersions.kafka_versions().contains(&context.version) {
        return Handled::Now(context.respond_at(0, &unsupported_version()));
    }
    let request: ApiVersionsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let names_software = context.version >= FIRST_WITH_SOFTWARE;
    let response = if names_software && !is_valid_software(&request) {
        ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code())
    } else {
        served(image, context.version)
    };
    Handled::Now(context.respond(&response))
}

fn unsupported_version() -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(api_version(ApiKey::ApiVersions).into_iter().collect())
}

fn api_version(key: ApiKey) -> Option<ApiVersion> {
    let versions = key.advertised_versions()?;
    let row = ApiVersion::default().with_api_key(key.code());
    Some(
        row.with_min_version(*versions.start())
            .with_max_version(*versions.end()),
    )
}

fn served(image: &MetadataImage, version: i16) -> ApiVersionsResponse {
    let keys = ApiKey::ALL.iter().filter_map(|&key| api_version(key)).collect();
    let response = ApiVersionsResponse::default().with_api_keys(keys);
    if version < FIRST_WITH_SOFTWARE {
        return response;
    }
    response
        .with_supported_features(supported(version))
        .with_finalized_features_epoch(image.offset)
        .with_finalized_features(finalized(image))
}

fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let named = SUPPORTED_FEATURES
        .iter()
        .chain([&KRAFT_VERSION])
        .filter(|feature| !NOT_BUILT.contains(&feature.name))
        .filter(|feature| version >= FIRST_WITH_LEVEL_0 || feature.min > 0);
    let keys = named.map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    });
    keys.collect()
}

fn finalized(image: &MetadataImage) -> Vec<FinalizedFeatureKey> {
    // Level 0 is the same as no feature.
    let levels = finalized_features(&image.features)
        .into_iter()
        .filter(|(name, level)| *level != 0 && !NOT_BUILT.contains(&name.as_str()));
    let keys = levels.map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name))
            .with_min_version_level(level)
            .with_max_version_level(level)
    });
    keys.collect()
}

fn is_valid_software(request: &ApiVersionsRequest) -> bool {
    is_software_word(&request.client_software_name) && is_software_word(&request.client_software_version)
}

/// Letters, digits, `-` and `.`, with a letter or digit at either end (KIP-511).
fn is_software_word(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.ends_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(inner)
}

#[cfg(test)]
mod tests;
