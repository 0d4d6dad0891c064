//! A device that comes back: how soon it has the thousand messages that it missed, in a small and in a large store,
//! with one super group and with many.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anser_client::{Connection, Encoding, Endpoint, Push, RequestKind};
use clap::Parser;
use protocol::client::{self, GroupPosition, GroupTop};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::failure::Failure;
use super::super::output::{line, note};
use super::fill::{self, READERS, ROWS_MIN, Reader, UNREAD, UNREAD_IN_GROUPS};
use super::rounds::{median, ratio};
use super::server_process::ServerProcess;
use super::{Times, on_one_thread, quantile, times, words};

/// How long one device may take.
const WAIT: Duration = Duration::from_secs(30);
/// Messages and super groups of one page.
const PAGE: u32 = 500;

/// Measures how soon a device that comes back has what it missed: 1000 messages in the inbox and 500 in super groups,
/// from the first byte of the connection to the last message.
///
/// For each --fill it fills a store below --data, as long as that takes, and starts a server of its own on it; a folder
/// that is filled is used again. It takes about 300 bytes of disk a row.
#[derive(Debug, Clone, Parser)]
pub(super) struct Args {
    /// Inbox rows in the store, joined by commas: each is a store of its own.
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_value = "100000,1000000")]
    fill: Vec<u64>,
    /// The folder below which the stores are kept.
    #[arg(long, value_name = "FOLDER", default_value = "./anser-bench-data")]
    data: PathBuf,
    /// How many rounds; each figure is the median of theirs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// How often a device comes back in a round, one after another, in each case.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connects: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What was seen of one store and one kind of reader.
struct Case {
    rows: u64,
    reader: Reader,
    /// A round each.
    rounds: Vec<Times>,
}

impl Case {
    fn median(&self, share: f64) -> f64 {
        median(self.rounds.iter().map(|times| quantile(times, share)))
    }

    fn to_json(&self) -> Value {
        json!({
            "rows": self.rows,
            "superGroups": self.reader.group_count(),
            "p50Ms": self.median(0.5),
            "p99Ms": self.median(0.99),
        })
    }
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if let Some(rows) = args.fill.iter().find(|rows| **rows < ROWS_MIN) {
        return Err(Failure::usage(format!(
            "--fill {rows}: give at least {ROWS_MIN}, so that others have rows too"
        )));
    }
    let mut servers = Vec::new();
    let mut cases = Vec::new();
    for rows in &args.fill {
        let folder = args.data.join(format!("rows-{rows}"));
        note(&format!("filling {} with {rows} rows", folder.display()));
        fill::fill(&folder, *rows).await?;
        servers.push(ServerProcess::start(&folder)?);
        cases.extend(Reader::ALL.map(|reader| Case { rows: *rows, reader, rounds: Vec::new() }));
    }
    for number in 1..=args.rounds {
        note(&format!("round {number} of {}", args.rounds));
        for (index, case) in cases.iter_mut().enumerate() {
            let url = servers[index / Reader::ALL.len()].url.clone();
            let times = on_one_thread(come_back(url, case.reader, args.connects)).await?;
            note(&format!(
                "  {} rows, {} super groups: {}",
                case.rows,
                case.reader.group_count(),
                words(&times)
            ));
            case.rounds.push(times);
        }
    }
    drop(servers);
    if args.json { line(&to_json(&args, &cases).to_string()) } else { print(&args, &cases) }
}

async fn come_back(url: String, reader: Reader, connects: u64) -> Result<Times, Failure> {
    let endpoint = Endpoint::new(&url, Encoding::Protobuf)?;
    let mut taken = times()?;
    for number in 0..connects {
        let user = reader.user(number % READERS);
        let begun = Instant::now();
        let connection = timeout(WAIT, catch_up(&endpoint, &user, reader)).await;
        let late = |_| Err(Failure::failed(format!("{user} did not have all within {WAIT:?}")));
        let connection = connection.unwrap_or_else(late)?;
        taken.saturating_record(begun.elapsed().as_nanos() as u64);
        connection.close().await;
    }
    Ok(taken)
}

/// Connects as a device that holds nothing, and reads until it has everything.
async fn catch_up(endpoint: &Endpoint, user: &str, reader: Reader) -> Result<Connection, Failure> {
    let mut connection = Connection::open(endpoint).await?;
    let auth = client::Auth {
        user: user.to_owned(),
        device: "bench".to_owned(),
        platform: "bench".to_owned(),
        inbox_seq: Some(0),
        ..client::Auth::default()
    };
    let reply = connection.auth(auth).await?;
    let inbox_count = read_inbox(&mut connection).await?;
    let (group_count, message_count) = read_groups(&mut connection, reply).await?;
    let expected = (UNREAD, reader.group_count(), UNREAD_IN_GROUPS);
    if (inbox_count, group_count, message_count) != expected {
        return Err(Failure::failed(format!(
            "{user} got {inbox_count} messages and {message_count} of {group_count} super groups; {} and {} of {} were \
             missed",
            expected.0, expected.2, expected.1
        )));
    }
    Ok(connection)
}

/// Takes the replay, and pages for what is beyond it; gives how many messages came.
async fn read_inbox(connection: &mut Connection) -> Result<u64, Failure> {
    let mut held = 0;
    loop {
        match connection.next_push().await? {
            Push::Message(message) => take(&mut held, &message)?,
            Push::SyncDone(_) => return Ok(held),
            Push::Gap(gap) => {
                let mut begin = gap.begin;
                while begin != 0 {
                    let sync = client::Sync { begin, end: gap.end, limit: PAGE };
                    let page: client::SyncReply = connection.request(RequestKind::Sync(sync)).await?;
                    for message in &page.messages {
                        take(&mut held, message)?;
                    }
                    begin = if page.next > gap.end { 0 } else { page.next };
                }
                return Ok(held);
            }
            _ => {}
        }
    }
}

fn take(held: &mut u64, message: &client::Message) -> Result<(), Failure> {
    let seq = message.inbox_seq.unwrap_or(0);
    if seq != *held + 1 {
        return Err(Failure::failed(format!("message {seq} came after {held}")));
    }
    *held = seq;
    Ok(())
}

/// Reads the super groups from the join on; gives how many they are and how many messages came.
async fn read_groups(connection: &mut Connection, reply: client::AuthReply) -> Result<(u64, u64), Failure> {
    let mut tops = reply.groups;
    let mut cursor = reply.groups_next;
    while !cursor.is_empty() {
        let ask = RequestKind::GroupTops(client::GroupTops { cursor, limit: PAGE });
        let page: client::GroupTopsReply = connection.request(ask).await?;
        tops.extend(page.groups);
        cursor = page.next;
    }
    let position = |top: &GroupTop| GroupPosition {
        conversation: top.conversation.clone(),
        begin: top.joined.unwrap_or(0) + 1,
    };
    let mut message_count = 0;
    for tops in tops.chunks(PAGE as usize) {
        let mut positions: Vec<GroupPosition> = tops.iter().map(position).collect();
        while !positions.is_empty() {
            let sync = RequestKind::SyncGroups(client::SyncGroups { positions, limit: PAGE });
            let answer: client::SyncGroupsReply = connection.request(sync).await?;
            message_count += answer.groups.iter().map(|page| page.messages.len() as u64).sum::<u64>();
            let open = answer.groups.into_iter().filter(|page| page.next != 0);
            positions = open
                .map(|page| GroupPosition { conversation: page.conversation, begin: page.next })
                .collect();
        }
    }
    Ok((tops.len() as u64, message_count))
}

/// The p99 in the store with the most rows over that in the one with the fewest.
fn growth(cases: &[Case], reader: Reader) -> f64 {
    let of = |case: Option<&Case>| case.map_or(0.0, |case| case.median(0.99));
    let of_reader = || cases.iter().filter(|case| case.reader == reader);
    let (fewest, most) = (of_reader().min_by_key(|case| case.rows), of_reader().max_by_key(|case| case.rows));
    ratio(of(most), of(fewest))
}

fn to_json(args: &Args, cases: &[Case]) -> Value {
    json!({
        "unread": UNREAD,
        "unreadInSuperGroups": UNREAD_IN_GROUPS,
        "rounds": args.rounds,
        "connectsPerRound": args.connects,
        "cases": cases.iter().map(Case::to_json).collect::<Vec<_>>(),
        "mostOverFewestRowsP99": {
            "oneSuperGroup": growth(cases, Reader::One),
            "manySuperGroups": growth(cases, Reader::Many),
        },
    })
}

fn print(args: &Args, cases: &[Case]) -> Result<(), Failure> {
    line(&format!(
        "load          a device that missed {UNREAD} messages, and {UNREAD_IN_GROUPS} in super groups"
    ))?;
    line(&format!(
        "rounds        {} of {} connects; each figure is their median",
        args.rounds, args.connects
    ))?;
    for case in cases {
        let (p50, p99) = (case.median(0.5), case.median(0.99));
        let groups = case.reader.group_count();
        line(&format!(
            "{:>10} rows, {groups:>3} super groups   p50 {p50:.2} ms, p99 {p99:.2} ms",
            case.rows
        ))?;
    }
    let [one, many] = Reader::ALL.map(|reader| growth(cases, reader));
    line(&format!("most/fewest rows, p99   {one:.2} × with one super group, {many:.2} × with many"))
}
