//! Measures a store: durable single chats per second, their answer times, the floor of what it stands on, and how long
//! it takes to open again.
//!
//! ```text
//! cargo run --release -p backends --example append -- FOLDER|URL [MESSAGES] [WRITERS] [wait|check|outbox]
//! ```
//!
//! With a folder it is the embedded store, and the floor that of the disk. With a URL (`mysql://…`) its tables are
//! brought up to date first, and the floor is what the server takes of bare inserts: one row a commit, and 500 rows a
//! statement.
//!
//! With `wait` it stays when all is written, so that it can be killed with -9; started again with 0 messages on
//! the same folder it says how long it took to be ready. With `check` it reads every inbox and looks for holes.
//! With `outbox` the messages go into no inbox, as a group's.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backends::store::{self, Append, Guard, Outcome, Store};
use bytes::Bytes;
use protocol::{ConversationId, Identifier, UserId};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

const USERS_COUNT: u64 = 1_000;
const PARTNERS_COUNT: u64 = 10;
const CONTENT_BYTES: usize = 100;
/// Of a row of the floor: about what an inbox row with its share of an outbox row has.
const INBOX_BODY_BYTES: usize = 160;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().ok_or("name a folder or a url")?;
    let message_count: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let writer_count: u64 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let after = arguments.next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let url = if place.starts_with("mysql:") { place.clone() } else { format!("embedded:{place}") };
        if url.starts_with("mysql:") {
            store::mysql::migrate_up(&url).await?;
        }
        let begun = Instant::now();
        let store = store::open(&url).await?;
        let users = [user(1)?];
        let top = store.inbox_tops(&users).await?[0];
        println!("ready after {:?}, {} MB resident", begun.elapsed(), resident_mb());
        println!("user 1 has {top} messages");
        if message_count > 0 {
            if url.starts_with("mysql:") {
                insert_floor(&url).await?;
            } else {
                println!("fdatasync of 4 KiB on this disk: {:?} (median of 500)", sync_floor(&place)?);
            }
            measure(&store, message_count, writer_count, top, after != "outbox").await?;
            println!("{} MB resident", resident_mb());
        }
        if after == "check" {
            check(&store).await?;
        }
        if after == "wait" {
            println!("written; kill -9 {}", std::process::id());
            std::future::pending::<()>().await;
        }
        Ok(())
    })
}

async fn measure(
    store: &Arc<dyn Store>,
    message_count: u64,
    writer_count: u64,
    run: u64,
    inboxes: bool,
) -> Result<(), Box<dyn Error>> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let writers: Vec<_> = (0..writer_count)
        .map(|_| {
            let (store, next) = (Arc::clone(store), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= message_count {
                        return Ok::<_, backends::Error>(times);
                    }
                    let begun = Instant::now();
                    for answer in store.append(vec![message(run, number, inboxes)]).await {
                        match answer? {
                            Outcome::Written(_) => {}
                            Outcome::Denied(denied) => unreachable!("nothing is guarded: {denied:?}"),
                        }
                    }
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times: Vec<Duration> = Vec::new();
    for writer in writers {
        times.extend(writer.await??);
    }
    let elapsed = begun.elapsed();
    times.sort_unstable();
    let quantile = |share: usize| times[(times.len() - 1) * share / 1000];
    println!(
        "{message_count} appends by {writer_count} writers in {elapsed:?}: {:.0}/s, p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
        message_count as f64 / elapsed.as_secs_f64(),
        quantile(500),
        quantile(990),
        quantile(999),
        quantile(1000),
    );
    Ok(())
}

async fn check(store: &Arc<dyn Store>) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut row_count = 0;
    for number in 1..=USERS_COUNT {
        let mut next = 1;
        loop {
            let page = store.inbox_page(&user(number)?, next, 0, 500).await?;
            for row in &page.rows {
                if row.inbox_seq != next {
                    return Err(format!("user {number}: {next} is a hole").into());
                }
                next += 1;
                row_count += 1;
            }
            if page.rows.is_empty() {
                if page.top + 1 != next {
                    return Err(
                        format!("user {number}: the inbox ends at {next}, not at {}", page.top).into()
                    );
                }
                break;
            }
        }
    }
    println!("{row_count} inbox rows without a hole, read in {:?}", begun.elapsed());
    Ok(())
}

/// A single chat between a user, drawn without order, and one of its ten partners.
fn message(run: u64, number: u64, inboxes: bool) -> Append {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let from = mixed % USERS_COUNT;
    let to = (from + 1 + (mixed >> 20) % PARTNERS_COUNT) % USERS_COUNT;
    let sender = user(from + 1).unwrap_or_else(|error| unreachable!("{error}"));
    let receiver = user(to + 1).unwrap_or_else(|error| unreachable!("{error}"));
    let inboxes = if inboxes { vec![sender.clone(), receiver.clone()] } else { Vec::new() };
    Append {
        conversation: ConversationId::single(&sender, &receiver),
        message_id: (run << 40) + number + 1,
        client_message_id: format!("{run:012x}-{number:016x}"),
        time_ms: 1_700_000_000_000 + number,
        content: Bytes::from(vec![b'x'; CONTENT_BYTES]),
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        sender,
        inboxes,
    }
}

fn user(number: u64) -> Result<UserId, protocol::ids::IdError> {
    UserId::new(&format!("user-{number}"))
}

fn sync_floor(folder: &str) -> std::io::Result<Duration> {
    let path = std::path::Path::new(folder).join("floor");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Says what a server takes of bare inserts into a table like the inbox's, by tasks that each wait for their own.
async fn insert_floor(url: &str) -> Result<(), Box<dyn Error>> {
    let mut connection = MySqlConnection::connect(url).await?;
    let table = "DROP TABLE IF EXISTS floor; CREATE TABLE floor (user VARBINARY(64) NOT NULL, \
         inbox_seq BIGINT UNSIGNED NOT NULL, body VARBINARY(200) NOT NULL, PRIMARY KEY (user, inbox_seq))";
    connection.execute(table).await?;
    for (task_count, row_count, statement_count) in [(1, 1, 500), (16, 1, 4_000), (4, 500, 400)] {
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..task_count)
            .map(|task| {
                let (url, next) = (url.to_owned(), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut connection = MySqlConnection::connect(&url).await?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= statement_count {
                            return Ok::<_, sqlx::Error>(());
                        }
                        let user = format!("user-{task}-of-{task_count}-{row_count}");
                        let row = |row: u64| {
                            let seq = number * row_count + row;
                            format!("('{user}', {seq}, '{}')", "x".repeat(INBOX_BODY_BYTES))
                        };
                        let rows: Vec<String> = (0..row_count).map(row).collect();
                        let sql = format!("INSERT INTO floor VALUES {}", rows.join(", "));
                        connection.execute(AssertSqlSafe(sql)).await?;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let elapsed = begun.elapsed();
        println!(
            "floor: {task_count} tasks, {row_count} rows a statement: {:.0} rows/s, {:?} a statement",
            (statement_count * row_count) as f64 / elapsed.as_secs_f64(),
            elapsed * task_count / u32::try_from(statement_count)?,
        );
    }
    connection.execute("DROP TABLE floor").await?;
    Ok(())
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}
