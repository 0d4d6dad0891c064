//! A group whose messages are written into each member's inbox: how many rows a second.

use std::path::PathBuf;
use std::time::Duration;

use anser_client::ServerApi;
use clap::Parser;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::{line, note};
use super::bare::{self, Bare};
use super::group_setup::{counter, dismiss, make};
use super::load::{Role, Run, Target};
use super::people::People;
use super::rounds::{Faults, Rounds, median, ratio};
use super::{on_one_thread, online, per_second};

/// How long the bare store is measured before each round, twice.
const BARE_TIME: Duration = Duration::from_secs(2);
/// The server's count of rows that it wrote into inboxes.
const ROWS: &str = "anser_consumer_inbox_rows_total";

/// Measures a group, whose messages the server writes into each member's inbox.
///
/// A few members send, and the last one reads: a message counts when it has arrived there, since inboxes are written
/// in order. Senders stay at most --window messages ahead of it. With --online all members are connected and one sends
/// at a pace: measured is how soon they all have it.
#[derive(Debug, Clone, Parser)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) people: People,
    /// How many members.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(3..=2000))]
    members: u32,
    /// How many of them send.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    senders: u32,
    /// Messages that may be on their way into inboxes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: u32,
    /// Instead: so many members, all connected, one of whom sends.
    #[arg(long, value_name = "MEMBERS", value_parser = clap::value_parser!(u32).range(2..=2000))]
    pub(super) online: Option<u32>,
    /// With --online: messages per second.
    #[arg(long, default_value_t = 5.0)]
    pub(super) rate: f64,
    #[command(flatten)]
    pub(super) rounds: Rounds,
    /// The server API, whose count of rows is read where it can be.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3111")]
    api: String,
    /// A folder on the disk that the server writes to: a bare store is measured there before each round.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) floor_dir: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if args.rate <= 0.0 {
        return Err(Failure::usage("--rate must be above 0"));
    }
    if args.online.is_some() {
        return online::run(args).await;
    }
    if args.senders >= args.members {
        return Err(Failure::usage("as many senders as members: the last member only reads"));
    }
    let mut rounds = Vec::new();
    for number in 1..=args.rounds.rounds {
        args.rounds.note(number, "measuring the bare store, then sending");
        let bare = bare::measure(&args.floor_dir, args.members as usize, BARE_TIME).await?;
        let round = on_one_thread(round(args.clone(), bare)).await?;
        note(&format!("  {:.0} rows/s, bare {:.0}/s", round.rows_per_second, bare.batched));
        rounds.push(round);
    }
    let mut faults = Faults::default();
    for round in &rounds {
        faults.add(&round.faults);
    }
    if args.json {
        line(&to_json(&args, &rounds, &faults).to_string())?;
    } else {
        print(&args, &rounds, &faults)?;
    }
    faults.verdict()
}

/// What one round saw.
struct Round {
    rows_per_second: f64,
    messages_per_second: f64,
    /// By the server's own count, over the whole round; `None` where it could not be read.
    counted_per_second: Option<f64>,
    bare: Bare,
    faults: Faults,
}

impl Round {
    fn share(&self) -> f64 {
        ratio(self.rows_per_second, self.bare.batched)
    }

    fn to_json(&self) -> Value {
        json!({
            "rowsPerSecond": self.rows_per_second,
            "messagesPerSecond": self.messages_per_second,
            "countedRowsPerSecond": self.counted_per_second,
            "bareRowsPerSecond": self.bare.batched,
            "bareOneAfterAnotherRowsPerSecond": self.bare.one_after_another,
            "share": self.share(),
        })
    }
}

async fn round(args: Args, bare: Bare) -> Result<Round, Failure> {
    let (members, senders) = (args.members as usize, args.senders as usize);
    let people = args.people.list("bench-group", members)?;
    let users: Vec<String> = people.iter().map(|person| person.user.clone()).collect();
    // The owner keeps a connection of its own: on the others sends are outstanding.
    let mut owner = args.people.connect_one(&people[0]).await?;
    let group = make(&mut owner, &users, "group").await?;
    let sending = args.people.connect(&people[1..=senders.min(members - 2)]).await?;
    let last = args.people.connect_one(&people[members - 1]).await?;
    let every = None;
    let target = Target::Group(group.clone());
    let mut all: Vec<_> = sending
        .into_iter()
        .enumerate()
        .map(|(number, connection)| (connection, Role::Send { number, target: target.clone(), every }))
        .collect();
    all.push((last, Role::Pace));
    let sender_count = all.len() as u64 - 1;
    let api = ServerApi::new(&args.api, None);
    let before = api.metrics().await.ok();
    // Every sender has its group's messages pushed too, its own among them.
    let run = Run::new(args.rounds.seconds, Some(args.window as usize));
    let began = run.began;
    let (seen, _) = run.carry_out(all, sender_count + 1).await?;
    let seconds = seen.last_arrival as f64 / 1e9;
    let after = api.metrics().await.ok();
    let counted = before.zip(after).and_then(|(before, after)| {
        let rows = counter(&after, ROWS)? - counter(&before, ROWS).unwrap_or(0.0);
        Some((rows / began.elapsed().as_secs_f64()).round())
    });
    dismiss(&mut owner, group).await?;
    let message_count = seen.delivery_times.len() / (sender_count + 1);
    Ok(Round {
        rows_per_second: per_second(message_count * members as u64, seconds),
        messages_per_second: per_second(message_count, seconds),
        counted_per_second: counted,
        bare,
        faults: seen.faults,
    })
}

fn to_json(args: &Args, rounds: &[Round], faults: &Faults) -> Value {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    json!({
        "members": args.members,
        "senders": args.senders,
        "window": args.window,
        "median": {
            "rowsPerSecond": of(|round| round.rows_per_second),
            "messagesPerSecond": of(|round| round.messages_per_second),
            "bareRowsPerSecond": of(|round| round.bare.batched),
            "bareOneAfterAnotherRowsPerSecond": of(|round| round.bare.one_after_another),
            "share": of(Round::share),
        },
        "missing": faults.missing_count,
        "doubles": faults.double_count,
        "errors": faults.error_count,
        "firstError": faults.first_error,
        "rounds": rounds.iter().map(Round::to_json).collect::<Vec<_>>(),
    })
}

fn print(args: &Args, rounds: &[Round], faults: &Faults) -> Result<(), Failure> {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    line(&format!("load          {} senders in a group of {} members", args.senders, args.members))?;
    line(&format!("rounds        {} of {} s; each figure is its median", rounds.len(), args.rounds.seconds))?;
    let (rows, messages) = (of(|round| round.rows_per_second), of(|round| round.messages_per_second));
    line(&format!("inbox rows    {rows:.0}/s written and pushed, {messages:.1} messages/s"))?;
    let (bare, slow) = (of(|round| round.bare.batched), of(|round| round.bare.one_after_another));
    line(&format!("bare store    {bare:.0} rows/s in joined commits, {slow:.0} one commit after another"))?;
    line(&format!("share         {:.2} of the bare store", of(Round::share)))?;
    let (missing, doubles) = (faults.missing_count, faults.double_count);
    line(&format!("errors        {}, {missing} not arrived, {doubles} twice", faults.error_count))
}
