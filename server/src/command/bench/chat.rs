//! Durable single chats: senders in a closed loop among users who all are connected and read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anser_client::ServerApi;
use clap::Parser;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::{line, note};
use super::floor::{self, Floor};
use super::load::{Role, Run, Seen, Target};
use super::people::People;
use super::rounds::{Faults, Rounds, median, ratio};
use super::{on_one_thread, per_second, quantile, quantiles, words};

/// How long the disk is measured before each round.
const FLOOR_TIME: Duration = Duration::from_secs(1);

/// Measures durable single chats: each sender waits for its answer before it sends again, so slow answers make the
/// rate lower and not the queue longer.
///
/// Senders write to their partners, one after another; all users are connected and read. With --rate they send at that
/// pace instead, which shows what an answer costs at light load; the disk is then measured at that pace too, since one
/// that rests between two writes takes longer for each. The exit code is 1 when a send failed, or a message
/// arrived not at all or twice.
#[derive(Debug, Clone, Parser)]
pub(super) struct Args {
    #[command(flatten)]
    people: People,
    /// How many of the users send.
    #[arg(long, default_value_t = 64)]
    senders: usize,
    /// How many users there are.
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// How many users each sender writes to; with more users than that, they are spread over all of them.
    #[arg(long, default_value_t = 99, value_parser = clap::value_parser!(u64).range(1..))]
    partners: u64,
    /// Messages per second of all senders together; without it as many as are answered.
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<f64>,
    #[command(flatten)]
    rounds: Rounds,
    /// The server API; when given, it is first asked whether the server is ready.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// A folder on the disk that the server writes to; its speed is measured before each round.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    floor_dir: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn partners(&self) -> usize {
        usize::try_from(self.partners).unwrap_or(usize::MAX).min(self.users - 1)
    }

    /// How long after one message the next one is sent.
    fn pace(&self) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_secs_f64(1.0 / rate))
    }
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if args.senders == 0 || args.users < args.senders.max(2) {
        let (senders, users) = (args.senders, args.users);
        return Err(Failure::usage(format!(
            "{senders} senders among {users} users: give 1 or more among 2 or more"
        )));
    }
    if args.rate.is_some_and(|rate| rate <= 0.0) {
        return Err(Failure::usage("--rate must be above 0"));
    }
    if let Some(api) = &args.api {
        ServerApi::new(api, None).ready().await?;
    }
    let mut rounds = Vec::new();
    for number in 1..=args.rounds.rounds {
        args.rounds.note(number, "measuring the disk, then sending");
        let floor = floor::measure(&args.floor_dir, FLOOR_TIME, args.pace()).await?;
        let (seen, seconds) = on_one_thread(round(args.clone())).await?;
        let round = Round { seen, seconds, floor };
        note(&format!("  {:.0}/s, answer {}", round.rate(), words(&round.seen.answer_times)));
        rounds.push(round);
    }
    let report = Report { rounds };
    if args.json {
        line(&report.to_json(&args).to_string())?;
    } else {
        report.print(&args)?;
    }
    report.faults().verdict()
}

async fn round(args: Args) -> Result<(Seen, f64), Failure> {
    let people = args.people.list("bench", args.users)?;
    let connections = args.people.connect(&people).await?;
    let users: Arc<[String]> = people.into_iter().map(|person| person.user).collect();
    let every = args.pace().map(|pace| pace.mul_f64(args.senders as f64));
    let partners = args.partners();
    let role = |number| match number < args.senders {
        true => Role::Send { number, target: Target::Users { users: Arc::clone(&users), partners }, every },
        false => Role::Read,
    };
    let people = connections.into_iter().enumerate().map(|(number, connection)| (connection, role(number)));
    Run::new(args.rounds.seconds, None).carry_out(people.collect(), 1).await
}

/// What one round saw.
struct Round {
    seen: Seen,
    seconds: f64,
    floor: Floor,
}

impl Round {
    fn rate(&self) -> f64 {
        per_second(self.seen.answer_times.len(), self.seconds)
    }

    fn answer(&self, share: f64) -> f64 {
        quantile(&self.seen.answer_times, share)
    }

    fn to_json(&self) -> Value {
        json!({
            "seconds": self.seconds,
            "messages": self.seen.answer_times.len(),
            "messagesPerSecond": self.rate(),
            "answer": quantiles(&self.seen.answer_times),
            "delivery": quantiles(&self.seen.delivery_times),
            "floor": self.floor.to_json(),
            "messagesPerFsync": ratio(self.rate(), self.floor.per_second()),
            "answerP50PerFsync": ratio(self.answer(0.5), self.floor.p50_ms()),
        })
    }
}

/// What all rounds saw.
struct Report {
    rounds: Vec<Round>,
}

impl Report {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    fn faults(&self) -> Faults {
        let mut all = Faults::default();
        for round in &self.rounds {
            all.add(&round.seen.faults);
        }
        all
    }

    fn to_json(&self, args: &Args) -> Value {
        let faults = self.faults();
        json!({
            "loop": if args.rate.is_some() { "paced" } else { "closed" },
            "rate": args.rate,
            "senders": args.senders,
            "users": args.users,
            "partners": args.partners(),
            "median": {
                "messagesPerSecond": self.median(Round::rate),
                "answerP50Ms": self.median(|round| round.answer(0.5)),
                "answerP99Ms": self.median(|round| round.answer(0.99)),
                "deliveryP50Ms": self.median(|round| quantile(&round.seen.delivery_times, 0.5)),
                "deliveryP99Ms": self.median(|round| quantile(&round.seen.delivery_times, 0.99)),
                "floorPerSecond": self.median(|round| round.floor.per_second()),
                "floorP50Ms": self.median(|round| round.floor.p50_ms()),
                "messagesPerFsync": self.median(|round| ratio(round.rate(), round.floor.per_second())),
                "answerP50PerFsync": self.median(|round| ratio(round.answer(0.5), round.floor.p50_ms())),
            },
            "missing": faults.missing_count,
            "doubles": faults.double_count,
            "errors": faults.error_count,
            "firstError": faults.first_error,
            "rounds": self.rounds.iter().map(Round::to_json).collect::<Vec<_>>(),
        })
    }

    fn print(&self, args: &Args) -> Result<(), Failure> {
        let count = self.rounds.len();
        let pace =
            args.rate.map_or("as fast as they are answered".to_owned(), |rate| format!("{rate}/s in all"));
        let (senders, users, partners) = (args.senders, args.users, args.partners());
        line(&format!(
            "load          {senders} senders with {partners} partners each among {users} users, {pace}"
        ))?;
        line(&format!("rounds        {count} of {} s; each figure is its median", args.rounds.seconds))?;
        let rate = self.median(Round::rate);
        let per_fsync = self.median(|round| ratio(round.rate(), round.floor.per_second()));
        line(&format!("single chats  {rate:.0}/s durable, {per_fsync:.2} for each fdatasync of the floor"))?;
        let [p50, p99] = [0.5, 0.99].map(|share| self.median(|round| round.answer(share)));
        let in_fsyncs = self.median(|round| ratio(round.answer(0.5), round.floor.p50_ms()));
        line(&format!(
            "answer        p50 {p50:.2} ms, p99 {p99:.2} ms; p50 is {in_fsyncs:.2} × one fdatasync"
        ))?;
        let delivery = |share| self.median(|round| quantile(&round.seen.delivery_times, share));
        line(&format!(
            "delivery      p50 {:.2} ms, p99 {:.2} ms, from before the send",
            delivery(0.5),
            delivery(0.99)
        ))?;
        let faults = self.faults();
        let (missing, doubles) = (faults.missing_count, faults.double_count);
        line(&format!("errors        {}, {missing} not arrived, {doubles} twice", faults.error_count))?;
        let floor = self.median(|round| round.floor.per_second());
        let floor_p50 = self.median(|round| round.floor.p50_ms());
        let how = if args.rate.is_some() { "at the pace of the messages" } else { "one after another" };
        line(&format!("fsync floor   {floor:.0}/s, p50 {floor_p50:.3} ms, {how}"))
    }
}
