//! Time limits, and what is in flight.

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::router::{self, Router};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_its_time_limit() {
    let loopback = Loopback::start("all-1", Admission::default()).await;
    let settings = Settings { time_limit: Duration::from_millis(150), ..settings() };
    let remote = loopback.remote(&settings);
    remote.router.totals().await.unwrap();
    loopback.fake.open.send_replace(false);
    let begun = Instant::now();
    let error = remote.router.totals().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("within"), "{error}");
    let error = remote.proxy.deliver(vec![delivery(1, 1, 0)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "two calls took {:?}", begun.elapsed());
    // What was late holds nobody up.
    loopback.fake.open.send_replace(true);
    remote.router.totals().await.unwrap();
    remote.proxy.deliver(vec![delivery(1, 2, 0)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_too_many_is_refused_at_once_and_not_carried_out() {
    let loopback = Loopback::start("router-1", Admission::default()).await;
    let (_, addresses) = watch::channel(Loopback::addresses(&[&loopback]));
    let settings = Settings { connections: 1, in_flight_max: 3, ..settings() };
    let router = Arc::new(router::Remote::follow(settings, addresses));
    router.totals().await.unwrap();
    loopback.fake.take_calls();
    loopback.fake.open.send_replace(false);
    let three: Vec<_> = (0..3)
        .map(|_| {
            let router = Arc::clone(&router);
            tokio::spawn(async move { router.totals().await })
        })
        .collect();
    Fake::until(&loopback.fake.calls, |calls| calls.len() == 3).await;
    let error = router.totals().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Overloaded, "{error}");
    loopback.fake.open.send_replace(true);
    for one in three {
        one.await.unwrap().unwrap();
    }
    assert_eq!(loopback.fake.take_calls().len(), 3);
    router.totals().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_is_bounded_and_what_is_refused_is_not_delivered() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let settings = Settings { connections: 1, in_flight_max: 20, unanswered_max: 5, ..settings() };
    let proxy = proxy_at(&loopback.server, loopback.address, settings);
    until_reached(&proxy).await;
    loopback.fake.delivered.send_replace(Vec::new());
    loopback.fake.open.send_replace(false);
    let calls = (1..=100).map(|seq| {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { (seq, proxy.deliver(vec![delivery(1, seq, 10)]).await) })
    });
    let calls: Vec<_> = calls.collect();
    // All but those that the bounds let wait are answered while nothing is taken.
    let refused = async {
        while calls.iter().filter(|call| call.is_finished()).count() < 70 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    loopback.fake.open.send_replace(true);
    let mut taken = Vec::new();
    for (seq, answer) in join_all(calls).await.into_iter().map(Result::unwrap) {
        match answer {
            Ok(()) => taken.push(seq),
            Err(error) => assert_eq!(error.kind(), Kind::Overloaded, "{error}"),
        }
    }
    assert!((20..=30).contains(&taken.len()), "{} were taken", taken.len());
    let mut delivered = seqs(&loopback.fake.delivered.borrow());
    delivered.sort_unstable();
    assert_eq!(delivered, taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_flight_are_bounded_and_a_large_call_alone_is_taken() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let settings = Settings { connections: 1, in_flight_bytes_max: 10_000, ..settings() };
    let proxy = proxy_at(&loopback.server, loopback.address, settings);
    until_reached(&proxy).await;
    proxy.deliver(vec![delivery(1, 1, 50_000)]).await.unwrap();
    loopback.fake.open.send_replace(false);
    let first = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.deliver(vec![delivery(1, 2, 9_000)]).await }
    });
    Fake::until(&loopback.fake.calls, |calls| calls.last().is_some_and(|call| call.contains("inbox_seq: 2")))
        .await;
    assert_eq!(kind_of(proxy.deliver(vec![delivery(1, 3, 9_000)]).await), Kind::Overloaded);
    loopback.fake.open.send_replace(true);
    first.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_larger_than_a_frame_is_divided_and_keeps_its_order() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let proxy = proxy_at(&loopback.server, loopback.address, Settings { connections: 1, ..settings() });
    let deliveries = (1..=40).map(|seq| delivery(1, seq, 60_000)).collect();
    proxy.deliver(deliveries).await.unwrap();
    assert_eq!(seqs(&loopback.fake.delivered.borrow()), (1..=40).collect::<Vec<_>>());
    assert!(loopback.fake.take_calls().len() > 1, "it went as one frame");
}
