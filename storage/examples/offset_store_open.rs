//! Measures how long the offset store takes from open to ready with a million committed offsets.
//!
//! `cargo run -p storage --example offset_store_open [-- ROWS]` fills a store in a temporary directory, closes
//! it, opens it five times and prints each time until the first group's offsets are read.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use storage::offset_store::{OffsetStore, OffsetStoreOptions, RowChange, row_key};

const PARTITIONS: i32 = 50;
const OFFSETS_PER_GROUP: i32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let rows: i32 = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |rows| rows.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("offsets");
    let options = OffsetStoreOptions::default();
    fill(&OffsetStore::open(&path, &options)?, rows / OFFSETS_PER_GROUP)?;
    for _ in 0..5 {
        let start = Instant::now();
        let store = OffsetStore::open(&path, &options)?;
        let applied: usize = (0..PARTITIONS)
            .filter_map(|partition| store.applied_offset(partition).transpose())
            .count();
        let mut found = 0;
        store.scan_prefix(0, &row_key::offsets_of_group("group-0"), |_, _| {
            found += 1;
            ControlFlow::Continue(())
        })?;
        println!(
            "{rows} rows: ready after {:?} ({applied} partitions, {found} offsets of the first group, {} KiB of memory)",
            start.elapsed(),
            store.memory_usage_bytes() / 1024
        );
    }
    Ok(())
}

fn fill(store: &OffsetStore, groups: i32) -> Result<(), Box<dyn Error>> {
    let value = [0; 40];
    for group in 0..groups {
        let id = format!("group-{group}");
        let keys: Vec<_> = (0..OFFSETS_PER_GROUP)
            .map(|partition| row_key::offset(&id, "orders", partition))
            .collect();
        let rows: Vec<RowChange<'_>> = keys
            .iter()
            .map(|key| (key.as_slice(), Some(value.as_slice())))
            .collect();
        store.apply(group % PARTITIONS, &rows, i64::from(group) * 100)?;
    }
    Ok(())
}
