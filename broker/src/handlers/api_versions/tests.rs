//! What ApiVersions answers at every version, and to clients that ask strangely.

use bytes::BytesMut;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;

fn ask(version: i16, body: Bytes) -> ApiVersionsResponse {
    let context = RequestContext {
        correlation_id: 7,
        ..RequestContext::for_test(ApiKey::ApiVersions, version)
    };
    let mut image = MetadataImage::empty("c");
    image.offset = 12;
    image.features.set("metadata.version", 30);
    image.features.set("share.version", 1);
    let Handled::Now(frame) = handle(&image, &context, body) else {
        panic!("ApiVersions answers at once");
    };
    let frame = frame.to_bytes();
    assert_eq!(frame[4..8], [0, 0, 0, 7]);
    let answered = if ApiKey::ApiVersions.kafka_versions().contains(&version) {
        version
    } else {
        0
    };
    ApiVersionsResponse::decode(&mut frame.slice(8..), answered).unwrap()
}

fn body(version: i16, name: &'static str, software_version: &'static str) -> Bytes {
    let mut out = BytesMut::new();
    let request = ApiVersionsRequest::default();
    let request = if version >= 3 {
        request
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(software_version))
    } else {
        request
    };
    request.encode(&mut out, version).unwrap();
    out.freeze()
}

#[test]
fn every_version_names_what_is_served_and_the_refused_heartbeat() {
    for version in 0..=4 {
        let answer = ask(version, body(version, "lib", "1.0"));
        assert_eq!(answer.error_code, 0);
        let keys: Vec<i16> = answer.api_keys.iter().map(|row| row.api_key).collect();
        let served: Vec<i16> = ApiKey::ALL
            .iter()
            .filter(|key| key.served_versions().is_some() || **key == ApiKey::ConsumerGroupHeartbeat)
            .map(|key| key.code())
            .collect();
        assert_eq!(keys, served);
        let produce = &answer.api_keys[0];
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
}

#[test]
fn features_that_are_built_are_named_and_level_0_only_from_version_4() {
    let third = ask(3, body(3, "lib", "1.0"));
    let names: Vec<&str> = third
        .supported_features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    assert_eq!(names, ["metadata.version"]);
    let fourth = ask(4, body(4, "lib", "1.0"));
    let names: Vec<&str> = fourth
        .supported_features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "eligible.leader.replicas.version",
            "metadata.version",
            "kraft.version"
        ]
    );
    assert_eq!(fourth.finalized_features_epoch, 12);
    let finalized: Vec<(&str, i16)> = fourth
        .finalized_features
        .iter()
        .map(|f| (f.name.as_str(), f.max_version_level))
        .collect();
    assert_eq!(finalized, [("kraft.version", 1), ("metadata.version", 30)]);
}

#[test]
fn an_unknown_version_is_told_the_versions_of_this_api() {
    for version in [5, 99, -1] {
        let answer = ask(version, Bytes::from_static(b"whatever"));
        assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
        assert_eq!(answer.api_keys.len(), 1);
        assert_eq!(
            (answer.api_keys[0].api_key, answer.api_keys[0].max_version),
            (18, 4)
        );
    }
}

#[test]
fn strange_software_names_are_refused() {
    for (name, version) in [
        ("", "1"),
        ("lib", ""),
        ("-lib", "1"),
        ("lib.", "1"),
        ("li b", "1"),
        ("l\u{e9}b", "1"),
    ] {
        let answer = ask(3, body(3, name, version));
        assert_eq!(
            answer.error_code,
            ErrorCode::InvalidRequest.code(),
            "{name:?} {version:?}"
        );
        assert!(answer.api_keys.is_empty());
    }
    assert_eq!(ask(3, body(3, "a", "1.0-rc.1")).error_code, 0);
}
