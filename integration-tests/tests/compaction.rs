//! A running node compacts a topic.

use integration_tests::compaction::check;
use integration_tests::node::Node;

#[test]
fn a_node_keeps_the_last_record_of_every_key_and_gives_the_space_back() {
    let node = Node::start("compaction", "log.cleaner.backoff.ms=50").unwrap();
    let (produced, kept) = check(node.address, 1, 3).unwrap();
    // The active segment is left alone; of what lies before it one record in ten or so is the last of its key.
    assert!(kept < produced / 2, "{kept} of {produced} records were kept");
}
