//! Topic `fanout`: records in a table by offset, and how far each consumer name has committed.
//!
//! **Durability.** `publish` and `commit` answer after `fdatasync`; those that wait share one.
//!
//! **Bound.** A record is removed once every consumer name has committed past it. At most [`RECORDS_MAX`] are
//! kept; beyond that `publish` answers `Full`. Records here are hints, and who reads them sweeps the store too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};

use super::{PARTITION, Record, Subscription};
use crate::broker::Delivered;
use crate::database::draft::{Draft, Durability};
use crate::database::readers::Readers;
use crate::database::writer::{State, Writer};
use crate::database::{self, Layout, Table, View, corrupt};
use crate::{Error, Kind, Result};

/// offset → key and value.
const RECORDS: Table = Table { index: 0, part: None, name: "records" };
/// consumer name → the offset up to which it has committed.
const COMMITTED: Table = Table { index: 1, part: None, name: "committed" };

const LAYOUT: Layout = Layout {
    name: "broker",
    version: 1,
    keyspaces: &["records", "committed"],
    cache_bytes: 4 * 1024 * 1024,
    memtable_bytes: 8 * 1024 * 1024,
    worker_threads: 1,
};

/// Records kept: hours of group messages while the consumer is away.
const RECORDS_MAX: u64 = 1_000_000;
/// Records removed in one commit, so that a late trim never holds up those who publish. A commit of an offset
/// usually covers fewer.
const TRIM_COUNT_MAX: u64 = 2_000;
/// Bytes that one call of `next` hands out, beyond its first record.
const NEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a consumer name.
const CONSUMER_BYTES_MAX: usize = 255;
/// Bytes of a record's key.
const KEY_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Fanout {
    writer: Writer<Log>,
    readers: Readers,
    /// The offset of the last record that is durable.
    last: watch::Receiver<u64>,
    consumers: Mutex<HashMap<String, Arc<Consumer>>>,
}

/// What the subscriptions of one name share.
#[derive(Default)]
struct Consumer {
    committed: AtomicU64,
    /// Held by the subscription that reads.
    reading: Arc<AsyncMutex<()>>,
}

impl Fanout {
    pub(super) async fn open(folder: PathBuf) -> Result<Self> {
        let database = database::open(folder, &LAYOUT).await?;
        let loading = Arc::clone(&database);
        let log = database::off_thread(LAYOUT.name, move || Log::load(&loading.view())).await?;
        let last = log.shown.subscribe();
        let writer = Writer::start(&database, log)?;
        let readers = Readers::start(&database, 1)?;
        Ok(Self { writer, readers, last, consumers: Mutex::default() })
    }

    pub(super) async fn publish(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if let Some(record) = records.iter().find(|record| record.key.len() > KEY_BYTES_MAX) {
            let length = record.key.len();
            let message = format!("key of {length} bytes in topic fanout is longer than {KEY_BYTES_MAX}");
            return Err(Error::new(Kind::Conflict, message));
        }
        let bytes = records.iter().map(|record| 64 + record.key.len() + record.value.len()).sum();
        self.writer.write(bytes, Durability::Durable, move |log, draft| log.publish(draft, &records)).await?
    }

    pub(super) async fn subscribe(fanout: &Arc<Self>, consumer: &str) -> Result<FanoutSubscription> {
        if consumer.is_empty() || consumer.len() > CONSUMER_BYTES_MAX {
            let message =
                format!("consumer name of {} bytes: it has 1 to {CONSUMER_BYTES_MAX}", consumer.len());
            return Err(Error::new(Kind::Conflict, message));
        }
        let name = consumer.to_owned();
        let committed =
            fanout.writer.write(0, Durability::Durable, move |log, draft| log.subscribe(draft, name)).await?;
        let shared = Arc::clone(fanout.consumers.lock().entry(consumer.to_owned()).or_default());
        shared.committed.fetch_max(committed, Ordering::AcqRel);
        Ok(FanoutSubscription {
            last: fanout.last.clone(),
            fanout: Arc::clone(fanout),
            name: consumer.to_owned(),
            shared,
            reading: None,
            handed_out: 0,
        })
    }
}

/// What the writing thread knows of the topic.
struct Log {
    /// The offset of the first record that is kept; one past the last where none is.
    first: u64,
    /// The offset of the last record; offsets begin at 1 and are never used twice.
    last: u64,
    committed: HashMap<String, u64>,
    shown: watch::Sender<u64>,
}

impl State for Log {
    fn complete(&mut self, _: &mut Draft) {}

    fn committed(&mut self) {
        self.shown.send_if_modified(|shown| std::mem::replace(shown, self.last) != self.last);
    }

    fn abandoned(&mut self) {
        // The writer takes nothing more; what is on disk is read again when the folder is opened.
    }
}

impl Log {
    fn load(view: &View<'_>) -> Result<Self> {
        let mut committed = HashMap::new();
        for row in view.range(COMMITTED, &[], &[u8::MAX; CONSUMER_BYTES_MAX + 1]) {
            let (key, row) = row?;
            let offset = decode_number(&row).ok_or_else(|| corrupt(COMMITTED, &key))?;
            let name = String::from_utf8(key.to_vec()).map_err(|_| corrupt(COMMITTED, &key))?;
            committed.insert(name, offset);
        }
        let offset = |row: Option<Result<(fjall::Slice, fjall::Slice)>>| match row {
            Some(row) => {
                let (key, _) = row?;
                decode_number(&key).map(Some).ok_or_else(|| corrupt(RECORDS, &key))
            }
            None => Ok(None),
        };
        let mut records = view.range(RECORDS, &encode_number(0), &encode_number(u64::MAX));
        let (first, last) = (offset(records.next())?, offset(records.next_back())?);
        let last = last.or(first).or_else(|| committed.values().copied().max()).unwrap_or(0);
        let first = first.unwrap_or(last + 1);
        Ok(Self { first, last, committed, shown: watch::Sender::new(last) })
    }

    fn publish(&mut self, draft: &mut Draft, records: &[Record]) -> Result<()> {
        let kept = self.last + 1 - self.first;
        if kept + records.len() as u64 > RECORDS_MAX {
            let message = format!("topic fanout holds {kept} records that a consumer has not committed");
            return Err(Error::new(Kind::Full, message));
        }
        for record in records {
            self.last += 1;
            draft.put(RECORDS, encode_number(self.last), encode_record(record));
        }
        Ok(())
    }

    /// Takes a name into account and answers up to where it has committed.
    fn subscribe(&mut self, draft: &mut Draft, name: String) -> u64 {
        if let Some(committed) = self.committed.get(&name) {
            return *committed;
        }
        let committed = self.first - 1;
        draft.put(COMMITTED, name.as_bytes(), encode_number(committed));
        self.committed.insert(name, committed);
        committed
    }

    fn commit(&mut self, draft: &mut Draft, name: &str, offset: u64) {
        if let Some(committed) = self.committed.get_mut(name)
            && offset > *committed
        {
            *committed = offset;
            draft.put(COMMITTED, name.as_bytes(), encode_number(offset));
        }
        let done = self.committed.values().copied().min().unwrap_or(0);
        let end = done.saturating_add(1).min(self.first + TRIM_COUNT_MAX);
        while self.first < end {
            draft.remove(RECORDS, encode_number(self.first));
            self.first += 1;
        }
    }
}

fn encode_number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn decode_number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn encode_record(record: &Record) -> Vec<u8> {
    let mut row = Vec::with_capacity(4 + record.key.len() + record.value.len());
    let length = u32::try_from(record.key.len()).unwrap_or(u32::MAX);
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(&record.key);
    row.extend_from_slice(&record.value);
    row
}

fn decode_record(key: &[u8], row: &[u8]) -> Option<Delivered> {
    let offset = decode_number(key)?;
    let (length, rest) = row.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(Delivered {
        partition: PARTITION,
        offset,
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
    })
}

fn records_after(view: &View<'_>, offset: u64, limit: usize) -> Result<Vec<Delivered>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for row in view.range(RECORDS, &encode_number(offset.saturating_add(1)), &encode_number(u64::MAX)) {
        let (key, row) = row?;
        bytes += row.len();
        if found.len() == limit || (bytes > NEXT_BYTES_MAX && !found.is_empty()) {
            break;
        }
        found.push(decode_record(&key, &row).ok_or_else(|| corrupt(RECORDS, &key))?);
    }
    Ok(found)
}

pub(super) struct FanoutSubscription {
    last: watch::Receiver<u64>,
    fanout: Arc<Fanout>,
    name: String,
    shared: Arc<Consumer>,
    reading: Option<OwnedMutexGuard<()>>,
    /// The last offset that `next` handed out.
    handed_out: u64,
}

#[async_trait]
impl Subscription for FanoutSubscription {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivered>> {
        if self.reading.is_none() {
            self.reading = Some(Arc::clone(&self.shared.reading).lock_owned().await);
            // What the one before handed out and did not commit comes again.
            self.handed_out = self.shared.committed.load(Ordering::Acquire);
        }
        loop {
            if *self.last.borrow_and_update() > self.handed_out {
                let (after, limit) = (self.handed_out, limit.max(1));
                let records = self.fanout.readers.read(move |view| records_after(view, after, limit)).await?;
                if let Some(record) = records.last() {
                    self.handed_out = record.offset;
                    return Ok(records);
                }
            }
            if self.last.changed().await.is_err() {
                return Err(Error::new(Kind::Transient, "topic fanout: its writing thread ended"));
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let (name, offset) = (self.name.clone(), self.handed_out);
        if self.reading.is_none() || offset <= self.shared.committed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.fanout
            .writer
            .write(0, Durability::Durable, move |log, draft| log.commit(draft, &name, offset))
            .await?;
        self.shared.committed.fetch_max(offset, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<Record> {
        (0..count).map(|_| Record { key: Bytes::new(), value: Bytes::from_static(b"x") }).collect()
    }

    #[tokio::test]
    async fn a_topic_that_nobody_reads_becomes_full_and_empties_once_all_names_have_committed() {
        let folder = tempfile::tempdir().unwrap();
        let fanout = Arc::new(Fanout::open(folder.path().to_owned()).await.unwrap());
        let mut one = Fanout::subscribe(&fanout, "one").await.unwrap();
        let mut other = Fanout::subscribe(&fanout, "other").await.unwrap();
        let chunk = 100_000;
        for _ in 0..RECORDS_MAX / chunk as u64 {
            fanout.publish(records(chunk)).await.unwrap();
        }
        let error = fanout.publish(records(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Full);

        one.next(10).await.unwrap();
        one.commit().await.unwrap();
        assert_eq!(fanout.publish(records(1)).await.unwrap_err().kind(), Kind::Full);

        other.next(10).await.unwrap();
        other.commit().await.unwrap();
        fanout.publish(records(10)).await.unwrap();
        assert_eq!(fanout.publish(records(1)).await.unwrap_err().kind(), Kind::Full);
    }

    #[tokio::test]
    async fn offsets_go_on_after_everything_was_trimmed_and_the_folder_was_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3_u64 {
            let fanout = Arc::new(Fanout::open(folder.path().to_owned()).await.unwrap());
            let mut subscription = Fanout::subscribe(&fanout, "consumer").await.unwrap();
            fanout.publish(records(5)).await.unwrap();
            let offsets: Vec<u64> =
                subscription.next(100).await.unwrap().iter().map(|record| record.offset).collect();
            assert_eq!(offsets, (round * 5 + 1..=round * 5 + 5).collect::<Vec<_>>());
            subscription.commit().await.unwrap();
        }
    }
}
