//! A node in this process, and connections of mutated but plausible requests to it.
//!
//! A connection is a list of steps. Each names one of the differential suite's requests and up to three places in which it
//! is changed. The node must answer what it answers decodably, and live.

#![no_main]

use std::sync::OnceLock;

use fuzz::{node, seeds};
use integration_tests::bad_input::requests;
use libfuzzer_sys::fuzz_target;

/// Steps of a connection.
const MOST_STEPS: usize = 8;
/// API key and version stay as they are, so that a step is plausible; the correlation id is the step's number.
const BODY_AT: usize = 8;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let mut rest = data;
    let mut frames = Vec::new();
    while let Some(frame) = take_step(&mut rest, frames.len()) {
        frames.push(frame);
        if frames.len() == MOST_STEPS {
            break;
        }
    }
    if !frames.is_empty() {
        node::converse(&frames);
    }
});

fn sound() -> &'static [Vec<u8>] {
    static SOUND: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SOUND.get_or_init(|| {
        requests::all()
            .into_iter()
            .filter(|frame| frame.len() > BODY_AT)
            .collect()
    })
}

/// Two bytes choose the request, one the number of changes; each change is a place, a kind and a byte.
fn take_step(rest: &mut &[u8], number: usize) -> Option<Vec<u8>> {
    let [high, low, changes, behind @ ..] = *rest else {
        return None;
    };
    *rest = behind;
    let which = usize::from(u16::from_be_bytes([*high, *low])) % sound().len();
    let mut frame = sound()[which].clone();
    for _ in 0..changes & 3 {
        let [high, low, kind, byte, behind @ ..] = *rest else {
            break;
        };
        *rest = behind;
        change(
            &mut frame,
            usize::from(u16::from_be_bytes([*high, *low])),
            *kind,
            *byte,
        );
    }
    if let Some(id) = frame.get_mut(4..BODY_AT) {
        id.copy_from_slice(&(number as u32 + 1).to_be_bytes());
    }
    Some(frame)
}

fn change(frame: &mut Vec<u8>, place: usize, kind: u8, byte: u8) {
    let length = frame.len() - BODY_AT;
    if length == 0 {
        return;
    }
    let at = BODY_AT + place % length;
    match kind % 6 {
        0 => frame[at] = byte,
        1 => frame[at] ^= 1 << (byte & 7),
        2 => frame.insert(at, byte),
        3 => drop(frame.remove(at)),
        4 => {
            let extreme = if byte & 1 == 0 {
                [0xff; 4]
            } else {
                [0x7f, 0xff, 0xff, 0xff]
            };
            frame[at..]
                .iter_mut()
                .zip(extreme)
                .for_each(|(old, new)| *old = new);
        }
        _ => {
            let end = (at + usize::from(byte)).min(frame.len());
            let again = frame[at..end].to_vec();
            frame.splice(at..at, again);
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let count = sound().len() as u16;
    let step = |which: u16| [&(which % count).to_be_bytes()[..], &[0]].concat();
    (0..count)
        .map(|which| {
            (0..4)
                .flat_map(|further| step(which.wrapping_mul(1 + further) + further))
                .collect()
        })
        .collect()
}
