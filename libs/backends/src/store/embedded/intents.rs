//! Intents: rows that were stored and are not known to have been handed on.
//!
//! All intents that one commit adds to a lane stand in a few rows of the table, since a row costs as much as one
//! message's. A row goes when the last of its intents is cleared; which of them are still open before that is only
//! kept in memory, and written down when the store is closed. A crash opens them again, which [`Store`] allows.
//!
//! **Bound.** At most about [`OPEN_COUNT_MAX`] open intents of a lane are in memory. Of what lies in the table above
//! a mark nothing is known then: it counts as open, and clearing it does nothing until there is room to look at it.
//! Whoever hands on intents begins with the oldest, so that is always below the mark.
//!
//! [`Store`]: crate::store::Store

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::keys::{self, INTENTS};
use super::pages;
use crate::Result;
use crate::database::draft::Draft;
use crate::database::floor::Floor;
use crate::database::{Database, View, corrupt};
use crate::store::rows::Entry;
use crate::store::{Intent, IntentLane};

/// Open intents of a lane in memory: about 60 bytes each.
const OPEN_COUNT_MAX: usize = 256 * 1024;
/// Intents in one row of the table.
const ENTRIES_PER_ROW: usize = 256;
/// Intents too new to be answered that are passed over before a call ends: message ids rise with time, but the
/// clock of a machine may have been set back.
const NEWER_COUNT_MAX: usize = 4096;

const LANES: [IntentLane; 2] = [IntentLane::Push, IntentLane::FanOut];

/// The number of a lane in keys.
fn number_of(lane: IntentLane) -> u8 {
    match lane {
        IntentLane::Push => 0,
        IntentLane::FanOut => 1,
    }
}

/// What the reading threads know of a lane.
pub(super) struct Lane {
    number: u8,
    /// Below which no row of the table is.
    floor: Floor,
    open: Mutex<Open>,
}

/// The lanes, for those who read.
pub(super) struct Lanes([Lane; 2]);

impl Lanes {
    pub(super) fn new() -> Self {
        Self(LANES.map(|lane| Lane {
            number: number_of(lane),
            floor: Floor::default(),
            open: Mutex::default(),
        }))
    }

    fn of(&self, lane: IntentLane) -> &Lane {
        &self.0[usize::from(number_of(lane))]
    }

    /// The intents in a lane of rows sent before `before_ms`, oldest first.
    pub(super) fn page(
        &self,
        database: &Database,
        lane: IntentLane,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Intent>> {
        let lane = self.of(lane);
        let entries = lane.floor.scan(|floor| {
            let view = database.view();
            let (entries, first) = lane.oldest(&view, floor, before_ms, limit)?;
            Ok(((entries, view), first))
        });
        let (entries, view) = entries?;
        entries
            .into_iter()
            .map(|entry| {
                let (message, inboxes) = pages::row(&view, entry.conversation, entry.seq)?;
                Ok(Intent { message, inboxes })
            })
            .collect()
    }
}

impl Lane {
    /// The entries with the lowest message ids, and the number of the first row that was met.
    fn oldest(
        &self,
        view: &View<'_>,
        floor: u64,
        before_ms: u64,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<u64>)> {
        let mut found = Vec::new();
        let mut first = None;
        let mut newer_count = 0;
        // The ids of one row may lie between those of another: an entry is the next one only when no row that is
        // still to come can have a lower id.
        let mut waiting: BinaryHeap<Reverse<ById>> = BinaryHeap::new();
        let rows =
            view.range(INTENTS, &keys::intent(self.number, floor), &keys::intent(self.number, u64::MAX));
        for row in rows {
            let (key, row) = row?;
            let number = keys::last_number(&key).ok_or_else(|| corrupt(INTENTS, &key))?;
            first.get_or_insert(number);
            while found.len() < limit
                && let Some(Reverse(ById(entry))) = waiting.pop_if_below(number)
            {
                found.push(entry);
            }
            if found.len() == limit || newer_count >= NEWER_COUNT_MAX {
                break;
            }
            let entries = Entry::decode_all(&row).ok_or_else(|| corrupt(INTENTS, &key))?;
            let open = self.open.lock();
            for entry in entries {
                if !open.is_open(number, entry.message_id) {
                    continue;
                }
                if entry.time_ms < before_ms {
                    waiting.push(Reverse(ById(entry)));
                } else {
                    newer_count += 1;
                }
            }
        }
        while found.len() < limit
            && let Some(Reverse(ById(entry))) = waiting.pop()
        {
            found.push(entry);
        }
        Ok((found, first))
    }
}

/// An entry, compared by its message id.
struct ById(Entry);

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.message_id == other.0.message_id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.message_id.cmp(&other.0.message_id)
    }
}

trait PopIfBelow {
    /// The first entry, where its message id is below a number.
    fn pop_if_below(&mut self, number: u64) -> Option<Reverse<ById>>;
}

impl PopIfBelow for BinaryHeap<Reverse<ById>> {
    fn pop_if_below(&mut self, number: u64) -> Option<Reverse<ById>> {
        let below = self.peek().is_some_and(|Reverse(ById(entry))| entry.message_id < number);
        if below { self.pop() } else { None }
    }
}

/// Which intents of a lane are open.
#[derive(Default)]
struct Open {
    /// The rows that are known, by number, each with how many of its intents are open.
    rows: BTreeMap<u64, usize>,
    /// Open intents → the row that each is in.
    row_of: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// Every row of the table with a number below it is known; `u64::MAX`: all are.
    known_below: u64,
    /// Rows of which some intents were cleared that still stand in them.
    partly: BTreeSet<u64>,
}

impl Open {
    fn is_open(&self, row: u64, message_id: u64) -> bool {
        let known = row < self.known_below || self.rows.contains_key(&row);
        !known || self.row_of.get(&message_id) == Some(&row)
    }

    fn know(&mut self, row: u64, message_ids: &[u64]) {
        self.rows.insert(row, message_ids.len());
        self.row_of.extend(message_ids.iter().map(|message_id| (*message_id, row)));
    }

    /// Clears an intent; answers the row that is to be removed, if any, or `Err` where it is not known.
    fn clear(&mut self, message_id: u64) -> std::result::Result<Option<u64>, ()> {
        let row = self.row_of.remove(&message_id).ok_or(())?;
        match self.rows.get_mut(&row) {
            Some(count) if *count > 1 => {
                *count -= 1;
                self.partly.insert(row);
                Ok(None)
            }
            _ => {
                self.rows.remove(&row);
                self.partly.remove(&row);
                Ok(Some(row))
            }
        }
    }
}

/// What the writing thread knows of intents.
pub(super) struct Intents {
    lanes: Arc<Lanes>,
    /// Those that the commit adds, in each lane.
    added: [Vec<Entry>; 2],
    /// The numbers of the rows that the commit adds, in each lane.
    numbers: [Vec<u64>; 2],
}

impl Intents {
    pub(super) fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes, added: Default::default(), numbers: Default::default() }
    }

    pub(super) fn add(&mut self, lane: IntentLane, entry: Entry) {
        self.added[usize::from(number_of(lane))].push(entry);
    }

    /// Removes intents; one that is not there is skipped.
    pub(super) fn clear(&mut self, draft: &mut Draft, lane: IntentLane, message_ids: &[u64]) -> Result<()> {
        let lane = self.lanes.of(lane);
        let mut unknown = clear_known(lane, draft, message_ids.iter().copied());
        self.added[usize::from(lane.number)].retain(|entry| !unknown.remove(&entry.message_id));
        if !unknown.is_empty() && learn(lane, draft)? {
            clear_known(lane, draft, unknown);
        }
        Ok(())
    }

    pub(super) fn complete(&mut self, draft: &mut Draft) {
        for ((lane, added), numbers) in self.lanes.0.iter().zip(&mut self.added).zip(&mut self.numbers) {
            for entries in added.chunks(ENTRIES_PER_ROW) {
                let Some(number) = entries.iter().map(|entry| entry.message_id).min() else { continue };
                draft.put(INTENTS, keys::intent(lane.number, number), Entry::encode_all(entries));
                numbers.push(number);
                let mut open = lane.open.lock();
                if open.known_below == u64::MAX && open.row_of.len() >= OPEN_COUNT_MAX {
                    open.known_below = number;
                }
                if number < open.known_below {
                    let ids: Vec<u64> = entries.iter().map(|entry| entry.message_id).collect();
                    open.know(number, &ids);
                }
            }
            added.clear();
        }
    }

    pub(super) fn committed(&mut self) {
        for (lane, numbers) in self.lanes.0.iter().zip(&mut self.numbers) {
            numbers.drain(..).for_each(|number| lane.floor.note(number));
        }
    }

    pub(super) fn abandoned(&mut self) {
        for (lane, (added, numbers)) in self.lanes.0.iter().zip(self.added.iter_mut().zip(&mut self.numbers))
        {
            added.clear();
            numbers.clear();
            *lane.open.lock() = Open::default();
        }
    }

    /// Writes down which intents are open where only memory knows it.
    pub(super) fn closing(&mut self, draft: &mut Draft) {
        for lane in &self.lanes.0 {
            let open = lane.open.lock();
            for number in &open.partly {
                let key = keys::intent(lane.number, *number);
                let row = draft.get(INTENTS, &key).ok().flatten();
                // What cannot be read stays open as in a crash.
                let Some(mut entries) = row.and_then(|row| Entry::decode_all(&row)) else { continue };
                entries.retain(|entry| open.row_of.get(&entry.message_id) == Some(number));
                draft.put(INTENTS, key, Entry::encode_all(&entries));
            }
        }
    }
}

/// Clears what is known to be open; answers what is not.
fn clear_known(lane: &Lane, draft: &mut Draft, message_ids: impl IntoIterator<Item = u64>) -> HashSet<u64> {
    let mut open = lane.open.lock();
    let mut unknown = HashSet::new();
    for message_id in message_ids {
        match open.clear(message_id) {
            Ok(Some(row)) => draft.remove(INTENTS, keys::intent(lane.number, row)),
            Ok(None) => {}
            Err(()) => {
                unknown.insert(message_id);
            }
        }
    }
    unknown
}

/// Learns of rows above the mark, where there is room for them; answers whether there was any.
fn learn(lane: &Lane, draft: &Draft) -> Result<bool> {
    let from = {
        let open = lane.open.lock();
        if open.known_below == u64::MAX || open.row_of.len() >= OPEN_COUNT_MAX / 2 {
            return Ok(false);
        }
        open.known_below
    };
    let view = draft.stored();
    let mut learned = Vec::new();
    let mut known_below = u64::MAX;
    let mut count = 0;
    for row in view.range(INTENTS, &keys::intent(lane.number, from), &keys::intent(lane.number, u64::MAX)) {
        let (key, row) = row?;
        let number = keys::last_number(&key).ok_or_else(|| corrupt(INTENTS, &key))?;
        if count >= OPEN_COUNT_MAX / 2 {
            known_below = number;
            break;
        }
        if draft.removes(INTENTS, &key) {
            continue;
        }
        let ids = Entry::decode_ids(&row).ok_or_else(|| corrupt(INTENTS, &key))?;
        count += ids.len();
        learned.push((number, ids));
    }
    let mut open = lane.open.lock();
    for (number, ids) in learned {
        // One that is known already may have fewer open than the table says.
        if !open.rows.contains_key(&number) {
            open.know(number, &ids);
        }
    }
    open.known_below = known_below;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_counts_as_open() {
        let mut open = Open { known_below: 10, ..Open::default() };
        open.know(5, &[5, 7]);
        open.know(20, &[20]);
        assert!(open.is_open(5, 5) && open.is_open(5, 7) && open.is_open(20, 20));
        assert!(!open.is_open(6, 6), "a known row that has gone was cleared");
        assert!(open.is_open(11, 11), "nothing is known of it");
        assert_eq!(open.clear(5), Ok(None));
        assert!(!open.is_open(5, 5) && open.is_open(5, 7));
        assert_eq!(open.clear(5), Err(()));
        assert_eq!(open.clear(7), Ok(Some(5)));
        assert!(open.partly.is_empty() && !open.is_open(5, 7));
    }
}
