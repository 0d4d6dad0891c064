//! The model-checked test: random people chat, come and go, in single chats, groups and super groups, on devices that
//! lose, double and reorder what is pushed to them, while the server is killed and started again and again; and a
//! simple model says what each of them must end with.
//!
//! Each seed makes a plan before anything runs (`plan.rs`). Its steps run one after another, so that the model
//! (`world.rs`, `change.rs`) is exact: every inbox, the rows of every super group, what is unread, mentioned and
//! last, who is a member. Many seeds run at once on one server, each with users of its own. `ANSER_MODEL_SEEDS` says
//! how many, `ANSER_MODEL_SEED` runs one again by its number.

mod change;
mod compare;
mod device;
mod plan;
mod request;
mod row;
mod run;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plan::Plan;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use run::Run;

use crate::support::seed;
use crate::support::server::{Server, Setup};

const SEEDS: u64 = 2_000;
/// Plans that run at the same time.
const AT_ONCE: usize = 48;
/// How long the server lives between two kills, in milliseconds.
const LIVES_MS: std::ops::Range<u64> = 1_500..6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_ends_with_exactly_what_the_model_says_whatever_is_lost_and_killed() {
    let server = Setup::dev()
        .same_ports()
        .set(&format!("im.group_members_max={}", world::GROUP_MEMBERS_MAX))
        .set("im.recall_time_limit=1h")
        .set("proxy.chat_heartbeat=1s")
        .start();
    let seeds = seeds();
    let started = Instant::now();
    let shared = Arc::new(Shared {
        address: server.ws,
        next: AtomicU64::new(seeds.start),
        end: seeds.end,
        has_failed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        step_count: AtomicUsize::new(0),
    });
    let killer = std::thread::spawn({
        let shared = Arc::clone(&shared);
        move || kill_again_and_again(server, &shared)
    });
    let workers: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(work(Arc::clone(&shared)))).collect();
    let mut failures = Vec::new();
    for worker in workers {
        failures.extend(worker.await.unwrap());
    }
    shared.is_over.store(true, Ordering::Relaxed);
    let kill_count = tokio::task::block_in_place(|| killer.join().unwrap());
    let step_count = shared.step_count.load(Ordering::Relaxed);
    println!(
        "{} seeds, {step_count} steps, {kill_count} kills, {:?}",
        seeds.end - seeds.start,
        started.elapsed()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The seeds of this run: one that is named, or so many from a drawn one on.
fn seeds() -> std::ops::Range<u64> {
    if let Ok(text) = std::env::var("ANSER_MODEL_SEED") {
        let seed: u64 = text.parse().expect("ANSER_MODEL_SEED is a number");
        return seed..seed + 1;
    }
    let count = std::env::var("ANSER_MODEL_SEEDS")
        .map_or(SEEDS, |text| text.parse().expect("ANSER_MODEL_SEEDS is a number"));
    // Short numbers, since they stand in the name of each user.
    let first = seed("model") % 1_000_000_000;
    first..first + count
}

struct Shared {
    address: SocketAddr,
    next: AtomicU64,
    end: u64,
    has_failed: AtomicBool,
    /// Nobody needs the server any more.
    is_over: AtomicBool,
    step_count: AtomicUsize,
}

/// Carries out one plan after another; gives what was wrong with the first that failed.
async fn work(shared: Arc<Shared>) -> Option<String> {
    while !shared.has_failed.load(Ordering::Relaxed) {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= shared.end {
            return None;
        }
        let plan = Arc::new(Plan::of(seed));
        let reached = Arc::new(AtomicUsize::new(0));
        let carrying_out = {
            let (plan, reached) = (Arc::clone(&plan), Arc::clone(&reached));
            let run = Run::new(&plan, shared.address);
            tokio::spawn(async move { run.carry_out(&plan, &reached).await })
        };
        let ended = carrying_out.await;
        shared.step_count.fetch_add(plan.steps.len(), Ordering::Relaxed);
        if let Err(error) = ended {
            shared.has_failed.store(true, Ordering::Relaxed);
            let panic = error.into_panic();
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let step = reached.load(Ordering::Relaxed);
            return Some(format!(
                "{plan}\nANSER_MODEL_SEED={seed} failed in step {step}: {}",
                why.unwrap_or_default()
            ));
        }
    }
    None
}

/// Ends the server as a crash does and starts it again; gives how often.
fn kill_again_and_again(mut server: Server, shared: &Shared) -> usize {
    let mut random = StdRng::seed_from_u64(shared.end);
    let mut kill_count = 0;
    loop {
        let dies_at = Instant::now() + Duration::from_millis(random.random_range(LIVES_MS));
        while Instant::now() < dies_at {
            if shared.is_over.load(Ordering::Relaxed) {
                return kill_count;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        server.kill();
        server.start_again();
        kill_count += 1;
    }
}

#[test]
fn a_seed_makes_the_same_plan_again() {
    for seed in 0..200 {
        assert_eq!(Plan::of(seed).to_string(), Plan::of(seed).to_string());
    }
}
