//! The readable trace of a seed, and its fingerprint: two runs of one seed must have the same.

use std::cell::Cell;
use std::fmt::{self, Write};

/// Takes the lines of a trace.
#[derive(Debug, Default)]
pub struct Trace {
    prints: bool,
    fingerprint: Cell<u64>,
    lines: Cell<u64>,
}

impl Trace {
    /// A trace that is printed as it grows, or only fingerprinted.
    pub fn new(prints: bool) -> Trace {
        Trace {
            prints,
            ..Trace::default()
        }
    }

    /// Adds one line.
    pub fn line(&self, at_ms: i64, life: u32, args: fmt::Arguments<'_>) {
        let mut hash = Fingerprint(self.fingerprint.get());
        // Writing into a fingerprint cannot fail.
        writeln!(hash, "{at_ms} {life} {args}").unwrap_or_default();
        self.fingerprint.set(hash.0);
        self.lines.set(self.lines.get() + 1);
        if self.prints {
            println!("[{:>9}.{:03} life {life}] {args}", at_ms / 1_000, at_ms % 1_000);
        }
    }

    /// The fingerprint of all lines so far.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.get()
    }

    /// How many lines there are.
    pub fn lines(&self) -> u64 {
        self.lines.get()
    }
}

/// FNV-1a.
struct Fingerprint(u64);

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
