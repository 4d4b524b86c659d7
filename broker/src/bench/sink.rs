//! `sink`: what any broker must do with produced bytes, and nothing else: read a frame, check its CRC-32C, write it to a
//! file through the page cache.
//!
//! Into a new file on memory that is warm it is **L-produce-new**; over pages that are resident already, **L-produce**.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::cores::Cores;
use super::error::{BenchError, Doing};
use super::frames::{self, BODY_BYTES, FRAME_BYTES};
use super::loopback::{Congestion, Settings};
use super::options::Scale;
use super::scratch::Scratch;
use super::stream::{self, Bound, READ_BYTES, Stream, UnderTest};

/// Frames per write of the generator: about 64 KiB.
const FRAMES_PER_WRITE: usize = 4;

/// Where frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Checked and dropped.
    Nothing,
    /// Appended to a file that grows, right after as much memory was freed.
    NewFile,
    /// Written over a file that has its length and whose pages are in memory.
    RecycledWindow,
}

impl Target {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Target::Nothing => "nothing",
            Target::NewFile => "new file",
            Target::RecycledWindow => "recycled window",
        }
    }
}

/// One target under one setting.
#[derive(Clone, Debug, Serialize)]
pub struct SinkRow {
    /// Where frames end.
    pub target: Target,
    /// The receiver is the broker's part.
    #[serde(flatten)]
    pub stream: Stream,
}

/// Every target under every setting.
///
/// # Errors
/// The system's; a frame that arrives damaged.
pub fn measure(
    scratch: &Scratch,
    settings: &Settings,
    cores: &Cores,
    scale: &Scale,
) -> Result<Vec<SinkRow>, BenchError> {
    let mut rows = Vec::new();
    let window = scratch.resident_file(scale.window_bytes)?;
    for congestion in &settings.settings {
        let usual = Bound::of(scale);
        rows.push(into(congestion, cores, Target::Nothing, usual, |_, _| Ok(()))?);
        // Frees as many bytes as will be needed, so that they are warm.
        drop(scratch.resident_file(scale.window_bytes)?);
        let new = scratch.nameless_file()?;
        let once = Bound::bytes(scale.window_bytes, scale);
        let append = |frame, body: &[u8]| write(&new, frame, body);
        rows.push(into(congestion, cores, Target::NewFile, once, append)?);
        let frames_in_window = scale.window_bytes / BODY_BYTES as u64;
        let overwrite = |frame, body: &[u8]| write(&window, frame % frames_in_window, body);
        rows.push(into(congestion, cores, Target::RecycledWindow, usual, overwrite)?);
    }
    Ok(rows)
}

fn into(
    congestion: &Congestion,
    cores: &Cores,
    target: Target,
    bound: Bound,
    keep: impl Fn(u64, &[u8]) -> Result<(), BenchError> + Sync,
) -> Result<SinkRow, BenchError> {
    let stream = stream::run(
        congestion,
        cores.apart(),
        UnderTest::Receiver,
        |to| generate(to, bound),
        |from| receive(from, &keep),
    )?;
    Ok(SinkRow { target, stream })
}

fn write(file: &File, frame: u64, body: &[u8]) -> Result<(), BenchError> {
    file.write_all_at(body, frame * BODY_BYTES as u64)
        .doing("write a file of the probe")
}

fn generate(mut to: TcpStream, bound: Bound) -> Result<(), BenchError> {
    let frames = frames::encoded(FRAMES_PER_WRITE);
    bound.keep(|_| {
        to.write_all(&frames).doing("send on 127.0.0.1")?;
        Ok(frames.len() as u64)
    })
}

/// Reads as much as there is, and hands on each whole frame that is intact.
fn receive(
    mut from: impl Read,
    keep: impl Fn(u64, &[u8]) -> Result<(), BenchError>,
) -> Result<u64, BenchError> {
    let mut buffer = vec![0_u8; READ_BYTES];
    let (mut filled, mut frame) = (0, 0);
    loop {
        let bytes = from.read(&mut buffer[filled..]).doing("receive on 127.0.0.1")?;
        if bytes == 0 {
            return Ok(frame * FRAME_BYTES as u64);
        }
        filled += bytes;
        let whole = filled - filled % FRAME_BYTES;
        for encoded in buffer[..whole].chunks_exact(FRAME_BYTES) {
            let body = frames::intact_body(encoded).ok_or(BenchError::Damaged { frame })?;
            keep(frame, body)?;
            frame += 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Gives its bytes in pieces of a size that divides no frame.
    struct Pieces<'a>(&'a [u8]);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let bytes = self.0.len().min(into.len()).min(1009);
            into[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    #[test]
    fn frames_are_found_however_they_arrive() {
        let encoded = frames::encoded(20);
        let kept = RefCell::new(Vec::new());
        let keep = |frame, body: &[u8]| {
            kept.borrow_mut().push((frame, body.len()));
            Ok(())
        };
        assert_eq!(
            receive(Pieces(&encoded), keep).expect("intact"),
            encoded.len() as u64
        );
        let expected: Vec<_> = (0..20).map(|frame| (frame, BODY_BYTES)).collect();
        assert_eq!(kept.into_inner(), expected);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut encoded = frames::encoded(3);
        encoded[2 * FRAME_BYTES + 700] ^= 4;
        let failed = receive(Pieces(&encoded), |_, _| Ok(()));
        assert!(
            matches!(failed, Err(BenchError::Damaged { frame: 2 })),
            "{failed:?}"
        );
    }
}
