//! `anser bench`: what a running server does per second, beside what its disk can do at all.

mod chat;
mod floor;
mod people;
mod receiver;
mod sender;

use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;

use super::failure::Failure;
use super::output::until_the_reader_leaves;

/// Measures a running server. Use a release build, on a machine that does nothing else.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Durable single chats: how many per second, and how long an answer takes.
    Chat(chat::Args),
    /// How fast this disk makes small appends durable, one after another.
    Floor(floor::Args),
}

/// Measures and prints.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    until_the_reader_leaves(match args.what {
        What::Chat(args) => chat::run(args).await,
        What::Floor(args) => floor::run(args).await,
    })
}

/// Longer times are recorded as this one.
const TIME_MAX_NANOSECONDS: u64 = 60_000_000_000;

/// Times in nanoseconds, to three digits.
type Times = Histogram<u64>;

fn times() -> Result<Times, Failure> {
    Times::new_with_bounds(1000, TIME_MAX_NANOSECONDS, 3).map_err(|error| Failure::failed(error.to_string()))
}

/// Nanoseconds as milliseconds, to the microsecond.
fn milliseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1000.0).round() / 1000.0
}

/// So many in so long, per second.
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}
