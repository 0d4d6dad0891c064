//! Redis fails in every way: calls stay short, no answer is wrong, and it is found again by itself.

use std::process::Command;
use std::time::{Duration, Instant};

use backends::{Kind, Result};

use super::*;
use crate::{user, within};

/// What a call may take: its time-out, and what a busy machine adds.
const CALL_MAX: Duration = Duration::from_millis(900);
/// What an answer takes that nothing is waited for.
const AT_ONCE: Duration = Duration::from_millis(100);
/// From the kill of a master until the cache answers again.
const BACK_MAX: Duration = Duration::from_secs(5);
const AGE_MAX: Duration = Duration::from_secs(600);

/// One who raises and reads, and knows what may be answered.
struct Caller {
    cache: Arc<dyn Cache>,
    raised: u64,
    longest: Duration,
}

impl Caller {
    fn of(cache: Arc<dyn Cache>) -> Self {
        Self { cache, raised: 0, longest: Duration::ZERO }
    }

    /// Raises alice's top and reads it; what is answered was raised at some time.
    async fn step(&mut self) -> Result<Option<u64>> {
        let begun = Instant::now();
        let outcome = self.cache.raise_inbox_tops(&[(user("alice"), self.raised + 1)]).await;
        self.longest = self.longest.max(begun.elapsed());
        // One that failed may have been taken.
        self.raised += 1;
        outcome?;
        let begun = Instant::now();
        let tops = self.cache.inbox_tops(&[user("alice")], AGE_MAX).await;
        self.longest = self.longest.max(begun.elapsed());
        let top = tops?[0];
        assert!(top <= Some(self.raised), "{top:?} was never raised");
        Ok(top)
    }

    /// Steps until a step answers what it raised, and says how long that took.
    async fn until_back(&mut self) -> Duration {
        let begun = Instant::now();
        within(async {
            loop {
                match self.step().await {
                    Ok(top) if top == Some(self.raised) => return,
                    Ok(top) => panic!("{top:?} after {} was raised", self.raised),
                    Err(error) => assert_eq!(error.kind(), Kind::Transient),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        begun.elapsed()
    }

    /// Steps until Redis is known to be away; from then on there is an answer at once.
    async fn until_away(&mut self) {
        within(async { while self.step().await.is_ok() {} }).await;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(self.step().await.unwrap_err().kind(), Kind::Transient);
            assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        }
    }
}

async fn opened(redis: &Product) -> Caller {
    let mut caller = Caller::of(cache::open(redis.env("REDIS_URL")).await.unwrap());
    caller.until_back().await;
    caller
}

/// Sends a command to one of the servers, the first being 0.
fn command(redis: &Product, server: usize, words: &[&str]) -> String {
    let (host, port) = redis.env("REDIS_NODES").split(',').nth(server).unwrap().split_once(':').unwrap();
    let output = Command::new("redis-cli").args(["-h", host, "-p", port]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_followed_by_another_and_comes_back_as_a_replica() {
    let redis = Product::start("redis", 2);
    let mut caller = opened(&redis).await;
    redis.kill("redis-1");
    let back = caller.until_back().await;
    println!("back after {back:?}");
    assert!(back < BACK_MAX, "{back:?}");

    redis.restart("redis-1");
    // It says that it is a master until the sentinels have told it otherwise; nobody may believe it.
    let calls = within(async {
        let mut calls = 0_u32;
        while !command(&redis, 0, &["role"]).starts_with("slave") {
            assert_eq!(caller.step().await.unwrap(), Some(caller.raised));
            calls += 1;
        }
        calls
    });
    assert!(calls.await > 0);
    assert_eq!(caller.step().await.unwrap(), Some(caller.raised));
    assert!(caller.longest < CALL_MAX, "{:?}", caller.longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stands_still_is_given_up_and_its_values_are_not_believed_again() {
    let redis = Product::start("redis", 2);
    let mut caller = opened(&redis).await;
    redis.signal("redis-1", "STOP");
    caller.until_away().await;
    let back = caller.until_back().await;
    redis.signal("redis-1", "CONT");
    assert!(back < BACK_MAX, "{back:?}");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(caller.step().await.unwrap(), Some(caller.raised));
    }
    assert!(caller.longest < CALL_MAX, "{:?}", caller.longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_redis_knows_nothing_and_learns_again() {
    let redis = Product::start("redis", 1);
    let mut caller = opened(&redis).await;
    command(&redis, 0, &["flushall"]);
    assert_eq!(caller.cache.inbox_tops(&[user("alice")], AGE_MAX).await.unwrap(), [None]);
    assert_eq!(caller.step().await.unwrap(), Some(caller.raised));
    // What is kept ends on its own.
    let kept_ms: u64 = command(&redis, 0, &["pttl", "anser:inbox:alice"]).trim().parse().unwrap();
    assert!(kept_ms > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_of_redis_gone_answers_come_at_once_until_it_is_back() {
    let redis = Product::start("redis", 2);
    let mut caller = opened(&redis).await;
    redis.stop();
    caller.until_away().await;
    // Whoever starts meanwhile is not held up for long.
    let begun = Instant::now();
    let mut late = Caller::of(cache::open(redis.env("REDIS_URL")).await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    late.until_away().await;
    redis.start_again();
    late.raised = caller.raised + 1_000;
    assert!(late.until_back().await < BACK_MAX);
    caller.raised = late.raised + 1_000;
    assert!(caller.until_back().await < BACK_MAX);
    assert!(caller.longest < CALL_MAX, "{:?}", caller.longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_used_and_a_wrong_one_is_refused_without_being_repeated() {
    let redis = Product::start_with("redis", 2, &[("REDIS_PASSWORD", "open-sesame")]);
    let mut caller = opened(&redis).await;
    assert_eq!(caller.step().await.unwrap(), Some(caller.raised));
    let one = format!("redis://:open-sesame@{}", redis.env("REDIS_NODES").split(',').next().unwrap());
    let mut direct = Caller::of(cache::open(&one).await.unwrap());
    direct.raised = caller.raised;
    assert_eq!(direct.step().await.unwrap(), Some(direct.raised));
    let wrong = one.replace("open-sesame", "wrong-sesame");
    let error = cache::open(&wrong).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Missing);
    assert!(!error.to_string().contains("sesame"), "{error}");
}
