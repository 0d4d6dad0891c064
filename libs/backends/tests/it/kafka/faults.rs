//! Three brokers, and what becomes of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backends::Kind;
use backends::broker::{self, Subscription, Topic};
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};

use super::meter::Meter;
use super::*;

/// Three brokers that one test at a time does harm to.
static THREE: OnceLock<Product> = OnceLock::new();
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const BROKERS: [&str; 3] = ["kafka-1", "kafka-2", "kafka-3"];
/// Far beyond what a broker's end takes to be noticed and mended.
const PATIENCE: Duration = Duration::from_secs(90);
const KEYS_COUNT: u64 = 6;
const BATCH_RECORDS: u64 = 10;

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} must happen in time"))
}

/// Publishes numbers under each key to topic `fanout`, each batch until it is answered.
struct Publishers {
    tasks: Vec<JoinHandle<u64>>,
    stop: Arc<AtomicBool>,
    answered: watch::Receiver<u64>,
    failures: Arc<AtomicU64>,
}

impl Publishers {
    fn start(broker: &Arc<dyn Broker>, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(AtomicU64::new(0));
        let (sender, answered) = watch::channel(0);
        let sender = Arc::new(sender);
        let task = |key: u64| {
            let (broker, stop, sender) = (broker.clone(), stop.clone(), sender.clone());
            let failures = failures.clone();
            tokio::spawn(async move {
                let mut first = 0;
                while !stop.load(Ordering::Relaxed) {
                    let batch = |number: u64| record(&key.to_string(), &number.to_string());
                    let records: Vec<_> = (first..first + BATCH_RECORDS).map(batch).collect();
                    while broker.publish(Topic::Fanout, records.clone()).await.is_err() {
                        failures.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    first += BATCH_RECORDS;
                    sender.send_modify(|answered| *answered += BATCH_RECORDS);
                    tokio::time::sleep(pause).await;
                }
                first
            })
        };
        let tasks = (0..KEYS_COUNT).map(task).collect();
        Self { tasks, stop, answered, failures }
    }

    /// Waits until so many more records were answered.
    async fn until_more(&mut self, count: u64) {
        let wanted = *self.answered.borrow() + count;
        within("more answers", self.answered.wait_for(|answered| *answered >= wanted)).await.unwrap();
    }

    /// Ends them; answers how many numbers each key has.
    async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = Vec::new();
        for task in self.tasks {
            counts.push(within("the last answer", task).await.unwrap());
        }
        counts
    }
}

/// What was read of each key, in the order in which it came.
type Read = BTreeMap<String, Vec<u64>>;

/// Reads and commits until each key has come to its last number. Nothing of it may fail but a commit.
fn read_until(
    mut subscription: Box<dyn Subscription>,
    mut ends: watch::Receiver<Option<Vec<u64>>>,
) -> JoinHandle<Read> {
    tokio::spawn(async move {
        let mut read = Read::new();
        loop {
            let is_done = ends.borrow_and_update().as_ref().is_some_and(|ends| {
                (0..).zip(ends).all(|(key, end): (u64, &u64)| {
                    read.get(&key.to_string()).is_some_and(|numbers| numbers.contains(&(end - 1)))
                })
            });
            if is_done {
                return read;
            }
            tokio::select! {
                records = subscription.next(500) => {
                    for record in records.expect("next goes on by itself") {
                        let key = String::from_utf8(record.key.to_vec()).unwrap();
                        read.entry(key).or_default().push(text(&record).parse().unwrap());
                    }
                    let _ = subscription.commit().await;
                }
                _ = ends.changed() => {}
            }
        }
    })
}

/// Nothing is missing, and what came for the first time came in order.
fn check(read: &Read, ends: &[u64]) {
    for (key, end) in (0_u64..).zip(ends) {
        let mut next = 0;
        for number in &read[&key.to_string()] {
            assert!(*number <= next, "key {key}: {number} came before {next}");
            next = next.max(number + 1);
        }
        assert_eq!(next, *end, "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_of_three_that_dies_loses_nothing_and_no_key_its_order() {
    let _turn = TURN.lock().await;
    let kafka = block_in_place(|| Product::shared(&THREE, "kafka", 3));
    let url = url_on(kafka);
    let broker = broker::open(&url).await.unwrap();
    let reader = broker::open(&url).await.unwrap();
    let (ends_sender, ends) = watch::channel(None);
    let reading = read_until(reader.subscribe(Topic::Fanout, "reader").await.unwrap(), ends);
    let mut publishers = Publishers::start(&broker, Duration::from_millis(2));
    publishers.until_more(3_000).await;
    for name in BROKERS {
        let begun = Instant::now();
        block_in_place(|| kafka.kill(name));
        publishers.until_more(3_000).await;
        println!("3,000 more answers {:?} after {name} was killed", begun.elapsed());
        block_in_place(|| kafka.restart(name));
        publishers.until_more(1_000).await;
        // Until it holds what the others do, the next one may not die: the topic asks for two.
        within("replicas in sync", in_sync(kafka)).await;
    }
    println!("{} publications were answered with a failure", publishers.failures.load(Ordering::Relaxed));
    let counts = publishers.end().await;
    ends_sender.send(Some(counts.clone())).unwrap();
    check(&within("all of it is read", reading).await.unwrap(), &counts);
}

/// Waits until each partition has all of its replicas, as a client of its own sees it.
async fn in_sync(kafka: &Product) {
    let servers = kafka.env("KAFKA_BOOTSTRAP").to_owned();
    loop {
        let servers = servers.clone();
        let whole = tokio::task::spawn_blocking(move || {
            use rdkafka::consumer::{BaseConsumer, Consumer};
            use rdkafka::metadata::MetadataTopic;
            let client: BaseConsumer =
                rdkafka::ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            client.fetch_metadata(None, Duration::from_secs(5)).is_ok_and(|metadata| {
                let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
                partitions.all(|partition| partition.isr().len() == partition.replicas().len())
            })
        });
        if whole.await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_brokers_gone_callers_are_answered_at_once_and_everything_goes_on_afterwards() {
    let _turn = TURN.lock().await;
    let kafka = block_in_place(|| Product::shared(&THREE, "kafka", 3));
    let meter = Arc::new(Meter::default());
    let url = url_on(kafka);
    // Counters are made where the broker is opened, before anything is waited for.
    let broker = {
        let mut opening = Box::pin(broker::open(&url));
        let guard = meter.attach();
        let begun = futures_util::future::poll_immediate(&mut opening).await;
        drop(guard);
        match begun {
            Some(opened) => opened.unwrap(),
            None => opening.await.unwrap(),
        }
    };
    let dropped = |reason: &str| meter.sum(&["anser_broker_dropped_total", "topic=push", reason]);
    let (hints, mut hinted) = watch::channel(String::new());
    let (pushes, mut pushed) = watch::channel(String::new());
    let mut readers = Vec::new();
    for (topic, seen) in [(Topic::Fanout, hints), (Topic::Push, pushes)] {
        let mut subscription = broker.subscribe(topic, "reader").await.unwrap();
        readers.push(tokio::spawn(async move {
            loop {
                let records = subscription.next(100).await.expect("next goes on by itself");
                seen.send(text(&records[records.len() - 1]).to_owned()).unwrap();
                let _ = subscription.commit().await;
            }
        }));
    }
    for topic in [Topic::Fanout, Topic::Push] {
        broker.publish(topic, vec![record("k", "before")]).await.unwrap();
    }
    within("a hint", hinted.wait_for(|seen| seen == "before")).await.unwrap();
    within("a push", pushed.wait_for(|seen| seen == "before")).await.unwrap();
    assert_eq!(dropped(""), 0);

    block_in_place(|| BROKERS.iter().for_each(|name| kafka.kill(name)));
    let gone = Instant::now();
    let mut published = 0;
    let mut slowest = Duration::ZERO;
    while gone.elapsed() < Duration::from_secs(10) {
        for topic in [Topic::Fanout, Topic::Push] {
            let begun = Instant::now();
            let error = broker.publish(topic, vec![record("k", "lost")]).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Transient);
            if gone.elapsed() > Duration::from_secs(3) {
                slowest = slowest.max(begun.elapsed());
            }
        }
        published += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{published} publications of each topic, the slowest after 3 s took {slowest:?}");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_eq!(dropped(""), published, "each one is counted once");
    assert!(dropped("reason=away") > published / 2);

    block_in_place(|| kafka.start_again());
    let back = Instant::now();
    for (topic, seen) in [(Topic::Fanout, &mut hinted), (Topic::Push, &mut pushed)] {
        within("a publication", async {
            while broker.publish(topic, vec![record("k", "after")]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        within("reading", seen.wait_for(|seen| seen == "after")).await.unwrap();
        println!("topic {} is back after {:?}", topic.name(), back.elapsed());
    }
    readers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_hang_are_as_good_as_gone() {
    let _turn = TURN.lock().await;
    let kafka = block_in_place(|| Product::shared(&THREE, "kafka", 3));
    let broker = broker::open(&url_on(kafka)).await.unwrap();
    broker.publish(Topic::Fanout, vec![record("k", "before")]).await.unwrap();
    BROKERS.iter().for_each(|name| kafka.signal(name, "STOP"));
    let hung = Instant::now();
    let error = broker.publish(Topic::Fanout, vec![record("k", "lost")]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(hung.elapsed() < Duration::from_secs(4), "{:?}", hung.elapsed());
    let begun = Instant::now();
    let error = broker.publish(Topic::Fanout, vec![record("k", "lost")]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    BROKERS.iter().for_each(|name| kafka.signal(name, "CONT"));
    within("a publication", async {
        while broker.publish(Topic::Fanout, vec![record("k", "after")]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebalances_lose_nothing() {
    let kafka = block_in_place(|| Product::shared(&ONE, "kafka", 1));
    let broker = broker::open(&url_on(kafka)).await.unwrap();
    let mut publishers = Publishers::start(&broker, Duration::from_millis(5));
    let done = Arc::new(std::sync::Mutex::new(HashSet::<(u32, u64)>::new()));
    let handed_out = Arc::new(std::sync::Mutex::new(BTreeMap::<(u32, u64), (String, u64)>::new()));
    let reader = |rounds: usize| {
        let (broker, done, handed_out) = (broker.clone(), done.clone(), handed_out.clone());
        async move {
            let mut subscription = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
            for round in 0..rounds {
                let records = subscription.next(50).await.expect("next goes on by itself");
                let mut places = Vec::new();
                for record in &records {
                    let place = (record.partition, record.offset);
                    let key = String::from_utf8(record.key.to_vec()).unwrap();
                    handed_out.lock().unwrap().insert(place, (key, text(record).parse().unwrap()));
                    places.push(place);
                }
                // The last ones that it takes are not done when it goes, and are to come again.
                if round + 1 < rounds {
                    done.lock().unwrap().extend(places);
                    // A commit that falls into a rebalance fails, and all of it may come again.
                    let _ = subscription.commit().await;
                }
            }
        }
    };
    let steady = tokio::spawn(reader(usize::MAX));
    for _ in 0..5 {
        publishers.until_more(1_000).await;
        let guest = tokio::spawn(reader(20));
        within("a guest gets records", guest).await.unwrap();
    }
    let counts = publishers.end().await;
    let all = counts.iter().sum::<u64>();
    within("everything is done", async {
        // A record that was handed out to a guest who left it comes again, at the same place.
        while (done.lock().unwrap().len() as u64) < all {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    steady.abort();
    let done = done.lock().unwrap();
    let handed_out = handed_out.lock().unwrap();
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (_, (key, number)) in handed_out.iter().filter(|(place, _)| done.contains(*place)) {
        numbers.entry(key).or_default().push(*number);
    }
    for (key, end) in (0_u64..).zip(&counts) {
        assert!(numbers[&*key.to_string()].iter().copied().eq(0..*end), "key {key}: each once, in order");
    }
}
