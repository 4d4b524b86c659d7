//! The recordings of Apache Kafka's answers are whole: every case of the suite has one, and no case is forgotten there.

use std::collections::BTreeSet;

use integration_tests::differential::{cases, recording};

#[test]
fn every_case_is_recorded_once_and_nothing_else_is() {
    let scenarios = cases::all();
    let mut missing = Vec::new();
    let mut stale = Vec::new();
    let apis: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.api).collect();
    for api in apis {
        let recorded = recording::read(&recording::folder(), api).expect("a readable recording");
        let cases: BTreeSet<(String, i16)> = scenarios
            .iter()
            .filter(|scenario| scenario.api == api)
            .flat_map(|scenario| {
                scenario
                    .versions
                    .clone()
                    .map(|version| (scenario.name.to_owned(), version))
            })
            .collect();
        missing.extend(
            cases
                .iter()
                .filter(|case| !recorded.contains_key(*case))
                .map(|case| format!("{api} {case:?}")),
        );
        stale.extend(
            recorded
                .keys()
                .filter(|case| !cases.contains(*case))
                .map(|case| format!("{api} {case:?}")),
        );
    }
    assert!(missing.is_empty(), "record these from Kafka: {missing:?}");
    assert!(stale.is_empty(), "no case asks for these any more: {stale:?}");
}

#[test]
fn no_two_scenarios_of_an_api_share_a_name_at_one_version() {
    let mut seen = BTreeSet::new();
    for scenario in cases::all() {
        for version in scenario.versions.clone() {
            assert!(
                seen.insert((scenario.api, scenario.name, version)),
                "{} {version}: {}",
                scenario.api,
                scenario.name
            );
        }
    }
}

#[test]
fn the_suite_has_the_size_that_it_claims() {
    let cases: usize = cases::all()
        .iter()
        .map(|scenario| scenario.versions.clone().count())
        .sum();
    assert!(cases >= 600, "{cases} cases");
}
