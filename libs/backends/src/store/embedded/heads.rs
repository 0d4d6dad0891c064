//! The highest seq of each box.
//!
//! A box's head is its last row: there is no second record that could say something else. It is found by two
//! look-ups, and the writing thread keeps the heads it used last in memory. What it keeps is never ahead of the
//! disk: when a commit fails it is all forgotten.
//!
//! Rows are never removed from a box. Whoever adds a removal must leave something that holds the head.

use std::collections::HashMap;

use fjall::Slice;

use super::keys;
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{Table, View, corrupt};
use crate::generations::Generations;

/// Boxes of one table whose head is kept in memory: about 120 bytes each, twice that many at most.
const KEPT_COUNT_MAX: usize = 64 * 1024;

/// The highest seq in a box of a table, 0 where it is empty.
pub(super) fn top(view: &View<'_>, table: Table, box_key: &[u8]) -> Result<u64> {
    // Whether the first row is there is known without reading a block; for most boxes that are asked for the
    // first time the answer is no.
    let first = keys::in_box(box_key, 1);
    if view.get(table, &first)?.is_none() {
        return Ok(0);
    }
    let Some(last) = view.range(table, &first, &keys::in_box(box_key, u64::MAX)).next_back() else {
        return Err(corrupt(table, &first));
    };
    let (key, _) = last?;
    keys::last_number(&key).ok_or_else(|| corrupt(table, &key))
}

/// The heads of one table's boxes while commits are made.
pub(super) struct Heads {
    table: Table,
    kept: Generations<Slice, u64>,
    raised: HashMap<Slice, u64, foldhash::fast::RandomState>,
}

impl Heads {
    pub(super) fn new(table: Table) -> Self {
        Self { table, kept: Generations::new(KEPT_COUNT_MAX), raised: HashMap::default() }
    }

    /// The highest seq in a box, with what is in the draft; 0 where it is empty.
    pub(super) fn top(&self, draft: &Draft, box_key: &[u8]) -> Result<u64> {
        match self.raised.get(box_key).or_else(|| self.kept.get(box_key)) {
            Some(top) => Ok(*top),
            None => top(&draft.stored(), self.table, box_key),
        }
    }

    /// A row was put into the draft under this seq.
    pub(super) fn raise(&mut self, box_key: impl Into<Slice>, top: u64) {
        self.raised.insert(box_key.into(), top);
    }

    /// What was raised is on disk.
    pub(super) fn committed(&mut self) {
        for (box_key, top) in self.raised.drain() {
            self.kept.insert(box_key, top);
        }
    }

    /// What was raised may not be on disk.
    pub(super) fn abandoned(&mut self) {
        self.raised.clear();
        self.kept.clear();
    }
}
