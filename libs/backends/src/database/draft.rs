//! What one commit will write, seen by those who are still adding to it.

use std::collections::{BTreeMap, HashMap};
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
    /// Of each keyspace.
    tables: Vec<HashMap<Slice, Option<Slice>, foldhash::fast::RandomState>>,
    /// Rows that nobody reads here, with the index of their keyspace.
    unread: Vec<(usize, Slice, Slice)>,
}

impl Draft {
    /// An empty draft.
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let tables = database.keyspaces.iter().map(|_| HashMap::default()).collect();
        Self { database, tables, unread: Vec::new() }
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

    /// The rows from one key to another, both included, ascending: as this draft would leave them, else as they are
    /// stored. It looks at all that the draft has in the table's keyspace.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    pub(crate) fn range(&self, table: Table, first: &[u8], last: &[u8]) -> Result<BTreeMap<Slice, Slice>> {
        let mut found = self.stored().range(table, first, last).collect::<Result<BTreeMap<_, _>>>()?;
        for (key, row) in &self.tables[table.index] {
            if **key < *first || **key > *last {
                continue;
            }
            match row {
                Some(row) => found.insert(key.clone(), row.clone()),
                None => found.remove(key),
            };
        }
        Ok(found)
    }

    /// All tables without what is in this draft.
    pub(crate) fn stored(&self) -> View<'_> {
        self.database.view()
    }

    /// Puts a row under a key.
    pub(crate) fn put(&mut self, table: Table, key: impl Into<Slice>, row: impl Into<Slice>) {
        self.tables[table.index].insert(key.into(), Some(row.into()));
    }

    /// Puts a row under a key that nothing else is put under or removed from, and that is not read through this
    /// draft: a row of a box whose head is known elsewhere.
    pub(crate) fn put_unread(&mut self, table: Table, key: impl Into<Slice>, row: impl Into<Slice>) {
        self.unread.push((table.index, key.into(), row.into()));
    }

    /// Removes the row under a key.
    pub(crate) fn remove(&mut self, table: Table, key: impl Into<Slice>) {
        self.tables[table.index].insert(key.into(), None);
    }

    /// Tells whether nothing was put.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.tables.iter().all(HashMap::is_empty)
    }

    /// Tells whether this draft removes the row under a key.
    pub(crate) fn removes(&self, table: Table, key: &[u8]) -> bool {
        self.tables[table.index].get(key).is_some_and(Option::is_none)
    }

    /// Forgets everything that was put.
    pub(crate) fn clear(&mut self) {
        self.tables.iter_mut().for_each(HashMap::clear);
        self.unread.clear();
    }

    /// Writes everything or nothing and leaves the draft empty. With `Durable` it returns after `fdatasync` of
    /// the journal, and readers see the rows only then.
    ///
    /// # Errors
    /// Nothing is known of what is on disk, and the engine takes no further commit.
    pub(crate) fn commit(&mut self, durability: Durability) -> fjall::Result<()> {
        let count = self.tables.iter().map(HashMap::len).sum::<usize>() + self.unread.len();
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
        for (table, key, row) in self.unread.drain(..) {
            batch.insert(&self.database.keyspaces[table], key, row);
        }
        batch.commit()
    }
}
