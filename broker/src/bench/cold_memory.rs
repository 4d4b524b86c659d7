//! What the first touch of memory costs.
//!
//! In a virtual machine whose freed memory goes back to the host, a page that nobody used for some seconds must be fetched
//! again when it is touched. A benchmark that does not know this measures the hypervisor. The same bytes are written
//! four times through the page cache, each time onto pages of another kind.

use std::thread;

use serde::Serialize;

use super::cores::{Cores, alone};
use super::error::{BenchError, Doing};
use super::options::Scale;
use super::scratch::{Scratch, fill};

/// One pass of writing.
#[derive(Clone, Debug, Serialize)]
pub struct ColdMemoryRow {
    /// Onto which pages.
    pub pages: &'static str,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// Of the writing thread.
    pub cpu_s_per_gb: f64,
}

/// Writes a file, writes it again, and twice more after its pages were freed: at once and after a pause.
///
/// # Errors
/// The system's.
pub fn measure(scratch: &Scratch, cores: &Cores, scale: &Scale) -> Result<Vec<ColdMemoryRow>, BenchError> {
    let file = scratch.nameless_file()?;
    let write = |pages| {
        let ((), spent) = alone(cores.first(), || fill(&file, scale.cold_bytes))?;
        let gb = scale.cold_bytes as f64 / 1e9;
        Ok(ColdMemoryRow {
            pages,
            gb_per_s: gb / spent.wall.as_secs_f64(),
            cpu_s_per_gb: spent.cpu.as_secs_f64() / gb,
        })
    };
    let free = || file.set_len(0).doing("cut a file of the probe");
    let first = write("new, as found")?;
    let second = write("resident")?;
    free()?;
    let third = write("new, just freed")?;
    free()?;
    // The time is what is measured: how long the host leaves freed memory alone.
    thread::sleep(scale.cold_pause);
    let fourth = write("new, freed and left alone")?;
    Ok(vec![first, second, third, fourth])
}
