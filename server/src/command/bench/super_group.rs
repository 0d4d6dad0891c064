//! Super groups of several sizes in turn: a send should cost the same in each.

use std::path::PathBuf;
use std::time::Duration;

use anser_client::{Connection, ServerApi};
use clap::Parser;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::{line, note};
use super::floor;
use super::group_setup::{counter, dismiss, make};
use super::load::{Role, Run, Seen, Target};
use super::people::{People, Person};
use super::rounds::{Faults, Rounds, median, ratio};
use super::{on_one_thread, per_second, quantile, quantiles, words};

/// How long the disk is measured before each round.
const FLOOR_TIME: Duration = Duration::from_secs(1);
/// The server's count of rows that it wrote into inboxes.
const INBOX_ROWS: &str = "anser_consumer_inbox_rows_total";

/// Measures sends to super groups of several sizes, in turn within each round.
///
/// Members are made once and only the senders are connected, as many in each size. The server writes a message row and
/// an intent for a send, whatever the size; that it writes no inbox rows is read from its count.
#[derive(Debug, Clone, Parser)]
pub(super) struct Args {
    #[command(flatten)]
    people: People,
    /// The sizes, joined by commas.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000,100000")]
    members: Vec<u32>,
    /// How many members of each group send; they are the ones who are connected.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    senders: u32,
    #[command(flatten)]
    rounds: Rounds,
    /// The server API, whose count of rows is read where it can be.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3111")]
    api: String,
    /// A folder on the disk that the server writes to; its speed is measured before each round.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    floor_dir: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// A group that is measured, and what was seen of it.
struct Size {
    members: u32,
    group: String,
    people: Vec<Person>,
    rounds: Vec<Round>,
}

struct Round {
    seen: Seen,
    seconds: f64,
    /// Rows that the server counts to have written into inboxes; `None` where it could not be read.
    inbox_rows: Option<f64>,
}

impl Round {
    fn rate(&self) -> f64 {
        per_second(self.seen.answer_times.len(), self.seconds)
    }

    fn to_json(&self) -> Value {
        json!({
            "sendsPerSecond": self.rate(),
            "answer": quantiles(&self.seen.answer_times),
            "inboxRows": self.inbox_rows,
        })
    }
}

impl Size {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    fn p50(&self) -> f64 {
        self.median(|round| quantile(&round.seen.answer_times, 0.5))
    }

    fn p99(&self) -> f64 {
        self.median(|round| quantile(&round.seen.answer_times, 0.99))
    }

    /// Rows in inboxes for each send; `None` where the server's count could not be read.
    fn inbox_rows_per_send(&self) -> Option<f64> {
        let sends: u64 = self.rounds.iter().map(|round| round.seen.answer_times.len()).sum();
        let rows: Option<f64> = self.rounds.iter().map(|round| round.inbox_rows).sum();
        rows.map(|rows| ratio(rows, sends as f64))
    }
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if args.members.iter().any(|members| *members < args.senders.max(2)) {
        return Err(Failure::usage("a size below 2 or below --senders: the senders are members"));
    }
    let mut sizes = on_one_thread(make_groups(args.clone())).await?;
    let mut floors = Vec::new();
    for number in 1..=args.rounds.rounds {
        args.rounds.note(number, "measuring the disk, then sending to each size");
        let floor = floor::measure(&args.floor_dir, FLOOR_TIME, None).await?;
        floors.push(floor.p50_ms());
        for size in &mut sizes {
            let round = round(args.clone(), size.group.clone(), size.people.clone());
            let round = on_one_thread(round).await?;
            note(&format!(
                "  {} members: {:.0}/s, answer {}",
                size.members,
                round.rate(),
                words(&round.seen.answer_times)
            ));
            size.rounds.push(round);
        }
    }
    let mut faults = Faults::default();
    for round in sizes.iter().flat_map(|size| &size.rounds) {
        faults.add(&round.seen.faults);
    }
    let report = Report { sizes, floor_p50: median(floors), faults };
    if args.json {
        line(&report.to_json(&args).to_string())?;
    } else {
        report.print(&args)?;
    }
    on_one_thread(end_groups(args, report.sizes)).await?;
    report.faults.verdict()
}

async fn make_groups(args: Args) -> Result<Vec<Size>, Failure> {
    let mut sizes = Vec::new();
    for members in &args.members {
        note(&format!("making a super group of {members} members"));
        let name = format!("bench-super-{members}");
        let people = args.people.list(&name, args.senders as usize)?;
        let mut owner = args.people.connect_one(&people[0]).await?;
        let mut users: Vec<String> = people.iter().map(|person| person.user.clone()).collect();
        users.extend((users.len() + 1..=*members as usize).map(|number| format!("{name}-{number}")));
        let group = make(&mut owner, &users, "super").await?;
        sizes.push(Size { members: *members, group, people, rounds: Vec::new() });
    }
    Ok(sizes)
}

async fn end_groups(args: Args, sizes: Vec<Size>) -> Result<(), Failure> {
    for size in sizes {
        let mut owner = args.people.connect_one(&size.people[0]).await?;
        dismiss(&mut owner, size.group).await?;
    }
    Ok(())
}

async fn round(args: Args, group: String, people: Vec<Person>) -> Result<Round, Failure> {
    let connections = args.people.connect(&people).await?;
    let role = |number| Role::Send { number, target: Target::Group(group.clone()), every: None };
    let all: Vec<(Connection, Role)> =
        connections.into_iter().enumerate().map(|(number, connection)| (connection, role(number))).collect();
    let copies = all.len() as u64;
    let api = ServerApi::new(&args.api, None);
    let before = api.metrics().await.ok();
    let (seen, seconds) = Run::new(args.rounds.seconds, None).carry_out(all, copies).await?;
    let after = api.metrics().await.ok();
    let inbox_rows = before.zip(after).map(|(before, after)| {
        counter(&after, INBOX_ROWS).unwrap_or(0.0) - counter(&before, INBOX_ROWS).unwrap_or(0.0)
    });
    Ok(Round { seen, seconds, inbox_rows })
}

struct Report {
    sizes: Vec<Size>,
    floor_p50: f64,
    faults: Faults,
}

impl Report {
    /// The answer's p50 in the largest group over that in the smallest, and the same of the rates the other way round:
    /// both are 1 where the size makes no difference, and above 1 where the large group is slower.
    fn ratios(&self) -> (f64, f64) {
        let smallest = self.sizes.iter().min_by_key(|size| size.members);
        let largest = self.sizes.iter().max_by_key(|size| size.members);
        let (Some(smallest), Some(largest)) = (smallest, largest) else { return (0.0, 0.0) };
        let rate = |size: &Size| size.median(Round::rate);
        (ratio(largest.p50(), smallest.p50()), ratio(rate(smallest), rate(largest)))
    }

    fn to_json(&self, args: &Args) -> Value {
        let size = |size: &Size| {
            json!({
                "members": size.members,
                "sendsPerSecond": size.median(Round::rate),
                "answerP50Ms": size.p50(),
                "answerP99Ms": size.p99(),
                "inboxRowsPerSend": size.inbox_rows_per_send(),
                "rounds": size.rounds.iter().map(Round::to_json).collect::<Vec<_>>(),
            })
        };
        let (by_answer, by_rate) = self.ratios();
        json!({
            "senders": args.senders,
            "sizes": self.sizes.iter().map(size).collect::<Vec<_>>(),
            "largestOverSmallest": { "answerP50": by_answer, "timePerSend": by_rate },
            "floorP50Ms": self.floor_p50,
            "missing": self.faults.missing_count,
            "doubles": self.faults.double_count,
            "errors": self.faults.error_count,
            "firstError": self.faults.first_error,
        })
    }

    fn print(&self, args: &Args) -> Result<(), Failure> {
        line(&format!("load          {} senders in each group, sizes in turn", args.senders))?;
        let rounds = args.rounds.rounds;
        line(&format!("rounds        {rounds} of {} s; each figure is its median", args.rounds.seconds))?;
        for size in &self.sizes {
            let rows = size.inbox_rows_per_send();
            let rows =
                rows.map_or("inbox rows not known".to_owned(), |rows| format!("{rows} inbox rows a send"));
            line(&format!(
                "{:>7}       {:.0} sends/s, answer p50 {:.2} ms, p99 {:.2} ms, {rows}",
                size.members,
                size.median(Round::rate),
                size.p50(),
                size.p99(),
            ))?;
        }
        let (by_answer, by_rate) = self.ratios();
        line(&format!("largest/smallest  answer p50 {by_answer:.3} ×, time a send {by_rate:.3} ×"))?;
        let (missing, doubles) = (self.faults.missing_count, self.faults.double_count);
        line(&format!("errors        {}, {missing} not arrived, {doubles} twice", self.faults.error_count))?;
        line(&format!("fsync floor   p50 {:.3} ms", self.floor_p50))
    }
}
