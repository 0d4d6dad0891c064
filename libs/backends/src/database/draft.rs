//! What one commit will write, seen by those who are still adding to it.

use std::collections::HashMap;
use std::sync::Arc;

use fjall::{OwnedWriteBatch, PersistMode, Slice};

use super::{Database, Table, View, not_read};
use crate::Result;

/// Whether an answer waits until the rows survive loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// A crash may undo it.
    Relaxed,
    /// It survives kill -9 and loss of power.
    Durable,
}

/// Rows on their way into one commit. Each key is written once, whatever was put under it on the way: a commit
/// of the engine with the same key twice would leave open which one counts.
pub(crate) struct Draft {
    database: Arc<Database>,
    tables: Vec<HashMap<Slice, Option<Slice>, foldhash::fast::RandomState>>,
}

impl Draft {
    /// An empty draft.
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let tables = database.keyspaces.iter().map(|_| HashMap::default()).collect();
        Self { database, tables }
    }

    /// The row under a key: as this draft would leave it, else as it is stored.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>> {
        match self.tables[table.index].get(key) {
            Some(row) => Ok(row.clone()),
            None => self.database.keyspace(table).get(key).map_err(|error| not_read(table, error)),
        }
    }

    /// All tables without what is in this draft.
    pub(crate) fn stored(&self) -> View<'_> {
        self.database.view()
    }

    /// Puts a row under a key.
    pub(crate) fn put(&mut self, table: Table, key: impl Into<Slice>, row: impl Into<Slice>) {
        self.tables[table.index].insert(key.into(), Some(row.into()));
    }

    /// Removes the row under a key.
    pub(crate) fn remove(&mut self, table: Table, key: impl Into<Slice>) {
        self.tables[table.index].insert(key.into(), None);
    }

    /// Forgets everything that was put.
    pub(crate) fn clear(&mut self) {
        self.tables.iter_mut().for_each(HashMap::clear);
    }

    /// Writes everything or nothing and leaves the draft empty. With `Durable` it returns after `fdatasync` of
    /// the journal, and readers see the rows only then.
    ///
    /// # Errors
    /// Nothing is known of what is on disk, and the engine takes no further commit.
    pub(crate) fn commit(&mut self, durability: Durability) -> fjall::Result<()> {
        let count = self.tables.iter().map(HashMap::len).sum();
        let mode = match durability {
            Durability::Relaxed => PersistMode::Buffer,
            Durability::Durable => PersistMode::SyncData,
        };
        let engine = self.database.engine.clone();
        let mut batch = OwnedWriteBatch::with_capacity(engine, count).durability(Some(mode));
        for (rows, keyspace) in self.tables.iter_mut().zip(&self.database.keyspaces) {
            for (key, row) in rows.drain() {
                match row {
                    Some(row) => batch.insert(keyspace, key, row),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        batch.commit()
    }
}
