//! InitProducerId and the sequences of idempotent producers.

use serde_json::{Value, json};

use super::{one_request, produce_body, topic};
use crate::differential::case::{Scenario, Step, call};
use crate::record_bytes::Batch;

const API: &str = "InitProducerId";

pub fn scenarios() -> Vec<Scenario> {
    let asked = |transactional: Value, timeout: i32, id: i64, epoch: i16| json!({"TransactionalId": transactional, "TransactionTimeoutMs": timeout, "ProducerId": id, "ProducerEpoch": epoch});
    let mut list = vec![
        one_request(
            API,
            "a new idempotent producer",
            asked(json!(null), 60_000, -1, -1),
        ),
        one_request(
            API,
            "a new idempotent producer with a timeout of zero",
            asked(json!(null), 0, -1, -1),
        ),
        one_request(
            API,
            "a new idempotent producer with a negative timeout",
            asked(json!(null), -1, -1, -1),
        ),
        one_request(
            API,
            "an idempotent producer that names an id",
            asked(json!(null), 60_000, 77, 3),
        ),
        one_request(API, "an id without an epoch", asked(json!(null), 60_000, 77, -1)),
        one_request(API, "an epoch without an id", asked(json!(null), 60_000, -1, 3)),
        one_request(API, "an empty transactional id", asked(json!(""), 60_000, -1, -1)),
    ];
    list.extend(sequences());
    list
}

/// What one producer sends: (id, epoch, first sequence, values).
type Sent = (i64, i16, i32, &'static [&'static str]);

/// The batches one after the other, each answer compared.
fn sent(name: &'static str, batches: &'static [Sent]) -> Scenario {
    Scenario::new("Produce", 9..=13, name, move |v| {
        let mut steps = topic("{own}-a", 1);
        steps.extend(batches.iter().map(|(id, epoch, sequence, values)| -> Step {
            call(
                "Produce",
                v,
                produce_body(-1, 0, &Batch::of_producer(*id, *epoch, *sequence, values).hex()),
            )
        }));
        steps.push(call(
            "DescribeProducers",
            0,
            json!({"Topics": [{"Name": "{own}-a", "PartitionIndexes": [0]}]}),
        ));
        steps
    })
}

fn sequences() -> Vec<Scenario> {
    vec![
        sent(
            "sequences in order",
            &[(900, 0, 0, &["a"]), (900, 0, 1, &["b", "c"]), (900, 0, 3, &["d"])],
        ),
        sent(
            "the same batch twice",
            &[(900, 0, 0, &["a"]), (900, 0, 0, &["a"])],
        ),
        sent(
            "an older batch again",
            &[
                (900, 0, 0, &["a"]),
                (900, 0, 1, &["b"]),
                (900, 0, 2, &["c"]),
                (900, 0, 0, &["a"]),
            ],
        ),
        sent(
            "a batch from before the last five",
            &[
                (900, 0, 0, &["a"]),
                (900, 0, 1, &["b"]),
                (900, 0, 2, &["c"]),
                (900, 0, 3, &["d"]),
                (900, 0, 4, &["e"]),
                (900, 0, 5, &["f"]),
                (900, 0, 0, &["a"]),
            ],
        ),
        sent(
            "a gap in the sequence",
            &[(900, 0, 0, &["a"]), (900, 0, 5, &["b"])],
        ),
        sent(
            "an unknown producer that does not begin at zero",
            &[(900, 0, 7, &["a"]), (900, 0, 8, &["b"])],
        ),
        sent(
            "a newer epoch begins at zero",
            &[(900, 0, 0, &["a"]), (900, 1, 0, &["b"])],
        ),
        sent(
            "a newer epoch that does not begin at zero",
            &[(900, 0, 0, &["a"]), (900, 1, 4, &["b"])],
        ),
        sent("an older epoch", &[(900, 3, 0, &["a"]), (900, 2, 1, &["b"])]),
        sent(
            "the older epoch's first batch again",
            &[(900, 0, 0, &["a"]), (900, 1, 0, &["b"]), (900, 0, 0, &["a"])],
        ),
        sent(
            "two producers side by side",
            &[(900, 0, 0, &["a"]), (901, 0, 0, &["b"]), (900, 0, 1, &["c"])],
        ),
        sent(
            "an overlap with the last batch",
            &[(900, 0, 0, &["a", "b"]), (900, 0, 1, &["b", "c"])],
        ),
        sent(
            "the sequence wraps around",
            &[(900, 0, 2_147_483_646, &["a", "b"]), (900, 0, 0, &["c"])],
        ),
        sent(
            "the same sequence with more records",
            &[(900, 0, 0, &["a"]), (900, 0, 0, &["a", "b"])],
        ),
    ]
}
