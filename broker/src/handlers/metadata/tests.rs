//! Metadata answers at every version.

use metadata::configs::ConfigResource;
use metadata::image::{BrokerEndpoint, BrokerImage, MetadataImage, PartitionImage, TopicImage};
use protocol_compat::messages::metadata_request::MetadataRequestTopic;
use protocol_compat::messages::{MetadataRequest, MetadataResponse, StrBytes};
use protocol_compat::{ApiKey, BrokerId, ErrorCode, TopicId};
use uuid::Uuid;

use super::answer::Answer;
use super::{asks_for_all, is_valid};
use crate::request::RequestContext;

const ORDERS: Uuid = Uuid::from_u128(7);

fn image(host: &str) -> MetadataImage {
    let mut image = MetadataImage::empty("cluster");
    image.brokers.insert(BrokerImage {
        id: BrokerId(1),
        epoch: 1,
        incarnation_id: Uuid::nil(),
        endpoints: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: host.into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![],
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        directories: vec![],
        cordoned_directories: vec![],
    });
    let mut topic = TopicImage::new("orders".into(), TopicId(ORDERS));
    topic.set_partition(
        0,
        PartitionImage::created(vec![BrokerId(1)], vec![], vec![BrokerId(1)]),
    );
    image.topics.insert(topic);
    image
        .configs
        .set(&ConfigResource::topic("orders"), "retention.ms", Some("1".into()));
    image
}

fn context(version: i16) -> RequestContext {
    RequestContext {
        local: "127.0.0.7:19099".parse().expect("an address"),
        ..RequestContext::for_test(ApiKey::Metadata, version)
    }
}

fn named(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| {
        MetadataRequestTopic::default().with_name(Some(StrBytes::from_string((*name).to_owned()).into()))
    });
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn answer(image: &MetadataImage, request: &MetadataRequest, version: i16) -> MetadataResponse {
    let context = context(version);
    let answer = Answer {
        image,
        request,
        context: &context,
    };
    answer.response(asks_for_all(request, version))
}

fn codes(response: &MetadataResponse) -> Vec<ErrorCode> {
    response
        .topics
        .iter()
        .map(|topic| ErrorCode::from_code(topic.error_code))
        .collect()
}

#[test]
fn every_version_can_be_written() {
    let image = image("");
    for version in 0..=13 {
        let response = answer(&image, &named(&["orders", "nope", "a b"]), version);
        let frame = context(version).respond(&response);
        assert!(frame.pieces.is_ok(), "version {version}: {frame:?}");
    }
}

#[test]
fn names_that_do_not_exist_and_names_that_cannot_are_told_apart() {
    let response = answer(&image(""), &named(&["orders", "nope", "a b", "nope"]), 9);
    let expected = [
        ErrorCode::None,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::InvalidTopicException,
    ];
    assert_eq!(codes(&response), expected);
}

#[test]
fn with_nothing_advertised_the_client_is_told_the_address_that_it_used() {
    let address = |host: &str| {
        let response = answer(&image(host), &named(&[]), 9);
        let broker = response.brokers.first().cloned().expect("one broker");
        format!("{}:{}", broker.host, broker.port)
    };
    assert_eq!(address(""), "127.0.0.7:19099");
    assert_eq!(address("broker.example"), "broker.example:9092");
}

#[test]
fn null_means_all_topics_and_empty_none_but_in_version_0() {
    let all = MetadataRequest::default().with_topics(None);
    assert_eq!(codes(&answer(&image(""), &all, 1)), [ErrorCode::None]);
    assert_eq!(codes(&answer(&image(""), &named(&[]), 1)), []);
    assert_eq!(codes(&answer(&image(""), &named(&[]), 0)), [ErrorCode::None]);
}

#[test]
fn topics_are_found_by_id_from_version_12() {
    let by_id = |id: u128| {
        MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(Uuid::from_u128(id))
    };
    let request = MetadataRequest::default().with_topics(Some(vec![by_id(7), by_id(8)]));
    assert!(is_valid(&request, 12) && !is_valid(&request, 11));
    let response = answer(&image(""), &request, 12);
    assert_eq!(codes(&response), [ErrorCode::None, ErrorCode::UnknownTopicId]);
    let names: Vec<_> = response.topics.iter().map(|topic| topic.name.is_some()).collect();
    assert_eq!(names, [true, false]);
}
