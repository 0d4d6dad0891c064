//! Cuts off a commit that lost its middle with the power.
//!
//! The engine's journal is a row of commits, each a start, its items and an end with a checksum. When the power
//! goes while the last one is being written, the disk may hold its later pages without an earlier one. Nobody
//! was answered for it. The engine cuts off a commit that just ends too early, but does not open a journal
//! whose last commit ends well and has another checksum. That one is cut off here, and only that one: where a
//! whole commit follows the broken one, rows that were answered are damaged and a person must look.
//!
//! The format is fjall 3.1's, `src/journal/{entry,writer}.rs`.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use crate::{Error, Kind, Result};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Cuts the newest journal in a database's folder at its first broken commit, where nothing whole follows.
///
/// # Errors
/// `Corrupt` where a whole commit follows the broken one, or none is broken; `Transient` where the file system
/// refuses.
pub(crate) fn cut_off(database: &Path) -> Result<()> {
    let refused = |error: std::io::Error| {
        let message = format!("journal in {} cannot be repaired: {error}", database.display());
        Error::new(Kind::Transient, message).caused_by(error)
    };
    let corrupt = |what: &str| {
        Error::new(Kind::Corrupt, format!("journal in {} is damaged: {what}", database.display()))
    };
    let journal = newest(database).map_err(refused)?.ok_or_else(|| corrupt("it is not there"))?;
    let bytes = fs::read(&journal).map_err(refused)?;
    let position = whole_length(&bytes);
    let rest = bytes.get(position..).unwrap_or_default();
    if rest.first() != Some(&START) {
        return Err(corrupt("its newest file is whole, an older one is not"));
    }
    if let Some(follows) = find_commit(rest.get(1..).unwrap_or_default()) {
        return Err(corrupt(&format!(
            "the commit at byte {position} is broken, a whole one follows at byte {}",
            position + 1 + follows
        )));
    }
    let length = u64::try_from(position).map_err(|_| corrupt("it is too long"))?;
    let file = OpenOptions::new().write(true).open(&journal).map_err(refused)?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(refused)?;
    tracing::warn!(
        target: "backends", journal = %journal.display(), position,
        "a commit that nobody was answered for was torn by loss of power and is cut off"
    );
    Ok(())
}

fn newest(database: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (true, Some(number)) = (is_journal, number)
            && newest.as_ref().is_none_or(|(highest, _)| number > *highest)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Bytes of the whole commits at the beginning.
fn whole_length(bytes: &[u8]) -> usize {
    let mut position = 0;
    while let Some(length) = bytes.get(position..).and_then(commit_length) {
        position += length;
    }
    position
}

/// Where a whole commit begins, wherever that is.
fn find_commit(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len())
        .filter(|position| bytes[*position] == START)
        .find(|position| bytes.get(*position..).and_then(commit_length).is_some())
}

/// The length of the commit that begins here; `None` where it is not whole.
fn commit_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = Rest { bytes, position: 0 };
    if rest.byte()? != START {
        return None;
    }
    let items = u32::from_le_bytes(rest.array()?);
    rest.skip(8)?;
    let begin = rest.position;
    for _ in 0..items {
        match rest.byte()? {
            ITEM => {
                // Kind, compression, keyspace.
                rest.skip(1 + 1 + 8)?;
                let key_bytes = usize::from(u16::from_le_bytes(rest.array()?));
                rest.skip(4)?;
                let value_bytes = usize::try_from(u32::from_le_bytes(rest.array()?)).ok()?;
                rest.skip(key_bytes)?;
                rest.skip(value_bytes)?;
            }
            CLEAR => rest.skip(8)?,
            _ => return None,
        }
    }
    let checksum = xxhash_rust::xxh3::xxh3_64(bytes.get(begin..rest.position)?);
    if rest.byte()? != END || u64::from_le_bytes(rest.array()?) != checksum {
        return None;
    }
    (rest.array()? == TRAILER).then_some(rest.position)
}

struct Rest<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let array = self.bytes.get(self.position..)?.first_chunk::<LENGTH>()?;
        self.position += LENGTH;
        Some(*array)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        let end = self.position.checked_add(length)?;
        (end <= self.bytes.len()).then(|| self.position = end)
    }
}

#[cfg(test)]
mod tests {
    use fjall::{KeyspaceCreateOptions, PersistMode};

    use super::*;

    /// Three commits of several pages each; answers the folder, the journal and where each commit begins.
    fn journal() -> (tempfile::TempDir, PathBuf, Vec<usize>) {
        let folder = tempfile::tempdir().unwrap();
        let engine = fjall::Database::builder(folder.path()).open().unwrap();
        let rows = engine.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
        for commit in 0..3_u8 {
            let mut batch = engine.batch().durability(Some(PersistMode::SyncData));
            for row in 0..10_u8 {
                batch.insert(&rows, [commit, row], vec![commit + 1; 3000]);
            }
            batch.commit().unwrap();
        }
        drop((rows, engine));
        let path = newest(folder.path()).unwrap().unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut begins = Vec::new();
        let mut position = 0;
        while let Some(length) = bytes.get(position..).and_then(commit_length) {
            begins.push(position);
            position += length;
        }
        (folder, path, begins)
    }

    fn lose_a_page(path: &Path, begin: usize) {
        let mut bytes = fs::read(path).unwrap();
        let page = begin + 8192;
        bytes[page..page + 4096].fill(0);
        fs::write(path, bytes).unwrap();
    }

    fn open(folder: &Path) -> fjall::Result<usize> {
        let engine = fjall::Database::builder(folder).open()?;
        let rows = engine.keyspace("rows", KeyspaceCreateOptions::default)?;
        rows.len()
    }

    /// Zeroes bytes in the middle of one value, so that the commit still ends well.
    fn lose_a_part_of_a_value(path: &Path, begin: usize) {
        let mut bytes = fs::read(path).unwrap();
        let value = begin + 13 + 23 + 100;
        bytes[value..value + 512].fill(0);
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_last_commit_is_cut_off_where_its_middle_is_lost() {
        let (folder, path, begins) = journal();
        lose_a_part_of_a_value(&path, begins[2]);
        assert!(matches!(open(folder.path()), Err(fjall::Error::JournalRecovery(_))));

        cut_off(folder.path()).unwrap();
        assert_eq!(open(folder.path()).unwrap(), 20);
    }

    #[test]
    fn a_commit_that_others_follow_is_never_cut_off() {
        let (folder, path, begins) = journal();
        lose_a_part_of_a_value(&path, begins[1]);
        let before = fs::read(&path).unwrap();

        let error = cut_off(folder.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("a whole one follows"), "{error}");
        assert!(fs::read(&path).unwrap() == before, "nothing may be changed");

        lose_a_page(&path, begins[0]);
        assert_eq!(cut_off(folder.path()).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn a_journal_that_is_whole_is_left_alone() {
        let (folder, path, _) = journal();
        let before = fs::read(&path).unwrap();
        assert_eq!(cut_off(folder.path()).unwrap_err().kind(), Kind::Corrupt);
        assert!(fs::read(&path).unwrap() == before, "nothing may be changed");
        assert_eq!(open(folder.path()).unwrap(), 30);
    }
}
