//! The store in RocksDB: one column family, one write-ahead log, memory under one bound.
//!
//! A torn tail of the write-ahead log is cut off, damage before it is refused (RocksDB's own default would drop what
//! follows the damage in silence). Refused, damaged or foreign content is dropped whole: the log has it.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIteratorWithThreadMode, DBRecoveryMode, Error,
    ErrorKind, FlushOptions, LogLevel, Options, WriteBatch, WriteBufferManager, WriteOptions,
};

use super::{Change, OffsetStoreError, OffsetStoreOptions, Step};

/// Layout of keys and values. A store of another one is emptied.
const FORMAT: &[u8] = b"1";
const FORMAT_KEY: &[u8] = b"format";

pub(super) struct Rocks {
    path: PathBuf,
    db: DB,
    cache: Cache,
    write_options: WriteOptions,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Rocks {
    pub(super) fn open(path: &Path, options: &OffsetStoreOptions) -> Result<Rocks, OffsetStoreError> {
        match Rocks::try_open(path, options) {
            Ok(Some(rocks)) => return Ok(rocks),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "offset store has another format, it is filled again from the log")
            }
            Err(e) if e.kind() == ErrorKind::Corruption => {
                tracing::warn!(path = %path.display(), reason = %e, "offset store is damaged, it is filled again from the log");
            }
            Err(e) => return Err(failure(path, &e)),
        }
        DB::destroy(&Options::default(), path).map_err(|e| failure(path, &e))?;
        match Rocks::try_open(path, options) {
            Ok(Some(rocks)) => Ok(rocks),
            Ok(None) => Err(OffsetStoreError {
                path: path.to_owned(),
                reason: "a new store does not have the format just written".to_owned(),
            }),
            Err(e) => Err(failure(path, &e)),
        }
    }

    /// `None` if the store has another format.
    fn try_open(path: &Path, options: &OffsetStoreOptions) -> Result<Option<Rocks>, Error> {
        let cache = Cache::new_lru_cache(options.memory_bytes);
        let db = DB::open(&database_options(options, &cache), path)?;
        match db.get(FORMAT_KEY)? {
            Some(format) if format == FORMAT => {}
            Some(_) => return Ok(None),
            None => db.put(FORMAT_KEY, FORMAT)?,
        }
        let mut write_options = WriteOptions::default();
        write_options.set_sync(options.sync_writes);
        Ok(Some(Rocks {
            path: path.to_owned(),
            db,
            cache,
            write_options,
        }))
    }

    pub(super) fn write(&self, changes: &[Change<'_>]) -> Result<(), OffsetStoreError> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.put(key, value),
                Change::Remove(key) => batch.delete(key),
                Change::RemoveRange(from, to) => batch.delete_range(from, to),
            }
        }
        self.db
            .write_opt(batch, &self.write_options)
            .map_err(|e| self.failed(&e))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, OffsetStoreError> {
        self.db.get(key).map_err(|e| self.failed(&e))
    }

    pub(super) fn scan(
        &self,
        from: &[u8],
        entry: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), OffsetStoreError> {
        let mut rows: DBRawIteratorWithThreadMode<'_, DB> = self.db.raw_iterator();
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            match entry(key, value) {
                Step::Next => rows.next(),
                Step::Seek(key) => rows.seek(key),
                Step::Stop => return Ok(()),
            }
        }
        rows.status().map_err(|e| self.failed(&e))
    }

    pub(super) fn flush(&self) -> Result<(), OffsetStoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_opt(&options).map_err(|e| self.failed(&e))
    }

    pub(super) fn memory_usage_bytes(&self) -> u64 {
        // Write buffers are charged to the cache; readers of open tables are not.
        let readers = self
            .db
            .property_int_value("rocksdb.estimate-table-readers-mem")
            .ok()
            .flatten()
            .unwrap_or(0);
        readers.saturating_add(self.cache.get_usage() as u64)
    }

    fn failed(&self, error: &Error) -> OffsetStoreError {
        failure(&self.path, error)
    }
}

fn failure(path: &Path, error: &Error) -> OffsetStoreError {
    OffsetStoreError {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Of the whole memory this part may be write buffers; the rest is for blocks.
const WRITE_BUFFER_SHARE: usize = 8;

fn database_options(options: &OffsetStoreOptions, cache: &Cache) -> Options {
    let write_bytes = (options.memory_bytes / WRITE_BUFFER_SHARE).max(64 << 10);
    let mut database = Options::default();
    database.create_if_missing(true);
    database.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // One bound for everything: buffers are charged to the block cache.
    database.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        write_bytes,
        false,
        cache.clone(),
    ));
    database.set_write_buffer_size(write_bytes / 2);
    database.set_max_write_buffer_number(2);
    database.set_block_based_table_factory(&table_options(cache));
    // A start replays at most this much.
    database.set_max_total_wal_size(write_bytes as u64);
    database.set_max_open_files(options.max_open_files);
    database.set_compression_type(DBCompressionType::None);
    database.set_max_background_jobs(2);
    // A start must not read every table's statistics.
    database.set_skip_stats_update_on_db_open(true);
    database.set_manifest_preallocation_size(64 << 10);
    // RocksDB's own log: little, small, and few old ones.
    database.set_log_level(LogLevel::Warn);
    database.set_keep_log_file_num(2);
    database.set_max_log_file_size(256 << 10);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    database
}

fn table_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    table
}
