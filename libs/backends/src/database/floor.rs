//! Where the first row of a table may be that is written at its end and removed at its beginning.
//!
//! A removed row stays in the engine as a mark until it is merged away. A scan from the beginning would pass
//! over all of them each time; the floor lets it begin where the last one found the first row that was left.

use parking_lot::Mutex;

use crate::Result;

/// The lowest number under which a row may be; it starts at 0 and only a scan raises it.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    // One scan at a time: two would take each other's notes.
    scanning: Mutex<()>,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    floor: u64,
    /// The highest number noted.
    highest: u64,
    /// The lowest number noted since the running scan began.
    lowest_noted: Option<u64>,
}

impl Floor {
    /// A row was committed under this number. To be called after the commit and before it is answered, so that
    /// a scan that did not see the row cannot raise the floor past it.
    pub(crate) fn note(&self, number: u64) {
        let mut marks = self.marks.lock();
        marks.floor = marks.floor.min(number);
        marks.highest = marks.highest.max(number);
        marks.lowest_noted = Some(marks.lowest_noted.map_or(number, |lowest| lowest.min(number)));
    }

    /// Scans from the floor. `scan` opens its view after it was called, reads from the number it is given and
    /// answers also the number of the first row it met.
    pub(crate) fn scan<T>(&self, scan: impl FnOnce(u64) -> Result<(T, Option<u64>)>) -> Result<T> {
        let _scanning = self.scanning.lock();
        let (floor, highest) = {
            let mut marks = self.marks.lock();
            marks.lowest_noted = None;
            (marks.floor, marks.highest)
        };
        let (found, first) = scan(floor)?;
        let mut marks = self.marks.lock();
        let met = first.unwrap_or(highest);
        let raised = marks.lowest_noted.map_or(met, |lowest| met.min(lowest));
        marks.floor = marks.floor.max(raised);
        // What was noted meanwhile lies below the floor of before only if note() lowered it.
        if let Some(lowest) = marks.lowest_noted {
            marks.floor = marks.floor.min(lowest);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn scan(floor: &Floor, rows: &BTreeSet<u64>) -> (u64, Option<u64>) {
        floor
            .scan(|from| {
                let first = rows.range(from..).next().copied();
                Ok(((from, first), first))
            })
            .unwrap()
    }

    #[test]
    fn a_scan_begins_where_the_first_row_was_left() {
        let floor = Floor::default();
        let mut rows = BTreeSet::new();
        for number in 1..=100 {
            rows.insert(number);
            floor.note(number);
        }
        assert_eq!(scan(&floor, &rows), (0, Some(1)));
        rows.retain(|number| *number > 60);
        assert_eq!(scan(&floor, &rows), (1, Some(61)));
        rows.clear();
        assert_eq!(scan(&floor, &rows), (61, None));
        assert_eq!(scan(&floor, &rows), (100, None));
    }

    #[test]
    fn a_row_below_the_floor_is_found() {
        let floor = Floor::default();
        let mut rows = BTreeSet::from([100]);
        floor.note(100);
        assert_eq!(scan(&floor, &rows), (0, Some(100)));
        rows.insert(7);
        floor.note(7);
        assert_eq!(scan(&floor, &rows), (7, Some(7)));
    }

    #[test]
    fn a_row_committed_while_a_scan_runs_is_found_by_the_next() {
        let floor = Floor::default();
        floor.note(100);
        floor
            .scan(|_| {
                floor.note(7);
                Ok(((), Some(100)))
            })
            .unwrap();
        let rows = BTreeSet::from([7, 100]);
        assert_eq!(scan(&floor, &rows), (7, Some(7)));
    }
}
