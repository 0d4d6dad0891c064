//! Measures a broker: records published and consumed per second, and how long a record is on its way.
//!
//! ```text
//! cargo run --release -p backends --example topic -- URL [RECORDS] [BYTES] [PUBLISHERS] [BATCH]
//! ```
//!
//! For each of topics `fanout` and `push`: first as fast as it can, then lightly, 200 records a second one by one.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backends::broker::{self, Broker, Record, Subscription, Topic};
use bytes::Bytes;

const LIGHT_COUNT: u64 = 2_000;
const LIGHT_INTERVAL: Duration = Duration::from_millis(5);
/// Records that `next` is asked for.
const NEXT_MAX: usize = 512;
/// How long nothing may arrive before what is missing counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured.
#[derive(Clone, Copy)]
struct Load {
    count: u64,
    bytes: usize,
    publishers: u64,
    batch: u64,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("name the URL of a broker")?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let count = number(400_000)?;
    let bytes = usize::try_from(number(200)?)?;
    let load = Load { count, bytes, publishers: number(8)?, batch: number(100)? };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker = broker::open(&url).await?;
        for topic in [Topic::Fanout, Topic::Push] {
            println!("topic {}", topic.name());
            measure(&broker, topic, load).await?;
        }
        Ok(())
    })
}

async fn measure(broker: &Arc<dyn Broker>, topic: Topic, load: Load) -> Outcome<()> {
    let mut subscription = broker.subscribe(topic, "bench").await?;
    let clock = Instant::now();
    // Until a new consumer has its partitions, and what an earlier run left is gone.
    let mark = clock.elapsed();
    broker.publish(topic, vec![record(&clock, 0, 16)]).await?;
    until(&mut subscription, 1, &clock, mark).await?;

    let mark = clock.elapsed();
    let publishing = tokio::spawn(publish(Arc::clone(broker), topic, load, clock));
    let consumed = until(&mut subscription, load.count, &clock, mark).await?;
    let elapsed = clock.elapsed().saturating_sub(mark);
    let published = publishing.await??;
    let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    println!(
        "  {} records of {} B, {} publishers, batches of {}: published {:.0}/s, consumed {:.0}/s ({} of them)",
        load.count,
        load.bytes,
        load.publishers,
        load.batch,
        rate(load.count, published),
        rate(consumed.len() as u64, elapsed),
        consumed.len(),
    );
    println!("  on their way: {}", quantiles(consumed));

    let mark = clock.elapsed();
    let light = tokio::spawn(publish_lightly(Arc::clone(broker), topic, load.bytes, clock));
    let consumed = until(&mut subscription, LIGHT_COUNT, &clock, mark).await?;
    println!("  200/s: answered {}", quantiles(light.await??));
    println!("         on their way {}", quantiles(consumed));
    Ok(())
}

/// Publishes as fast as it can; answers how long it took until the last answer.
async fn publish(broker: Arc<dyn Broker>, topic: Topic, load: Load, clock: Instant) -> Outcome<Duration> {
    let begun = Instant::now();
    let each = load.count / load.publishers;
    let tasks: Vec<_> = (0..load.publishers)
        .map(|publisher| {
            let broker = Arc::clone(&broker);
            let count = if publisher == 0 { load.count - each * (load.publishers - 1) } else { each };
            tokio::spawn(async move {
                let mut left = count;
                while left > 0 {
                    let batch = left.min(load.batch);
                    let records = (0..batch).map(|_| record(&clock, left, load.bytes)).collect();
                    broker.publish(topic, records).await?;
                    left -= batch;
                }
                Ok::<_, backends::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed())
}

/// Publishes one record after the other at a steady rate; answers how long each answer took.
async fn publish_lightly(
    broker: Arc<dyn Broker>,
    topic: Topic,
    bytes: usize,
    clock: Instant,
) -> Outcome<Vec<Duration>> {
    let mut ticks = tokio::time::interval(LIGHT_INTERVAL);
    let mut times = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..LIGHT_COUNT {
        ticks.tick().await;
        let broker = Arc::clone(&broker);
        tasks.spawn(async move {
            let begun = Instant::now();
            broker.publish(topic, vec![record(&clock, number, bytes)]).await?;
            Ok::<_, backends::Error>(begun.elapsed())
        });
    }
    while let Some(task) = tasks.join_next().await {
        times.push(task??);
    }
    Ok(times)
}

/// Reads and commits until so many records that were published after `mark` have come; answers how long each was on
/// its way.
async fn until(
    subscription: &mut Box<dyn Subscription>,
    count: u64,
    clock: &Instant,
    mark: Duration,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while (times.len() as u64) < count {
        let Ok(records) = tokio::time::timeout(SILENCE_MAX, subscription.next(NEXT_MAX)).await else {
            println!("  {} records did not come", count - times.len() as u64);
            return Ok(times);
        };
        let now = clock.elapsed();
        for record in records? {
            let head = record.value.get(..8).and_then(|head| head.try_into().ok());
            let sent = Duration::from_nanos(head.map_or(0, u64::from_be_bytes));
            if sent >= mark && sent <= now {
                times.push(now - sent);
            }
        }
        subscription.commit().await?;
    }
    Ok(times)
}

/// A record that says when it was made, and is otherwise hard to make smaller.
fn record(clock: &Instant, number: u64, bytes: usize) -> Record {
    let nanos = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut value = nanos.to_be_bytes().to_vec();
    let mut state = nanos ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while value.len() < bytes.max(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_be_bytes());
    }
    value.truncate(bytes.max(8));
    Record { key: Bytes::copy_from_slice(&(number % 64).to_be_bytes()), value: value.into() }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "nothing".to_owned();
    }
    times.sort_unstable();
    let quantile = |share: usize| times[(times.len() - 1) * share / 1_000];
    format!("p50 {:?}, p99 {:?}, max {:?}", quantile(500), quantile(990), quantile(1_000))
}
