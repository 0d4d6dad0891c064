//! Whatever comes twice, is raced for or is begun again changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fixture::*;
use crate::fanout::{Carried, Failure, Fanout, PushFailures};

async fn carry_to_the_end(fanout: &Fanout, group: &str) -> Result<(), Failure> {
    let mut failures = PushFailures::default();
    while fanout.carry_on(&conversation(group), &mut failures).await? == Carried::Further {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fan_outs_that_race_write_each_inbox_once_and_in_order() {
    let backends = Backends::open().await;
    let push: Arc<Remembering> = Arc::default();
    let names: Vec<String> = (0..120).map(|number| format!("member-{number:03}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    backends.make("g", &members).await;
    backends.send("g", "member-000", 30).await;
    backends.leave("g", &["member-001"]).await;
    let last = backends.send("g", "member-000", 30).await;
    let fanouts: Vec<_> = (0..4).map(|_| backends.fanout(&push)).collect();
    let (one, two, three, four) = tokio::join!(
        carry_to_the_end(&fanouts[0].0, "g"),
        carry_to_the_end(&fanouts[1].0, "g"),
        carry_to_the_end(&fanouts[2].0, "g"),
        carry_to_the_end(&fanouts[3].0, "g"),
    );
    assert_eq!([one, two, three, four], [Ok(()), Ok(()), Ok(()), Ok(())]);
    carry_to_the_end(&fanouts[0].0, "g").await.unwrap();
    assert_eq!(backends.fanned_out_to("g").await, last);
    for name in &names {
        let expected: Vec<u64> = if name == "member-001" { (2..=31).collect() } else { (2..=last).collect() };
        assert_eq!(backends.inbox(name, "g").await, expected);
        let pushed = push.of(name);
        assert!(pushed.iter().all(|(seq, inbox_seq)| *inbox_seq == seq - 1), "a seq was given twice");
        let mut distinct: Vec<u64> = pushed.iter().map(|(seq, _)| *seq).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct, expected, "a row was not pushed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_consumers_sweeps_and_hints_that_come_again_change_nothing() {
    let backends = Backends::open().await;
    let pushes: [Arc<Remembering>; 2] = [Arc::default(), Arc::default()];
    let _one = backends.start_sweeping(&pushes[0]).await;
    let _two = backends.start_sweeping(&pushes[1]).await;
    let groups = ["a", "b", "c"];
    for group in groups {
        backends.make(group, &["alice", "bob"]).await;
    }
    let mut last = 0;
    for _ in 0..20 {
        for group in groups {
            last = backends.send(group, "alice", 3).await;
            backends.hint_of(group).await;
            backends.hint_of(group).await;
        }
    }
    for group in groups {
        backends.until_fanned_out(group, last).await;
        let all: Vec<u64> = (2..=last).collect();
        assert_eq!(backends.inbox("alice", group).await, all);
        assert_eq!(backends.inbox("bob", group).await, all);
    }
    backends.until_no_intent_is_left().await;
}

#[tokio::test]
async fn what_was_not_finished_is_carried_on_by_the_next_process() {
    let backends = Backends::open().await;
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 3).await;
    backends.hint_of("g").await;
    let failing = Remembering::failing(u32::MAX);
    let running = backends.start(&failing).await;
    while failing.failures_left.load(Ordering::Relaxed) == u32::MAX {
        tokio::task::yield_now().await;
    }
    running.end().await;

    let push = Arc::new(Remembering::default());
    let _running = backends.start(&push).await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(backends.inbox("bob", "g").await, [2, 3, 4]);
    assert_eq!(push.of("bob").last(), Some(&(4, 3)));
}
