//! What an earlier run left half done in a partition's directory: deletions, and segments that replace others.
//!
//! Kafka's cleaner and its split of a segment write the new segments as `.cleaned`, rename them to `.swap` from the last
//! to the first, rename the old ones to `.deleted`, and take `.swap` off the new names. Where that stopped tells what to
//! do: a `.cleaned` file, and a `.swap` file at or behind the first of them, belong to a replacement that was given up; the
//! other `.swap` files to one that is completed. Wherever that is cut off, the next start goes on with it: what is replaced
//! is found from the `.log.swap` files alone, and is gone durably before the first of them takes its name; they take
//! their names from the first to the last, each durably before the next, so that no new segment is ever taken for an old
//! one (rule S12).

use std::collections::BTreeSet;
use std::path::Path;

use super::OpenParams;
use super::error::LogError;
use super::replace::{CLEANED_SUFFIX, SWAP_SUFFIX};
use super::scan::{Scan, Step};
use super::segment::{DELETED_SUFFIX, base_offset_of};
use crate::disk::{Disk, OpenMode};

const LOG_SWAP_SUFFIX: &str = ".log.swap";
const TEMPORARY_SUFFIX: &str = ".tmp";
/// What belongs to a segment besides its batches.
const INDEXES: [&str; 3] = ["index", "timeindex", "txnindex"];

/// The segments that stand in a directory.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Base offsets in ascending order.
    pub bases: Vec<i64>,
    /// The base offsets of those that have an index of aborted transactions.
    pub with_transaction_index: BTreeSet<i64>,
}

/// Removes or completes what an earlier run left half done, and says what segments there are.
///
/// # Errors
/// The file system's; damaged bytes in a segment that is about to replace others.
pub(super) fn clean_directory(params: &OpenParams) -> Result<Segments, LogError> {
    let (disk, dir) = (params.files.disk(), &*params.dir);
    let found = names(disk, dir)?;
    let cleaned = found.iter().filter(|name| name.ends_with(CLEANED_SUFFIX));
    let first_cleaned = cleaned.filter_map(|name| offset_of(name)).min();
    let is_given_up = |name: &String| {
        name.ends_with(SWAP_SUFFIX)
            && first_cleaned
                .zip(offset_of(name))
                .is_some_and(|(first, base)| base >= first)
    };
    // Durably before the `.cleaned` files go: without them these would count as a replacement to complete.
    if remove_all(disk, dir, found.iter().filter(|name| is_given_up(name)))? > 0 {
        disk.sync_dir(dir)?;
    }
    remove_all(disk, dir, found.iter().filter(|name| is_rubbish(name)))?;
    let swapped: Vec<&String> = found
        .iter()
        .filter(|name| name.ends_with(SWAP_SUFFIX) && offset_of(name).is_some() && !is_given_up(name))
        .collect();
    if !swapped.is_empty() {
        tracing::info!(log = %params.topic_partition, files = swapped.len(), "completing a replacement of segments");
        complete_swap(disk, dir, &swapped)?;
    }
    list_segments(disk, dir)
}

fn names(disk: &Disk, dir: &Path) -> Result<Vec<String>, LogError> {
    let entries = disk.read_dir(dir)?.into_iter();
    Ok(entries
        .filter(|entry| !entry.is_dir)
        .map(|entry| entry.name)
        .collect())
}

fn is_rubbish(name: &str) -> bool {
    [DELETED_SUFFIX, TEMPORARY_SUFFIX, CLEANED_SUFFIX]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// The offset before the first dot of a name.
fn offset_of(name: &str) -> Option<i64> {
    let (digits, _) = name.split_once('.')?;
    digits.parse().ok().filter(|offset| *offset >= 0)
}

fn remove_all<'a>(
    disk: &Disk,
    dir: &Path,
    names: impl Iterator<Item = &'a String>,
) -> Result<usize, LogError> {
    let mut removed = 0;
    for name in names {
        disk.remove_file(&dir.join(name))?;
        removed += 1;
    }
    Ok(removed)
}

fn complete_swap(disk: &Disk, dir: &Path, swapped: &[&String]) -> Result<(), LogError> {
    // Twenty digits each, so that the order of names is that of offsets.
    let (logs, others): (Vec<&String>, Vec<&String>) =
        swapped.iter().partition(|name| name.ends_with(LOG_SWAP_SUFFIX));
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for name in &logs {
        from = from.min(offset_of(name).unwrap_or(i64::MAX));
        to = to.max(next_offset(disk, &dir.join(name))?.max(offset_of(name).unwrap_or(i64::MIN)));
    }
    let is_replaced = |name: &&String| {
        !name.ends_with(SWAP_SUFFIX) && offset_of(name).is_some_and(|offset| (from..to).contains(&offset))
    };
    let found = names(disk, dir)?;
    if remove_all(disk, dir, found.iter().filter(is_replaced))? > 0 {
        disk.sync_dir(dir)?;
    }
    for name in logs {
        take_name(disk, dir, name)?;
        disk.sync_dir(dir)?;
    }
    for name in others {
        take_name(disk, dir, name)?;
    }
    Ok(disk.sync_dir(dir)?)
}

fn take_name(disk: &Disk, dir: &Path, name: &str) -> Result<(), LogError> {
    let bare = name.strip_suffix(SWAP_SUFFIX).unwrap_or(name);
    Ok(disk.rename(&dir.join(name), &dir.join(bare))?)
}

/// The offset behind the last batch of a file that is not a segment yet; the smallest number of an empty one.
fn next_offset(disk: &Disk, path: &Path) -> Result<i64, LogError> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut scan = Scan::new(&file, 0, file.len()?);
    let mut next = i64::MIN;
    loop {
        match scan.next(true)? {
            Step::Batch(_, batch) => next = batch.next_offset(),
            Step::End => return Ok(next),
            Step::Invalid(position, reason) => {
                return Err(LogError::Corrupt {
                    file: path.display().to_string(),
                    position,
                    offset: next.max(0),
                    reason,
                });
            }
        }
    }
}

/// Lists what is there now, without indexes that have lost their segment.
fn list_segments(disk: &Disk, dir: &Path) -> Result<Segments, LogError> {
    let found = names(disk, dir)?;
    let mut segments = Segments {
        bases: found
            .iter()
            .filter_map(|name| base_offset_of(name, "log"))
            .collect(),
        ..Segments::default()
    };
    segments.bases.sort_unstable();
    for name in &found {
        for extension in INDEXES {
            let Some(base) = base_offset_of(name, extension) else {
                continue;
            };
            if segments.bases.binary_search(&base).is_err() {
                tracing::warn!(file = %dir.join(name).display(), "an index without its segment is removed");
                disk.remove_file(&dir.join(name))?;
            } else if extension == "txnindex" {
                segments.with_transaction_index.insert(base);
            }
        }
    }
    Ok(segments)
}
