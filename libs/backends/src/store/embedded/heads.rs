//! The head of each box: its highest seq, and what its last row says of all rows up to it.
//!
//! A box's head is its last row: there is no second record that could say something else. Readers begin to look for it
//! where they found it last, and the writing thread keeps the heads it used last in memory. When a commit fails they
//! are all forgotten.
//!
//! Rows are never removed from a box. Whoever adds a removal must leave something that holds the head.

use fjall::Slice;

use super::keys::{self, CHANGES, INBOX, OUTBOX};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{Table, View, corrupt};
use crate::generations::Generations;
use crate::store::rows::{ChangeRow, Running};

/// Boxes of one table whose head is kept in memory: about 200 bytes each, twice that many at most.
const KEPT_COUNT_MAX: usize = 64 * 1024;

/// What is known of a box by its last row; the default is that of an empty box.
pub(super) trait Head: Copy + Default {
    /// Where the boxes are.
    const TABLE: Table;
    /// Whether the rows of a box are numbered 1, 2, 3 and so on.
    const CONSECUTIVE: bool;

    /// Reads it from the last row, whose key ends with this number.
    fn of(number: u64, row: &[u8]) -> Option<Self>;
}

/// The highest seq of an inbox.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InboxHead {
    pub(super) top: u64,
}

impl Head for InboxHead {
    const TABLE: Table = INBOX;
    const CONSECUTIVE: bool = true;

    fn of(number: u64, _: &[u8]) -> Option<Self> {
        Some(Self { top: number })
    }
}

/// The highest seq of a conversation, and what there is up to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OutboxHead {
    pub(super) top: u64,
    pub(super) running: Running,
}

impl Head for OutboxHead {
    const TABLE: Table = OUTBOX;
    const CONSECUTIVE: bool = true;

    fn of(number: u64, row: &[u8]) -> Option<Self> {
        Some(Self { top: number, running: Running::decode(row)? })
    }
}

/// The last change of a user's conversations that no inbox row tells: the version it made, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChangeHead {
    pub(super) version: u64,
    pub(super) ordinal: u64,
}

impl Head for ChangeHead {
    const TABLE: Table = CHANGES;
    const CONSECUTIVE: bool = false;

    fn of(number: u64, row: &[u8]) -> Option<Self> {
        Some(Self { version: number, ordinal: ChangeRow::decode(row)?.ordinal })
    }
}

/// Rows that are looked for one after another above the last one that was known, before the end of the box is sought.
const STEPS_COUNT_MAX: u64 = 4;

/// The head of a box as it is stored.
pub(super) fn head<H: Head>(view: &View<'_>, box_key: &[u8]) -> Result<H> {
    if !H::CONSECUTIVE {
        return head_up_to(view, box_key, u64::MAX);
    }
    let top = top(view, H::TABLE, box_key)?;
    if top == 0 {
        return Ok(H::default());
    }
    let key = keys::in_box(box_key, top);
    let row = view.get(H::TABLE, &key)?;
    row.and_then(|row| H::of(top, &row)).ok_or_else(|| corrupt(H::TABLE, &key))
}

/// The highest number in a box whose rows are numbered 1, 2, 3 and so on; 0 where it is empty.
pub(super) fn top(view: &View<'_>, table: Table, box_key: &[u8]) -> Result<u64> {
    let known = view.marked(table, box_key);
    let (first, steps) = known.map_or((0, 1), |known| (known, STEPS_COUNT_MAX));
    // That a row is not there is known without reading a block, and for most boxes that is the answer.
    for top in first..first + steps {
        if view.get(table, &keys::in_box(box_key, top + 1))?.is_none() {
            if top > first {
                view.mark(table, box_key, top);
            }
            return Ok(top);
        }
    }
    let (first, last) = (keys::in_box(box_key, first + steps), keys::in_box(box_key, u64::MAX));
    let Some(row) = view.range(table, &first, &last).next_back() else {
        return Err(corrupt(table, &first));
    };
    let (key, _) = row?;
    let top = keys::last_number(&key).ok_or_else(|| corrupt(table, &key))?;
    view.mark(table, box_key, top);
    Ok(top)
}

/// What the last row says that is not above a number.
pub(super) fn head_up_to<H: Head>(view: &View<'_>, box_key: &[u8], number: u64) -> Result<H> {
    let (first, last) = (keys::in_box(box_key, 0), keys::in_box(box_key, number));
    match view.range(H::TABLE, &first, &last).next_back() {
        None => Ok(H::default()),
        Some(row) => {
            let (key, row) = row?;
            let head = keys::last_number(&key).and_then(|number| H::of(number, &row));
            head.ok_or_else(|| corrupt(H::TABLE, &key))
        }
    }
}

/// The heads of one table's boxes while commits are made.
pub(super) struct Heads<H> {
    kept: Generations<Slice, H>,
}

impl<H: Head> Heads<H> {
    pub(super) fn new() -> Self {
        Self { kept: Generations::new(KEPT_COUNT_MAX) }
    }

    /// The head of a box, with what is in the draft.
    pub(super) fn get(&self, draft: &Draft, box_key: &[u8]) -> Result<H> {
        match self.kept.get(box_key) {
            Some(head) => Ok(*head),
            None => head(&draft.stored(), box_key),
        }
    }

    /// A row was put into the draft that makes this the head. None is forgotten before the commit is done: until
    /// then it cannot be read from the disk.
    pub(super) fn raise(&mut self, box_key: &[u8], head: H) {
        self.kept.keep(box_key, head);
    }

    /// What was raised is on disk.
    pub(super) fn committed(&mut self) {
        self.kept.forget();
    }

    /// What was raised may not be on disk.
    pub(super) fn abandoned(&mut self) {
        self.kept.clear();
    }
}
