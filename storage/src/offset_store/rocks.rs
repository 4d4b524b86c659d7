//! The store in RocksDB: one column family, no write-ahead log, memory under one bound.
//!
//! The partitions' logs are the write-ahead log. What RocksDB has on disk is a state of the whole store at one moment, each
//! partition's applied offset in it; a killed process loses what came after, a few MiB at most, and reads it from the logs
//! again. Damaged or foreign content is dropped whole, whether it shows when the store opens or when a row is read: every
//! block has a checksum. After damage no call is answered, because the rows beside it may be needed by whoever asks next.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIteratorWithThreadMode, Error, ErrorKind,
    FlushOptions, LogLevel, Options, WriteBatch, WriteBufferManager, WriteOptions,
};

use super::{Change, OffsetStoreError, OffsetStoreOptions, Step};

/// Layout of keys and values. A store of another one is emptied.
const FORMAT: &[u8] = b"2";
const FORMAT_KEY: &[u8] = b"format";

pub(super) struct Rocks {
    path: PathBuf,
    options: OffsetStoreOptions,
    /// `None` once the store was closed to make room for another.
    db: RwLock<Option<DB>>,
    cache: Cache,
    is_lost: AtomicBool,
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
                tracing::warn!(path = %path.display(), "the offset store has another format, it is filled again from the log");
            }
            Err(e) if is_damage_at_open(&e) => {
                tracing::warn!(path = %path.display(), reason = %e, "the offset store is damaged, it is filled again from the log");
            }
            Err(e) => return Err(failure(path, &e)),
        }
        Rocks::open_empty(path, options)
    }

    fn open_empty(path: &Path, options: &OffsetStoreOptions) -> Result<Rocks, OffsetStoreError> {
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
        let readers = TABLE_READER_BYTES.saturating_mul(usize::try_from(options.max_open_files).unwrap_or(0));
        let cache = Cache::new_lru_cache(options.memory_bytes.saturating_sub(readers));
        let db = DB::open(&database_options(options, &cache), path)?;
        match db.get(FORMAT_KEY)? {
            Some(format) if format == FORMAT => {}
            Some(_) => return Ok(None),
            None => db.put_opt(FORMAT_KEY, FORMAT, &unlogged())?,
        }
        Ok(Some(Rocks {
            path: path.to_owned(),
            options: *options,
            db: RwLock::new(Some(db)),
            cache,
            is_lost: AtomicBool::new(false),
        }))
    }

    /// Closes this store and opens an empty one in its place.
    pub(super) fn replace(&self) -> Result<Rocks, OffsetStoreError> {
        self.is_lost.store(true, Ordering::Release);
        drop(self.db.write().take());
        Rocks::open_empty(&self.path, &self.options)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
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
        self.with_db(|db| db.write_opt(batch, &unlogged()))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, OffsetStoreError> {
        self.with_db(|db| db.get(key))
    }

    pub(super) fn scan(
        &self,
        from: &[u8],
        entry: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), OffsetStoreError> {
        self.with_db(|db| {
            let mut rows: DBRawIteratorWithThreadMode<'_, DB> = db.raw_iterator();
            rows.seek(from);
            while let Some((key, value)) = rows.item() {
                match entry(key, value) {
                    Step::Next => rows.next(),
                    Step::Seek(key) => rows.seek(key),
                    Step::Stop => return Ok(()),
                }
            }
            rows.status()
        })
    }

    pub(super) fn flush(&self) -> Result<(), OffsetStoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.with_db(|db| db.flush_opt(&options))
    }

    pub(super) fn memory_usage_bytes(&self) -> u64 {
        // Write buffers are charged to the cache; readers of open tables are not.
        self.property("rocksdb.estimate-table-readers-mem")
            .saturating_add(self.cache.get_usage() as u64)
    }

    pub(super) fn estimated_rows(&self) -> u64 {
        self.property("rocksdb.estimate-num-keys")
    }

    fn property(&self, name: &str) -> u64 {
        let value = self.with_db(|db| db.property_int_value(name));
        value.ok().flatten().unwrap_or(0)
    }

    /// A scan may look something up on its way, so the lock is taken again by who has it.
    fn with_db<R>(&self, work: impl FnOnce(&DB) -> Result<R, Error>) -> Result<R, OffsetStoreError> {
        let db = self.db.read_recursive();
        match db.as_ref() {
            Some(db) if !self.is_lost() => work(db).map_err(|error| self.failed(&error)),
            _ => Err(OffsetStoreError {
                path: self.path.clone(),
                reason: "the store was damaged and is given up".to_owned(),
            }),
        }
    }

    fn failed(&self, error: &Error) -> OffsetStoreError {
        if is_damage(error) && !self.is_lost.swap(true, Ordering::AcqRel) {
            tracing::warn!(path = %self.path.display(), reason = %error, "the offset store is damaged, it is filled again from the log");
        }
        failure(&self.path, error)
    }
}

/// Whether something that RocksDB wrote is not there any more. That a file is missing is told by the text alone.
fn is_damage(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Corruption => true,
        ErrorKind::IOError => error.as_ref().contains("No such file or directory"),
        _ => false,
    }
}

/// While a store opens, what RocksDB does not understand is damage or comes from another program.
fn is_damage_at_open(error: &Error) -> bool {
    is_damage(error)
        || matches!(
            error.kind(),
            ErrorKind::InvalidArgument | ErrorKind::NotSupported | ErrorKind::NotFound
        )
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn failure(path: &Path, error: &Error) -> OffsetStoreError {
    OffsetStoreError {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Memory kept free for the reader of one open table; its index and filter are in the cache.
const TABLE_READER_BYTES: usize = 8 << 10;

/// Of the whole memory this part may be write buffers; the rest is for blocks.
const WRITE_BUFFER_SHARE: usize = 8;

fn database_options(options: &OffsetStoreOptions, cache: &Cache) -> Options {
    // What is in write buffers is read from the logs again after a kill.
    let write_bytes = (options.memory_bytes / WRITE_BUFFER_SHARE).max(64 << 10);
    let mut database = Options::default();
    database.create_if_missing(true);
    // One bound for everything: buffers are charged to the block cache.
    database.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        write_bytes,
        false,
        cache.clone(),
    ));
    database.set_write_buffer_size(write_bytes / 2);
    database.set_max_write_buffer_number(2);
    database.set_block_based_table_factory(&table_options(cache));
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
