//! Peers that send anything at all disturb nobody: the node lives, every answer can be decoded, each bad peer is counted and
//! written about once, and a client beside them sees no error.
//!
//! `CAUCE_BAD_INPUT_SEED` repeats a run's bytes, `CAUCE_BAD_INPUT_ROUNDS` makes it longer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use integration_tests::bad_input::peer::{self, Seen};
use integration_tests::bad_input::{Random, requests};
use integration_tests::bench::process;
use integration_tests::metrics;
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use integration_tests::steady_client::SteadyClient;

const PEERS: u8 = 6;
/// Connections of each peer: a few seconds.
const ROUNDS: u64 = 60;
const SEED: u64 = 0x0ca0_ce00;
/// An answer takes milliseconds; this is for machines with much else to do.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the node may grow by: it holds topics and groups that bad requests have made, and frames in flight.
const GROWTH_BYTES: u64 = 384 << 20;
/// Why the node closes a connection of a peer that errs.
const FAULTS: &[&str] = &[
    "invalid_frame",
    "invalid_header",
    "not_served",
    "undecodable",
    "failed_without_reply",
    "slow_frame",
];

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn source(peer: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, peer + 1))
}

#[test]
fn whatever_peers_send_the_node_lives_and_nobody_else_notices() {
    let seed = from_environment("CAUCE_BAD_INPUT_SEED", SEED);
    let rounds = from_environment("CAUCE_BAD_INPUT_ROUNDS", ROUNDS);
    eprintln!("CAUCE_BAD_INPUT_SEED={seed} CAUCE_BAD_INPUT_ROUNDS={rounds}");
    let scraped_at = free_address().expect("a port");
    let properties = format!(
        "{}\nmetrics.listener={scraped_at}\n",
        include_str!("../testdata/differential.properties")
    );
    let mut node = Node::start("bad-input", &properties).expect("a node");
    let steady = SteadyClient::start(node.address).expect("a client");
    let before = process::resident_bytes(node.pid()).expect("its memory");
    let frames = requests::all();
    let seen = misbehave(&node, seed, rounds, &frames);
    let grown = process::resident_bytes(node.pid())
        .expect("its memory")
        .saturating_sub(before);
    let steady = steady.stop().expect("a client that sees no error");
    eprintln!("{seen:?}, {steady:?}, grown by {grown} bytes");

    assert!(node.is_running());
    assert!(steady.rounds > 0 && steady.slowest < PATIENCE, "{steady:?}");
    assert!(seen.answers > 0 && seen.closed > 0, "{seen:?}");
    assert!(grown < GROWTH_BYTES, "{grown}");
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    let closed = metrics::sum(
        &scraped,
        "kafka_server_socket_server_connections_closed_total",
        |labels| FAULTS.iter().any(|fault| labels.contains(fault)),
    );
    assert!(closed > 0.0);
    check_log(&node.output(), rounds);
}

fn misbehave(node: &Node, seed: u64, rounds: u64, frames: &[Vec<u8>]) -> Seen {
    std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|number| scope.spawn(move || one_peer(node, seed, rounds, number, frames)))
            .collect();
        let mut all = Seen::default();
        for peer in peers {
            let seen = peer.join().expect("a peer that ends");
            all.requests += seen.requests;
            all.answers += seen.answers;
            all.closed += seen.closed;
        }
        all
    })
}

fn one_peer(node: &Node, seed: u64, rounds: u64, number: u8, frames: &[Vec<u8>]) -> Seen {
    let mut all = Seen::default();
    for round in 0..rounds {
        let mut random = Random::new(seed ^ (u64::from(number) << 56) ^ (round << 24));
        let seen = peer::live(&mut random, source(number), node.address, frames)
            .unwrap_or_else(|why| panic!("seed {seed}, peer {number}, round {round}: {why}"));
        all.requests += seen.requests;
        all.answers += seen.answers;
        all.closed += seen.closed;
    }
    all
}

/// One line about each peer in a minute, and none about a fault of the node's own.
fn check_log(log: &str, rounds: u64) {
    for sign in ["ERROR", "panicked"] {
        let found: Vec<&str> = log.lines().filter(|line| line.contains(sign)).take(5).collect();
        assert!(found.is_empty(), "{sign}:\n{}", found.join("\n"));
    }
    if rounds > ROUNDS {
        return;
    }
    for number in 0..PEERS {
        let peer = format!("{}:", source(number));
        let lines = log
            .lines()
            .filter(|line| line.contains("closed a connection") && line.contains(&peer));
        assert_eq!(lines.count(), 1, "about {peer}");
    }
}
