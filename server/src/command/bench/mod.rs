//! `anser bench`: what a running server does per second, beside what its disk can do at all.
//!
//! The generator shares the machine with the server it measures, so it is light: one thread, one task a connection,
//! protobuf over TCP, and one request outstanding a sender. Every figure is the median of several rounds, and each
//! round has the floor of its own minute beside it.

mod bare;
mod chat;
mod fill;
mod floor;
mod group;
mod group_setup;
mod load;
mod online;
mod people;
mod rounds;
mod server_process;
mod super_group;
mod sync;

use std::future::Future;

use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::failure::Failure;
use super::output::until_the_reader_leaves;

/// Measures a running server. Use a release build, on a machine that does nothing else.
///
/// Start one first: `anser serve --dev --data FOLDER`, and name the folder with --floor-dir, so that the same disk is
/// measured. Only `sync` starts a server of its own.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Durable single chats: how many per second, and how long an answer takes.
    #[command(after_help = "Example: anser bench chat --senders 64 --users 1000 --floor-dir ./anser-data")]
    Chat(chat::Args),
    /// A group: how many inbox rows per second, or how soon all members have a message.
    #[command(after_help = "Example: anser bench group --members 500 --floor-dir ./anser-data\n         \
                            anser bench group --online 200 --rate 5")]
    Group(group::Args),
    /// Super groups of several sizes: what a send costs in each.
    #[command(after_help = "Example: anser bench supergroup --members 10,1000,10000,100000")]
    Supergroup(super_group::Args),
    /// A device that comes back: how soon it has what it missed. Fills a store and starts a server on it.
    #[command(after_help = "Example: anser bench sync --fill 100000,10000000 --data ./bench-data")]
    Sync(sync::Args),
    /// How fast this disk makes small appends durable, one after another.
    Floor(floor::Args),
}

/// Measures and prints.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    until_the_reader_leaves(match args.what {
        What::Chat(args) => chat::run(args).await,
        What::Group(args) => group::run(args).await,
        What::Supergroup(args) => super_group::run(args).await,
        What::Sync(args) => sync::run(args).await,
        What::Floor(args) => floor::run(args).await,
    })
}

/// Runs a load on a thread of its own, so that its tasks never wake another thread.
async fn on_one_thread<T, F>(load: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let load = Box::pin(load);
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = match runtime {
                Ok(runtime) => runtime.block_on(load),
                Err(error) => Err(Failure::failed(format!("no runtime for the load: {error}"))),
            };
            // Nobody waits any longer where the command was interrupted.
            let _ = sender.send(result);
        })
        .map_err(|error| Failure::failed(format!("no thread for the load: {error}")))?;
    receiver.await.unwrap_or_else(|_| Err(Failure::failed("the load ended without a result")))
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

/// A time's quantile in milliseconds.
fn quantile(times: &Times, quantile: f64) -> f64 {
    milliseconds(times.value_at_quantile(quantile))
}

fn quantiles(times: &Times) -> Value {
    json!({ "p50Ms": quantile(times, 0.5), "p99Ms": quantile(times, 0.99), "maxMs": milliseconds(times.max()) })
}

fn words(times: &Times) -> String {
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(times, share));
    format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {:.2} ms", milliseconds(times.max()))
}

/// So many in so long, per second.
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}
