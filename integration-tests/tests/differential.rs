//! A Cauce node answers as the recorded Apache Kafka did.

use integration_tests::differential::{cases, compare};
use integration_tests::node::Node;

#[test]
fn every_answer_is_kafkas_or_different_on_purpose() {
    let node = Node::start(
        "differential",
        include_str!("../testdata/differential.properties"),
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
}
