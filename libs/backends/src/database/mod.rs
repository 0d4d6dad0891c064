//! What the embedded store and the embedded broker stand on: tables in a folder, read by a few threads and
//! written by one.
//!
//! The engine is fjall, a log-structured merge tree: a commit goes to its journal, the journal is made durable
//! with `fdatasync`, and only then do readers see the rows ([`draft::Draft::commit`]). This module adds what
//! fjall leaves open:
//!
//! - [`folder`]: the folder belongs to one process, with an error that names it;
//! - creation that is whole or not there: a new database is built beside its place and renamed into it;
//! - a format version, checked before anything is read;
//! - [`torn`]: a commit that lost its middle with the power is cut off, where fjall would not open;
//! - [`marks`]: where readers begin to look;
//! - [`writer`]: one thread that joins what waits into one commit;
//! - [`readers`]: threads for reading, since nothing in an asynchronous method may block.

pub(crate) mod draft;
pub(crate) mod floor;
pub(crate) mod folder;
pub(crate) mod marks;
pub(crate) mod readers;
pub(crate) mod torn;
pub(crate) mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};

use crate::{Error, Kind, Result};
use folder::Folder;
use marks::{Marks, Opened};

/// One kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// Where its keyspace stands in [`Layout::keyspaces`].
    pub(crate) index: usize,
    /// What tells its keys from those of other tables in the same keyspace; how is a matter of those who make them.
    pub(crate) part: Option<u8>,
    /// Its name in errors.
    pub(crate) name: &'static str,
}

/// What a database is made of.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Whose it is, such as `store`.
    pub(crate) name: &'static str,
    /// The version of keys and rows that this build reads and writes.
    pub(crate) version: u32,
    /// The names of its keyspaces on disk. Each costs some milliseconds when a database is made, files, and memory:
    /// tables that are small or seldom written to share one.
    pub(crate) keyspaces: &'static [&'static str],
    /// Bytes of blocks kept in memory for reading.
    pub(crate) cache_bytes: u64,
    /// Bytes of rows that a keyspace keeps in memory before it writes them out: what a start replays from the
    /// journal is bounded by it.
    pub(crate) memtable_bytes: u64,
    /// Threads that write tables out and merge them. With more than one, fjall 3.1 keeps the first spinning while
    /// another merges, which costs more than it gains.
    pub(crate) worker_threads: usize,
}

/// Tables in a folder.
pub(crate) struct Database {
    engine: fjall::Database,
    keyspaces: Vec<fjall::Keyspace>,
    marks: Marks,
    name: &'static str,
    // Given back last: fields are dropped in this order.
    folder: Folder,
}

/// fjall's files, below the folder.
const DATABASE: &str = "database";
/// Where a new database is built; what is left there by a crash was never used.
const UNFINISHED: &str = "database.new";
/// The table that holds the format, and its only key.
const FORMAT: &str = "format";
/// Journals are written out and removed beyond this; fjall takes no less.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files of tables kept open.
const OPEN_FILES_MAX: usize = 256;

impl Database {
    /// Opens the database in a folder, creating both where they are not there. It blocks.
    ///
    /// # Errors
    /// `Conflict` where another process has the folder; `Corrupt` where what is there cannot be read, or has
    /// another format; `Transient` where the file system refuses.
    pub(crate) fn open(path: &Path, layout: &Layout) -> Result<Self> {
        let folder = Folder::take(path)?;
        let database = path.join(DATABASE);
        let refused = |error: std::io::Error| {
            let message = format!("{} in {} cannot be created: {error}", layout.name, path.display());
            Error::new(Kind::Transient, message).caused_by(error)
        };
        if !database.try_exists().map_err(refused)? {
            let unfinished = path.join(UNFINISHED);
            if unfinished.try_exists().map_err(refused)? {
                fs::remove_dir_all(&unfinished).map_err(refused)?;
            }
            create(&unfinished, layout)?;
            fs::rename(&unfinished, &database).map_err(refused)?;
            folder::sync(path).map_err(refused)?;
        }
        let engine = match open_engine(&database, layout) {
            Err(fjall::Error::JournalRecovery(error)) => {
                tracing::warn!(target: "backends", folder = %path.display(), %error, "journal cannot be replayed");
                torn::cut_off(&database)?;
                open_engine(&database, layout)
            }
            opened => opened,
        }
        .map_err(|error| not_opened(path, layout, error))?;
        check_format(&engine, path, layout)?;
        let keyspaces = open_keyspaces(&engine, layout).map_err(|error| not_opened(path, layout, error))?;
        let marks = Marks::new(keyspaces.len());
        Ok(Self { engine, keyspaces, marks, name: layout.name, folder })
    }

    /// A view of all tables as they stand at this moment.
    pub(crate) fn view(&self) -> View<'_> {
        let (snapshot, opened) = self.marks.open(|| self.engine.snapshot());
        View { database: self, snapshot, opened }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn keyspace(&self, table: Table) -> &fjall::Keyspace {
        &self.keyspaces[table.index]
    }
}

/// All tables as they stood at one moment.
pub(crate) struct View<'a> {
    database: &'a Database,
    snapshot: Snapshot,
    opened: Opened,
}

impl View<'_> {
    /// The row under a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>> {
        self.snapshot.get(self.database.keyspace(table), key).map_err(|error| not_read(table, error))
    }

    /// The number noted under a key, by this view or one that saw no more than it does.
    pub(crate) fn marked(&self, table: Table, key: &[u8]) -> Option<u64> {
        self.database.marks.get(table.index, key, self.opened)
    }

    /// Notes a number under a key that this view has read there; only a higher one takes its place.
    pub(crate) fn mark(&self, table: Table, key: &[u8], number: u64) {
        self.database.marks.note(table.index, key, number, self.opened);
    }

    /// The rows from one key to another, both included, ascending.
    pub(crate) fn range(
        &self,
        table: Table,
        first: &[u8],
        last: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Slice, Slice)>> + use<> {
        // The engine takes no range that ends before it begins.
        let last = if last < first { first } else { last };
        self.snapshot
            .range(self.database.keyspace(table), first..=last)
            .map(move |row| row.into_inner().map_err(|error| not_read(table, error)))
    }
}

/// The error of a row that is not what its table holds.
pub(crate) fn corrupt(table: Table, key: &[u8]) -> Error {
    let message = format!("row of table {} under key \"{}\" cannot be read", table.name, key.escape_ascii());
    Error::new(Kind::Corrupt, message)
}

/// Runs what blocks on a thread of its own and waits for it without blocking.
pub(crate) async fn off_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, waiter) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Who waited may have given up; what was opened is then closed again.
        let _ = answer.send(work());
    });
    if let Err(error) = started {
        let message = format!("thread {name} cannot be started: {error}");
        return Err(Error::new(Kind::Transient, message).caused_by(error));
    }
    match waiter.await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Kind::Corrupt, format!("thread {name} ended without an answer"))),
    }
}

/// Shares a database that was opened.
pub(crate) async fn open(path: PathBuf, layout: &'static Layout) -> Result<Arc<Database>> {
    off_thread(layout.name, move || Database::open(&path, layout).map(Arc::new)).await
}

fn create(path: &Path, layout: &Layout) -> Result<()> {
    let created = || {
        let engine = open_engine(path, layout)?;
        open_keyspaces(&engine, layout)?;
        let format = engine.keyspace(FORMAT, KeyspaceCreateOptions::default)?;
        format.insert(FORMAT, format_of(layout))?;
        engine.persist(PersistMode::SyncAll)
    };
    created().map_err(|error| not_opened(path, layout, error))
}

fn open_engine(path: &Path, layout: &Layout) -> fjall::Result<fjall::Database> {
    fjall::Database::builder(path)
        .cache_size(layout.cache_bytes)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .worker_threads(layout.worker_threads)
        .open()
}

fn open_keyspaces(engine: &fjall::Database, layout: &Layout) -> fjall::Result<Vec<fjall::Keyspace>> {
    let options = || KeyspaceCreateOptions::default().max_memtable_size(layout.memtable_bytes);
    layout.keyspaces.iter().map(|name| engine.keyspace(name, options)).collect()
}

fn format_of(layout: &Layout) -> String {
    format!("{} {}", layout.name, layout.version)
}

fn check_format(engine: &fjall::Database, path: &Path, layout: &Layout) -> Result<()> {
    let expected = format_of(layout);
    let found = if engine.keyspace_exists(FORMAT) {
        engine
            .keyspace(FORMAT, KeyspaceCreateOptions::default)
            .and_then(|format| format.get(FORMAT))
            .map_err(|error| not_opened(path, layout, error))?
    } else {
        None
    };
    let path = path.display();
    let message = match found {
        Some(found) if *found == *expected.as_bytes() => return Ok(()),
        Some(found) => {
            let found = found.get(..found.len().min(64)).unwrap_or_default().escape_ascii().to_string();
            format!("folder {path} has the format \"{found}\", this build reads \"{expected}\"")
        }
        None => format!("folder {path} says no format, this build reads \"{expected}\""),
    };
    Err(Error::new(Kind::Corrupt, message))
}

fn not_opened(path: &Path, layout: &Layout, error: fjall::Error) -> Error {
    let kind = match &error {
        fjall::Error::Locked => Kind::Conflict,
        error => kind_of(error),
    };
    let message = format!("{} in {} cannot be opened: {error}", layout.name, path.display());
    Error::new(kind, message).caused_by(error)
}

fn not_read(table: Table, error: fjall::Error) -> Error {
    Error::new(kind_of(&error), format!("table {} cannot be read: {error}", table.name)).caused_by(error)
}

fn kind_of(error: &fjall::Error) -> Kind {
    match error {
        fjall::Error::Io(_) | fjall::Error::Storage(fjall::LsmError::Io(_)) | fjall::Error::Poisoned => {
            Kind::Transient
        }
        _ => Kind::Corrupt,
    }
}
