//! Processes that come and go.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::*;
use crate::proxy::Proxies;
use crate::push::{self, Outcome, Push};
use crate::router::{self, Router as _};

/// Which of these processes were asked since the last time, and for how many users in all.
fn asked(all: &[&Loopback]) -> BTreeMap<String, usize> {
    let of = |one: &&Loopback| {
        let calls = one.fake.take_calls();
        let users = calls.iter().map(|call| call.matches("\"user-").count()).sum();
        (one.server.to_string(), users)
    };
    all.iter().map(of).filter(|(_, users)| *users > 0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_follow_processes_as_they_come_and_go() {
    let (one, two, three) = (
        Loopback::start("push-1", Admission::default()).await,
        Loopback::start("push-2", Admission::default()).await,
        Loopback::start("push-3", Admission::default()).await,
    );
    let all = [&one, &two, &three];
    let (sender, addresses) = watch::channel(Loopback::addresses(&[&one, &two]));
    let push = push::Remote::follow(settings(), addresses);
    let users: Vec<UserId> = (0..300).map(|index| user(&format!("user-{index}"))).collect();
    let ask = async || push.push_to_users(users.clone(), 1, "x".into()).await.unwrap();
    // Both are connected when both were asked.
    let both = async {
        while asked(&all).len() < 2 {
            ask().await;
        }
    };
    timeout(PATIENCE, both).await.unwrap();
    ask().await;
    let spread = asked(&all);
    assert_eq!(spread.values().sum::<usize>(), 300);
    assert!(spread.values().all(|users| (90..210).contains(users)), "{spread:?}");

    sender.send_replace(Loopback::addresses(&[&one]));
    let alone = async {
        loop {
            ask().await;
            if asked(&all) == BTreeMap::from([("push-1".to_owned(), 300)]) {
                return;
            }
        }
    };
    timeout(PATIENCE, alone).await.unwrap();

    sender.send_replace(Loopback::addresses(&[&one, &three]));
    let shared = async {
        loop {
            ask().await;
            if asked(&all).len() == 2 {
                return;
            }
        }
    };
    timeout(PATIENCE, shared).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_not_connected_is_passed_over() {
    let here = Loopback::start("push-1", Admission::default()).await;
    let mut addresses = Loopback::addresses(&[&here]);
    // Nobody listens there.
    addresses.insert(server("push-2"), free_address().to_string());
    let (_, addresses) = watch::channel(addresses);
    let push = push::Remote::follow(settings(), addresses.clone());
    let users: Vec<UserId> = (0..50).map(|index| user(&format!("user-{index}"))).collect();
    let outcomes = push.push_to_users(users.clone(), 1, "x".into()).await.unwrap();
    assert_eq!(outcomes, Fake::new().push_to_users(users, 1, "x".into()).await.unwrap());
    let router = router::Remote::follow(settings(), addresses);
    for _ in 0..20 {
        router.totals().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_failed_at_is_unknown_and_the_rest_is_answered() {
    let (one, two) = (
        Loopback::start("push-1", Admission::default()).await,
        Loopback::start("push-2", Admission::default()).await,
    );
    let (_, addresses) = watch::channel(Loopback::addresses(&[&one, &two]));
    let push = push::Remote::follow(settings(), addresses);
    let users: Vec<UserId> = (0..100).map(|index| user(&format!("user-{index}"))).collect();
    let both = async {
        while asked(&[&one, &two]).len() < 2 {
            push.push_to_users(users.clone(), 1, "x".into()).await.unwrap();
        }
    };
    timeout(PATIENCE, both).await.unwrap();
    *two.fake.failure.lock() = Some(Kind::Overloaded);
    let outcomes = push.push_to_users(users.clone(), 1, "x".into()).await.unwrap();
    let expected = one.fake.push_to_users(users.clone(), 1, "x".into()).await.unwrap();
    let unknown = |outcome: &Outcome| *outcome == Outcome::Unknown;
    assert!(
        outcomes.iter().filter(|outcome| unknown(outcome)).count()
            > expected.iter().filter(|outcome| unknown(outcome)).count()
    );
    assert!(
        outcomes.iter().zip(&expected).all(|(outcome, expected)| outcome == expected || unknown(outcome))
    );
    *one.fake.failure.lock() = Some(Kind::Overloaded);
    assert_eq!(kind_of(push.push_to_users(users, 1, "x".into()).await), Kind::Overloaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_unavailable_within_the_time_to_connect() {
    let (_, addresses) = watch::channel(BTreeMap::new());
    let settings = Settings { connect_time_limit: Duration::from_millis(100), ..settings() };
    let router = router::Remote::follow(settings, addresses);
    let error = timeout(Duration::from_secs(5), router.totals()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no router can be reached: none is known"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_the_first_process_to_come() {
    let (sender, addresses) = watch::channel(BTreeMap::new());
    let router = Arc::new(router::Remote::follow(settings(), addresses));
    let asking = tokio::spawn(async move { router.totals().await });
    let here = Loopback::start("router-1", Admission::default()).await;
    sender.send_replace(Loopback::addresses(&[&here]));
    timeout(PATIENCE, asking).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_are_found_by_their_ids_the_local_one_among_them() {
    let (one, two) = (
        Loopback::start("proxy-1", Admission::default()).await,
        Loopback::start("proxy-2", Admission::default()).await,
    );
    let (sender, addresses) = watch::channel(Loopback::addresses(&[&one, &two]));
    let local = Fake::new();
    let proxies = proxy::Remotes::follow(settings(), addresses).with_local(server("proxy-2"), local.clone());
    for (name, seq) in [("proxy-1", 1), ("proxy-2", 2)] {
        proxies.proxy(&server(name)).unwrap().deliver(vec![delivery(1, seq, 0)]).await.unwrap();
    }
    assert_eq!(seqs(&one.fake.delivered.borrow()), [1]);
    assert_eq!(seqs(&local.delivered.borrow()), [2]);
    assert_eq!(seqs(&two.fake.delivered.borrow()), Vec::<u64>::new());
    let names = |proxies: &proxy::Remotes| {
        let mut names: Vec<String> = proxies.all().iter().map(|(server, _)| server.to_string()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&proxies), ["proxy-1", "proxy-2"]);
    assert!(proxies.proxy(&server("proxy-3")).is_none());
    sender.send_replace(BTreeMap::new());
    let gone = async {
        while proxies.proxy(&server("proxy-1")).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(names(&proxies), ["proxy-2"]);
}
