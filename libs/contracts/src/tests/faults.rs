//! Processes that are killed, that hang, and that stop in order.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::relay::relay;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_is_told_and_nothing_is_delivered_again() {
    let address = free_address();
    let process = Process::start("proxy-1", address);
    let proxy = proxy_at(&process.server, address, settings());
    for seq in 1..=50 {
        proxy.deliver(vec![delivery(seq, seq, 100)]).await.unwrap();
    }
    assert_eq!(seqs(&process.fake.delivered.borrow()), (1..=50).collect::<Vec<_>>());
    process.fake.open.send_replace(false);
    let under_way: Vec<_> = (51..=150)
        .map(|seq| {
            let proxy = Arc::clone(&proxy);
            tokio::spawn(async move { proxy.deliver(vec![delivery(seq, seq, 100)]).await })
        })
        .collect();
    Fake::until(&process.fake.calls, |calls| calls.len() > 50).await;
    let begun = Instant::now();
    process.kill();
    for answer in join_all(under_way).await {
        assert_eq!(kind_of(answer.unwrap()), Kind::Unavailable);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?} to be told", begun.elapsed());

    let process = Process::start("proxy-1", address);
    until_reached(&proxy).await;
    for seq in 200..=220 {
        proxy.deliver(vec![delivery(seq, seq, 100)]).await.unwrap();
    }
    let delivered: Vec<u64> =
        seqs(&process.fake.delivered.borrow()).into_iter().filter(|seq| *seq > 0).collect();
    assert_eq!(delivered, (200..=220).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_its_own_is_told_of_a_kill_too() {
    let process = Process::start("router-1", ([127, 0, 0, 1], 0).into());
    let (_, addresses) =
        tokio::sync::watch::channel([(process.server.clone(), process.address.to_string())].into());
    let router = Arc::new(crate::router::Remote::follow(settings(), addresses));
    crate::router::Router::totals(&*router).await.unwrap();
    process.fake.open.send_replace(false);
    let asking = tokio::spawn(async move { crate::router::Router::totals(&*router).await });
    Fake::until(&process.fake.calls, |calls| calls.len() > 1).await;
    process.kill();
    let answer = timeout(Duration::from_secs(3), asking).await.unwrap();
    assert_eq!(kind_of(answer.unwrap()), Kind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_hangs_is_noticed_by_pings_and_not_by_time_limits() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let hangs = Arc::new(AtomicBool::new(false));
    let address = relay(loopback.address, Arc::clone(&hangs), Duration::ZERO).await;
    let settings = Settings {
        time_limit: Duration::from_secs(60),
        ping_period: Duration::from_millis(100),
        ping_time_limit: Duration::from_millis(400),
        connect_time_limit: Duration::from_millis(500),
        ..settings()
    };
    let proxy = proxy_at(&loopback.server, address, settings);
    until_reached(&proxy).await;
    hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let (bulk, command) = tokio::join!(proxy.deliver(vec![delivery(1, 1, 0)]), proxy.kick(Vec::new()));
    assert_eq!((kind_of(bulk), kind_of(command)), (Kind::Unavailable, Kind::Unavailable));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?} to be noticed", begun.elapsed());
    hangs.store(false, Ordering::Relaxed);
    until_reached(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_what_was_taken_and_ends_while_callers_stay() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let proxy = proxy_at(&loopback.server, loopback.address, settings());
    until_reached(&proxy).await;
    let fake = Arc::clone(&loopback.fake);
    fake.take_calls();
    fake.open.send_replace(false);
    let under_way = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.deliver(vec![delivery(1, 7, 10)]).await }
    });
    Fake::until(&fake.calls, |calls| !calls.is_empty()).await;
    let stopping = tokio::spawn(loopback.stop());
    tokio::task::yield_now().await;
    fake.open.send_replace(true);
    under_way.await.unwrap().unwrap();
    timeout(Duration::from_secs(5), stopping).await.expect("it ends though a caller stays").unwrap();
    assert_eq!(kind_of(proxy.deliver(vec![delivery(1, 8, 10)]).await), Kind::Unavailable);
    assert_eq!(seqs(&fake.delivered.borrow()).last(), Some(&7));
}
