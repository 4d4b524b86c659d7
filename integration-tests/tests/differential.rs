//! A Cauce node answers as the recorded Apache Kafka did, and counts every error code that it answers.

use integration_tests::differential::runner::ErrorCounts;
use integration_tests::differential::{cases, compare};
use integration_tests::metrics;
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use protocol_compat::{ApiKey, ErrorCode};

#[test]
fn every_answer_is_kafkas_or_different_on_purpose_and_its_errors_are_counted() {
    let scraped_at = free_address().expect("a port");
    let properties = include_str!("../testdata/differential.properties");
    let node = Node::start(
        "differential",
        &format!("{properties}\nmetrics.listener={scraped_at}\n"),
    )
    .expect("a node");
    let outcome = compare::with_recording(node.address, &cases::all()).expect("the suite runs");
    let shown: Vec<String> = outcome
        .differences
        .iter()
        .take(40)
        .map(ToString::to_string)
        .collect();
    assert!(
        shown.is_empty(),
        "{} cases differ:\n{}",
        outcome.differences.len(),
        shown.join("\n")
    );
    assert!(
        outcome.stale.is_empty(),
        "equal again, drop the entries: {:?}",
        outcome.stale
    );
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    assert!(outcome.errors.len() > 100, "{:?}", outcome.errors);
    assert_eq!(counted(&scraped), outcome.errors);
}

/// The error codes that the node says it has answered.
fn counted(scraped: &str) -> ErrorCounts {
    let apis = ApiKey::ALL.iter().map(|key| key.name());
    let pairs = apis.flat_map(|api| ErrorCode::ALL.iter().map(move |code| (api, code.name())));
    let count = |(api, code): (&str, &str)| {
        let labels = format!("{{error=\"{code}\",request=\"{api}\"}}");
        metrics::sum(scraped, "kafka_network_requestmetrics_errors_total", |found| {
            found == labels
        })
    };
    pairs
        .map(|pair| (pair, count(pair) as u64))
        .filter(|(_, count)| *count > 0)
        .collect()
}
