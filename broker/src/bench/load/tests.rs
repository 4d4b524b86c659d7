//! The generator against servers on 127.0.0.1 that answer well, late, wrongly, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::control::Control;
use super::error::LoadError;
use super::requests;
use super::run::{Lane, Measured, Terms, run};
use super::script::{Produce, Script};

/// How long the slow server holds its answer back.
const STALL: Duration = Duration::from_millis(60);

/// A server of one connection.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || serve(listener.accept().expect("a connection").0));
    address
}

/// The next request's correlation id; none when the other end is closed.
fn next_request(stream: &mut TcpStream) -> Option<i32> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(i32::from_be_bytes(frame[4..8].try_into().expect("four bytes")))
}

/// A Produce answer of version 9.
fn produce_answer(correlation_id: i32, error: i16) -> Vec<u8> {
    let mut body = correlation_id.to_be_bytes().to_vec();
    body.extend([0, 2, 2, b't', 2]);
    body.extend(0_i32.to_be_bytes());
    body.extend(error.to_be_bytes());
    body.extend([0; 3 * 8]);
    body.extend([1, 0, 0, 0]);
    body.extend([0, 0, 0, 0, 0]);
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

/// Answers each request with what `answer` makes of its number and its correlation id, until one end closes.
fn answers(mut answer: impl FnMut(u32, i32) -> Vec<u8> + Send + 'static) -> SocketAddr {
    server(move |mut stream| {
        for number in 0.. {
            let Some(id) = next_request(&mut stream) else {
                return;
            };
            if stream.write_all(&answer(number, id)).is_err() {
                return;
            }
        }
    })
}

fn producing(acks: i16) -> Produce {
    let batch = Bytes::from_static(&[1; 100]);
    Produce {
        frames: vec![requests::produce("t", acks, batch)],
        targets: vec![(0, 0), (0, 1)],
        turn: 0,
        records: 3,
        bytes: 100,
        answered: acks != 0,
        rests_until: None,
    }
}

fn terms(address: SocketAddr, in_flight: usize, rate: Option<u64>) -> Terms {
    Terms {
        address,
        in_flight,
        rate,
        warm_up: Duration::ZERO,
        measured: Some(Duration::from_millis(200)),
        pid: None,
    }
}

fn produce(address: SocketAddr, in_flight: usize, rate: Option<u64>, acks: i16) -> Measured {
    let lane = Lane::One(Script::Produce(producing(acks)));
    run(vec![lane], &terms(address, in_flight, rate)).expect("a measurement")
}

#[test]
fn a_closed_loop_counts_what_is_answered() {
    let address = answers(|_, id| produce_answer(id, 0));
    let tally = produce(address, 5, None, 1).tally;
    assert!(tally.is_clean(), "{tally:?}");
    assert!(tally.requests > 10);
    assert_eq!(
        (tally.records, tally.bytes),
        (tally.requests * 3, tally.requests * 100)
    );
    assert!(tally.latency().count >= tally.requests);
}

#[test]
fn requests_that_were_due_during_a_stall_count_from_when_they_were_due() {
    let address = answers(|number, id| {
        if number == 100 {
            thread::sleep(STALL);
        }
        produce_answer(id, 0)
    });
    // One in flight: all that are due during the stall have to wait for the one that stalls.
    let tally = produce(address, 1, Some(1000), 1).tally;
    let latency = tally.latency();
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!(latency.count, 200);
    assert!(latency.p99 >= 50_000, "{latency:?}");
    // Had each counted from when it was sent, a single one of 200 would be slow.
    assert!(latency.p90 >= 25_000, "{latency:?}");
    assert!(tally.delayed >= 40, "{}", tally.delayed);
}

#[test]
fn an_open_loop_sends_when_requests_are_due_and_not_before() {
    let address = answers(|_, id| produce_answer(id, 0));
    let measured = produce(address, 50, Some(100), 1);
    assert_eq!(measured.tally.latency().count, 20);
    assert!(measured.seconds >= 0.2);
}

#[test]
fn no_more_are_in_flight_than_allowed() {
    let address = server(|mut stream| {
        let ids: Vec<i32> = (0..3).map_while(|_| next_request(&mut stream)).collect();
        assert_eq!(ids.len(), 3);
        let short = Some(Duration::from_millis(30));
        stream.set_read_timeout(short).expect("a timeout");
        let more = stream.read(&mut [0]).map_err(|error| error.kind());
        let id = match more {
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            _ => 6,
        };
        for answered in ids {
            let sent = stream.write_all(&produce_answer(answered, id));
            sent.expect("the other end reads");
        }
        stream.set_read_timeout(None).expect("no timeout");
        while let Some(id) = next_request(&mut stream) {
            if stream.write_all(&produce_answer(id, 0)).is_err() {
                return;
            }
        }
    });
    let tally = produce(address, 3, None, 1).tally;
    assert!(tally.is_clean(), "a fourth was sent: {tally:?}");
}

#[test]
fn an_error_code_is_counted_and_no_success() {
    let address = answers(|_, id| produce_answer(id, 6));
    let tally = produce(address, 5, None, 1).tally;
    assert_eq!(tally.requests, 0);
    assert!(tally.errors.get(&6).is_some_and(|count| *count > 10), "{tally:?}");
    assert!(!tally.is_clean());
}

#[test]
fn a_server_that_closes_leaves_requests_without_an_answer() {
    let address = server(|mut stream| {
        next_request(&mut stream);
    });
    let tally = produce(address, 5, Some(1000), 1).tally;
    assert_eq!(tally.broken_connections, 1);
    assert!(tally.unanswered >= 1, "{tally:?}");
    assert!(!tally.is_clean());
}

#[test]
fn answers_that_are_none_close_the_connection() {
    let shorter = |id: i32| {
        let mut answer = produce_answer(id, 0);
        answer.truncate(4 + 12);
        answer[..4].copy_from_slice(&12_u32.to_be_bytes());
        answer
    };
    type Answer = fn(i32) -> Vec<u8>;
    let wrong: [(&str, Answer); 5] = [
        ("claims", |_| i32::MAX.to_be_bytes().to_vec()),
        ("claims", |_| (-1_i32).to_be_bytes().to_vec()),
        ("correlation id", |id| produce_answer(id + 1, 0)),
        ("middle of a field", shorter),
        ("middle of a field", |_| vec![0, 0, 0, 2, 0, 0]),
    ];
    for (words, answer) in wrong {
        let tally = produce(answers(move |_, id| answer(id)), 5, None, 1).tally;
        assert_eq!(tally.broken_connections, 1, "{words}");
        assert!(tally.unanswered >= 1, "{words}");
        assert!(tally.sentences[0].contains(words), "{:?}", tally.sentences);
    }
}

#[test]
fn without_acknowledgement_a_request_is_done_when_it_is_written() {
    let address = server(|mut stream| while next_request(&mut stream).is_some() {});
    let tally = produce(address, 5, Some(1000), 0).tally;
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!(tally.latency().count, 200);
}

#[test]
fn a_closed_loop_without_acknowledgement_goes_on() {
    let address = server(|mut stream| while next_request(&mut stream).is_some() {});
    let tally = produce(address, 5, None, 0).tally;
    assert!(tally.is_clean(), "{tally:?}");
    assert!(tally.requests > 100, "{}", tally.requests);
}

#[test]
fn a_partition_that_is_not_led_yet_is_asked_again_after_a_rest() {
    let address = answers(|number, id| produce_answer(id, if number < 2 { 6 } else { 0 }));
    let lane = Lane::One(Script::ProduceOnce(producing(1)));
    let by_itself = Terms {
        measured: None,
        ..terms(address, 5, None)
    };
    let measured = run(vec![lane], &by_itself).expect("a measurement");
    assert!(measured.tally.is_clean(), "{:?}", measured.tally);
    assert_eq!((measured.tally.requests, measured.tally.retried), (2, 2));
    assert!(measured.seconds >= 0.1, "{}", measured.seconds);
}

#[test]
fn an_answer_to_what_has_none_is_a_fault() {
    let address = answers(|_, id| produce_answer(id, 0));
    let tally = produce(address, 5, Some(1000), 0).tally;
    assert_eq!(tally.broken_connections, 1);
}

#[test]
fn a_broker_without_a_version_that_is_needed_is_refused() {
    let api_versions = |id: i32, ranges: &[[i16; 3]]| {
        let mut body = id.to_be_bytes().to_vec();
        body.extend([0, 0]);
        body.extend((ranges.len() as u32).to_be_bytes());
        body.extend(ranges.iter().flatten().flat_map(|field| field.to_be_bytes()));
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        frame
    };
    let enough = [
        [0, 3, 13],
        [1, 4, 12],
        [3, 0, 9],
        [18, 0, 4],
        [19, 2, 7],
        [20, 1, 6],
    ];
    let address = answers(move |_, id| api_versions(id, &enough));
    assert!(Control::connect(address).is_ok());
    let mut old = enough;
    old[1] = [1, 0, 11];
    let refused = Control::connect(answers(move |_, id| api_versions(id, &old)));
    let Err(LoadError::Version { .. }) = &refused else {
        panic!("{refused:?}");
    };
    let sentence = refused.expect_err("it is refused").to_string();
    assert!(
        sentence.contains("Fetch version 12") && sentence.contains("0 to 11"),
        "{sentence}"
    );
}
