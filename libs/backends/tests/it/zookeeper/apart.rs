//! Processes apart: what one does is seen by another, and a paused one never owns a name beside its successor.
//!
//! The test binary starts itself again as a child that registers, stands for election and says what it sees.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::*;
use crate::discovery::{instance, server};
use crate::product::signal_process;
use crate::within;

/// Set in the child: discovery's URL.
const CHILD_URL: &str = "ANSER_TEST_APART_URL";
/// A name of the roles' kind.
const NAME: &str = "router/0";

/// Not a test of its own: what the child runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child_registers_and_stands_for_election() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let discovery = discovery::open(&url).await.unwrap();
    let _registration = discovery.register(instance("proxy", "child")).await.unwrap();
    let mut proxies = discovery.watch("proxy").await.unwrap();
    tokio::spawn(async move {
        loop {
            let names: Vec<_> =
                proxies.borrow_and_update().iter().map(|proxy| proxy.server.to_string()).collect();
            say(&format!("sees {}", names.join(",")));
            if proxies.changed().await.is_err() {
                return;
            }
        }
    });
    loop {
        let leadership = discovery.elect(NAME, &server("child")).await.unwrap();
        say(&format!("owns {}", leadership.epoch()));
        leadership.lost().await;
        say(&format!("lost {}", leadership.epoch()));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "child {line}").unwrap();
    out.flush().unwrap();
}

/// A process beside this one; it is ended with this.
struct Beside {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Beside {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["zookeeper::apart::the_child_registers_and_stands_for_election", "--exact", "--nocapture"])
            .env(CHILD_URL, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel(1_000);
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(said) = line.split_once("child ").map(|(_, said)| said.to_owned()) {
                    let _ = sender.blocking_send(said);
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until the child says something that begins so, and answers the rest of it.
    async fn says(&mut self, begin: &str) -> String {
        within(async {
            loop {
                let line = self.lines.recv().await.expect("the child lives");
                if let Some(rest) = line.strip_prefix(begin) {
                    return rest.trim().to_owned();
                }
            }
        })
        .await
    }

    fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_is_gone_and_its_name_is_anothers_within_three_seconds() {
    let url = own_url();
    let discovery = discovery::open(&url).await.unwrap();
    let mut proxies = discovery.watch("proxy").await.unwrap();
    let mut child = Beside::start(&url);
    let epoch: u64 = child.says("owns ").await.parse().unwrap();
    within(proxies.wait_for(|known| *known == [instance("proxy", "child")])).await.unwrap();
    let killed_at = Instant::now();
    child.signal("KILL");
    let leadership = within(discovery.elect(NAME, &server("here"))).await.unwrap();
    let taken_over = killed_at.elapsed();
    println!("taken over after {taken_over:?}");
    assert!(taken_over < Duration::from_secs(3), "{taken_over:?}");
    assert!(leadership.epoch() > epoch);
    within(proxies.wait_for(Vec::is_empty)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_is_replaced_under_a_higher_epoch_and_learns_that_it_has_lost() {
    let url = own_url();
    let discovery = discovery::open(&url).await.unwrap();
    let mut proxies = discovery.watch("proxy").await.unwrap();
    let mut child = Beside::start(&url);
    let first: u64 = child.says("owns ").await.parse().unwrap();
    within(proxies.wait_for(|known| known.len() == 1)).await.unwrap();

    child.signal("STOP");
    let leadership = within(discovery.elect(NAME, &server("here"))).await.unwrap();
    assert!(leadership.epoch() > first);
    within(proxies.wait_for(Vec::is_empty)).await.unwrap();
    // What comes while it stands still, it sees when it runs again, in a session that is begun anew.
    let _here = discovery.register(instance("proxy", "here")).await.unwrap();

    child.signal("CONT");
    assert_eq!(child.says("lost ").await, first.to_string());
    within(proxies.wait_for(|known| known.len() == 2)).await.unwrap();
    assert_eq!(child.says("sees child,here").await, "");
    let epoch = leadership.epoch();
    drop(leadership);
    let again: u64 = child.says("owns ").await.parse().unwrap();
    assert!(again > epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_owns_a_name_and_a_third_waits_behind_the_second() {
    let url = own_url();
    let discovery = discovery::open(&url).await.unwrap();
    let mut first = Beside::start(&url.replace("/test/", "/test/unused/"));
    drop(first.says("owns ").await);
    let owner = within(discovery.elect(NAME, &server("here"))).await.unwrap();
    let other = discovery::open(&url).await.unwrap();
    let second = tokio::spawn({
        let other = Arc::clone(&other);
        async move { other.elect(NAME, &server("second")).await.unwrap().epoch() }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "another session's candidate must wait too");
    let epoch = owner.epoch();
    drop(owner);
    assert!(within(second).await.unwrap() > epoch);
}
