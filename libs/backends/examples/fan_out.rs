//! Measures the fan-out of groups in the embedded store: inbox rows per second, beside what the engine takes when the
//! same number of rows is inserted in batches and nothing else is done.
//!
//! ```text
//! cargo run --release -p backends --example fan_out -- FOLDER [MESSAGES] [GROUPS] [ROUNDS]
//! ```
//!
//! Each group has 500 members, and its rows are fanned out one after another, as consumer does it; the groups run at
//! the same time. Every commit is made durable on both sides; a bare batch is one row's worth of inboxes.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use backends::store::{self, Append, Guard, Store};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use protocol::{ConversationId, GroupId, Identifier, UserId};

const MEMBERS_COUNT: u64 = 500;
const CHUNK: usize = 100;
const USERS_COUNT: u64 = 2_000;
const CONTENT_BYTES: usize = 100;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let message_count: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let group_count: u64 = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let round_count: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let row_count = message_count * group_count * MEMBERS_COUNT;
    let mut shares = Vec::new();
    for round in 0..round_count {
        let folder = Path::new(&folder).join(round.to_string());
        let bare = bare(&folder.join("bare"), row_count, usize::try_from(MEMBERS_COUNT)?)?;
        let fanned_out = runtime.block_on(fan_out(&folder.join("store"), message_count, group_count))?;
        println!("round {round}: {row_count} inbox rows: {fanned_out:.0}/s; bare batches: {bare:.0}/s");
        shares.push(fanned_out / bare);
    }
    shares.sort_unstable_by(f64::total_cmp);
    println!("median of {round_count}: {:.2} of the bare rate", shares[shares.len() / 2]);
    Ok(())
}

async fn fan_out(folder: &Path, message_count: u64, group_count: u64) -> Outcome<f64> {
    let store = store::open(&format!("embedded:{}", folder.display())).await?;
    let groups = (1..=group_count).map(group).collect::<Result<Vec<_>, _>>()?;
    for (conversation, members) in &groups {
        let appends = (1..=message_count).map(|number| message(conversation, &members[0], number)).collect();
        for answer in store.append(appends).await {
            answer?;
        }
    }
    let begun = Instant::now();
    let work = groups.into_iter().map(|(conversation, members)| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { all_rows(&*store, &conversation, &members, message_count).await })
    });
    for done in join_all(work).await {
        done??;
    }
    Ok((message_count * group_count * MEMBERS_COUNT) as f64 / begun.elapsed().as_secs_f64())
}

async fn all_rows(
    store: &dyn Store,
    conversation: &ConversationId,
    members: &[UserId],
    message_count: u64,
) -> backends::Result<()> {
    for seq in 1..=message_count {
        try_join_all(members.chunks(CHUNK).map(|chunk| store.fan_out(conversation, seq, chunk.to_vec())))
            .await?;
        store.advance_fanned_out(conversation, seq - 1, seq).await?;
    }
    Ok(())
}

/// A group's conversation and its members, ascending.
fn group(number: u64) -> Outcome<(ConversationId, Vec<UserId>)> {
    let member = |place: u64| UserId::new(&format!("user-{}", (number * 311 + place * 3) % USERS_COUNT + 1));
    let mut members = (0..MEMBERS_COUNT).map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_unstable();
    Ok((ConversationId::group(&GroupId::new(&format!("group-{number}"))?), members))
}

fn message(conversation: &ConversationId, sender: &UserId, number: u64) -> Append {
    Append {
        conversation: conversation.clone(),
        message_id: number,
        sender: sender.clone(),
        client_message_id: format!("{conversation}-{number}"),
        time_ms: 1_700_000_000_000 + number,
        content: Bytes::from(vec![b'x'; CONTENT_BYTES]),
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        inboxes: Vec::new(),
    }
}

/// Inserts as many rows, as large as those of an inbox and in an order like theirs, in durable batches.
fn bare(folder: &Path, row_count: u64, batch_count: usize) -> Outcome<f64> {
    let engine = fjall::Database::builder(folder).worker_threads(1).open()?;
    let table = engine.keyspace("inbox", fjall::KeyspaceCreateOptions::default)?;
    let row = |number: u64| {
        let (user, inbox_seq) = (number % USERS_COUNT, number / USERS_COUNT);
        let mixed = user.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let key =
            [&mixed[..4], b"\0\x09user-", format!("{user:04}").as_bytes(), &inbox_seq.to_be_bytes()].concat();
        let pointer = [format!("{number:02}").as_bytes(), b"group:group-1"].concat();
        (key, pointer)
    };
    let begun = Instant::now();
    let mut number = 0;
    while number < row_count {
        let mut batch = engine.batch().durability(Some(fjall::PersistMode::SyncData));
        for _ in 0..batch_count {
            let (key, pointer) = row(number);
            batch.insert(&table, key, pointer);
            number += 1;
        }
        batch.commit()?;
    }
    Ok(row_count as f64 / begun.elapsed().as_secs_f64())
}
