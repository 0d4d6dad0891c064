//! Durable single chats: as many senders as receivers, and what an answer costs.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anser_client::ServerApi;
use clap::Parser;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use super::super::failure::Failure;
use super::super::output::{line, note, progress};
use super::floor::{self, Floor};
use super::people::People;
use super::receiver::{Received, receive_until_told};
use super::sender::{Run, Sent, send_until_the_end};
use super::{Times, milliseconds, per_second, times};

/// How long each of the two measurements of the disk takes.
const FLOOR_TIME: Duration = Duration::from_secs(2);
/// How long the last messages may be on their way.
const ARRIVAL_WAIT: Duration = Duration::from_secs(5);

/// Measures durable single chats in a closed loop: each sender waits for its answer before it sends again,
/// so slow answers make the rate lower and not the queue longer.
///
/// Each sender writes to a receiver of its own, who is connected and reads. The exit code is 1 when a send
/// failed, or a message arrived not at all or twice.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    people: People,
    /// How long to send.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The server API; when given, it is first asked whether the server is ready.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// A folder on the disk that the server writes to; its speed is measured before and after.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    floor_dir: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Measures once and prints.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    if let Some(api) = &args.api {
        ServerApi::new(api, None).ready().await?;
    }
    note("measuring the disk");
    let floor_before = floor::measure(&args.floor_dir, FLOOR_TIME).await?;
    let report = measure(&args).await?;
    note("measuring the disk again");
    let floor_after = floor::measure(&args.floor_dir, FLOOR_TIME).await?;
    if args.json {
        line(&report.to_json(&args, &floor_before, &floor_after).to_string())?;
    } else {
        report.print(&args, &floor_before, &floor_after)?;
    }
    report.verdict()
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let (senders, receivers) = args.people.list()?;
    let receiver_connections = args.people.connect(&receivers).await?;
    let sender_connections = args.people.connect(&senders).await?;
    let began = Instant::now();
    let run = Arc::new(Run {
        name: format!("bench-{:08x}", rand::random::<u32>()),
        began,
        until: began + Duration::from_secs(args.seconds),
        answered_count: AtomicU64::new(0),
        received_count: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut receiving = Vec::new();
    for connected in receiver_connections {
        let receiver = receive_until_told(Arc::clone(&run), connected, stopped.clone(), times()?);
        receiving.push(tokio::spawn(receiver));
    }
    let mut sending = Vec::new();
    for (connected, receiver) in sender_connections.into_iter().zip(&receivers) {
        let sender = send_until_the_end(Arc::clone(&run), connected, receiver.user.clone(), times()?);
        sending.push(tokio::spawn(sender));
    }
    let showing = tokio::spawn(show_progress(Arc::clone(&run)));
    let mut report = Report::new()?;
    for sent in join(sending).await? {
        report.add_sent(sent);
    }
    report.seconds = began.elapsed().as_secs_f64();
    showing.abort();
    wait_for_arrivals(&run).await;
    stop.send_replace(true);
    for received in join(receiving).await? {
        report.add_received(received);
    }
    if std::io::stderr().is_terminal() {
        progress("");
    }
    Ok(report)
}

async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Result<Vec<T>, Failure> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.map_err(|error| Failure::failed(error.to_string()))?);
    }
    Ok(results)
}

/// Waits for the last messages, but not long for those that will not come.
async fn wait_for_arrivals(run: &Run) {
    let until = Instant::now() + ARRIVAL_WAIT;
    let answered_count = run.answered_count.load(Ordering::Relaxed);
    while run.received_count.load(Ordering::Relaxed) < answered_count && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn show_progress(run: Arc<Run>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut tick = interval(Duration::from_millis(500));
    let mut before = 0;
    loop {
        tick.tick().await;
        let answered_count = run.answered_count.load(Ordering::Relaxed);
        let seconds = run.began.elapsed().as_secs_f64();
        progress(&format!(
            "{seconds:.0} s   {answered_count} answered   {}/s",
            (answered_count - before) * 2
        ));
        before = answered_count;
    }
}

/// What all of them saw together.
struct Report {
    seconds: f64,
    answer_times: Times,
    delivery_times: Times,
    double_count: u64,
    error_count: u64,
    first_error: Option<String>,
}

impl Report {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            seconds: 0.0,
            answer_times: times()?,
            delivery_times: times()?,
            double_count: 0,
            error_count: 0,
            first_error: None,
        })
    }

    fn add_sent(&mut self, sent: Sent) {
        self.answer_times += sent.answer_times;
        self.error_count += sent.error_count;
        self.first_error = self.first_error.take().or(sent.first_error);
    }

    fn add_received(&mut self, received: Received) {
        self.delivery_times += received.delivery_times;
        self.double_count += received.double_count;
        if let Some(reason) = received.lost_connection {
            self.error_count += 1;
            self.first_error.get_or_insert(format!("a receiver: {reason}"));
        }
    }

    /// Answered, but not arrived at the receiver's connection.
    fn missing_count(&self) -> u64 {
        self.answer_times.len().saturating_sub(self.delivery_times.len())
    }

    fn per_second(&self) -> f64 {
        per_second(self.answer_times.len(), self.seconds)
    }

    fn verdict(&self) -> Result<(), Failure> {
        let (errors, missing, doubles) = (self.error_count, self.missing_count(), self.double_count);
        if errors + missing + doubles == 0 {
            return Ok(());
        }
        let first = self.first_error.as_ref().map(|error| format!("; the first error: {error}"));
        let first = first.unwrap_or_default();
        Err(Failure::failed(format!(
            "{errors} errors, {missing} messages did not arrive, {doubles} arrived twice{first}"
        )))
    }

    fn to_json(&self, args: &Args, floor_before: &Floor, floor_after: &Floor) -> Value {
        json!({
            "loop": "closed",
            "senders": args.people.senders,
            "receivers": args.people.senders,
            "seconds": self.seconds,
            "messages": self.answer_times.len(),
            "messagesPerSecond": self.per_second(),
            "answer": quantiles(&self.answer_times),
            "delivery": quantiles(&self.delivery_times),
            "arrived": self.delivery_times.len(),
            "missing": self.missing_count(),
            "doubles": self.double_count,
            "errors": self.error_count,
            "firstError": self.first_error,
            "floorBefore": floor_before.to_json(),
            "floorAfter": floor_after.to_json(),
        })
    }

    fn print(&self, args: &Args, floor_before: &Floor, floor_after: &Floor) -> Result<(), Failure> {
        let senders = args.people.senders;
        line(&format!("closed loop   {senders} senders, each waits for its answer, to {senders} receivers"))?;
        let (count, seconds) = (self.answer_times.len(), self.seconds);
        line(&format!("single chats  {:.0}/s durable ({count} in {seconds:.1} s)", self.per_second()))?;
        line(&format!("answer        {}", words(&self.answer_times)))?;
        line(&format!("delivery      {}, from before the send", words(&self.delivery_times)))?;
        let (missing, doubles) = (self.missing_count(), self.double_count);
        line(&format!("errors        {}, {missing} not arrived, {doubles} twice", self.error_count))?;
        line(&format!("fsync floor   {}", floor_before.to_text()))?;
        line(&format!("  afterwards  {}", floor_after.to_text()))
    }
}

fn quantiles(times: &Times) -> Value {
    json!({
        "p50Ms": milliseconds(times.value_at_quantile(0.5)),
        "p99Ms": milliseconds(times.value_at_quantile(0.99)),
        "maxMs": milliseconds(times.max()),
    })
}

fn words(times: &Times) -> String {
    let [p50, p99] = [0.5, 0.99].map(|quantile| milliseconds(times.value_at_quantile(quantile)));
    format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {:.2} ms", milliseconds(times.max()))
}
