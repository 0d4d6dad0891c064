//! ZooKeeper fails: the last view stays, nobody is doubted who lives, and everything is there again by itself.

use std::time::Duration;

use backends::Kind;
use backends::discovery::Agreed;
use bytes::Bytes;

use super::*;
use crate::discovery::{instance, server};
use crate::within;

/// Opens discovery as two processes do.
async fn two(zookeeper: &Product) -> [Arc<dyn Discovery>; 2] {
    let url = zookeeper.env("ZOOKEEPER_URL");
    [discovery::open(url).await.unwrap(), discovery::open(url).await.unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_servers_may_go_and_come_back_and_nobody_is_lost() {
    let zookeeper = Product::start("zookeeper", 3);
    let [here, there] = two(&zookeeper).await;
    let _registration = here.register(instance("proxy", "here")).await.unwrap();
    let mut proxies = there.watch("proxy").await.unwrap();
    within(proxies.wait_for(|known| known.len() == 1)).await.unwrap();
    let seen = tokio::spawn(async move {
        let mut counts = vec![proxies.borrow_and_update().len()];
        while proxies.changed().await.is_ok() {
            counts.push(proxies.borrow_and_update().len());
        }
        counts
    });
    let mut version = 0;
    for number in 1..=3 {
        let name = format!("zookeeper-{number}");
        zookeeper.kill(&name);
        version = within(async {
            loop {
                // One that failed may have been agreed on.
                match there.agree("pair", version, Bytes::from_static(b"x")).await {
                    Ok(Some(version)) => return version,
                    Ok(None) => version += 1,
                    Err(error) => assert_eq!(error.kind(), Kind::Transient),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        zookeeper.restart(&name);
    }
    let mut agreed = here.watch_agreed("pair").await.unwrap();
    let expected = Some(Agreed { version, value: Bytes::from_static(b"x") });
    within(agreed.wait_for(|agreed| *agreed == expected)).await.unwrap();
    drop(there);
    let counts = within(seen).await.unwrap();
    assert!(counts.iter().all(|count| *count == 1), "an instance that lived was taken out: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_quorum_gone_the_view_stays_an_owner_is_told_and_all_comes_back() {
    let zookeeper = Product::start("zookeeper", 3);
    let [here, there] = two(&zookeeper).await;
    let registration = here.register(instance("proxy", "here")).await.unwrap();
    let version = here.agree("pair", 0, Bytes::from_static(b"x")).await.unwrap().unwrap();
    let mut proxies = there.watch("proxy").await.unwrap();
    let mut agreed = there.watch_agreed("pair").await.unwrap();
    let leadership = within(here.elect("router/0", &server("here"))).await.unwrap();
    let epoch = leadership.epoch();
    let waiting = tokio::spawn({
        let there = Arc::clone(&there);
        async move { there.elect("router/0", &server("there")).await.unwrap() }
    });
    within(proxies.wait_for(|known| known.len() == 1)).await.unwrap();
    within(agreed.wait_for(Option::is_some)).await.unwrap();
    proxies.mark_unchanged();
    agreed.mark_unchanged();

    zookeeper.kill("zookeeper-1");
    zookeeper.kill("zookeeper-2");
    // Who owns a name can no longer be sure of it; nobody else may own it yet.
    within(leadership.lost()).await;
    assert!(!waiting.is_finished());
    assert_eq!(here.agree("pair", version, Bytes::new()).await.unwrap_err().kind(), Kind::Transient);
    assert_eq!(registration.update(Default::default()).await.unwrap_err().kind(), Kind::Transient);
    // Long enough for every session to end.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for discovery in [&here, &there] {
        let proxies = within(discovery.watch("proxy")).await;
        if let Ok(proxies) = proxies {
            assert_eq!(*proxies.borrow(), [instance("proxy", "here")]);
        }
    }
    assert!(!proxies.has_changed().unwrap() && !agreed.has_changed().unwrap());
    assert!(!waiting.is_finished(), "without a quorum nobody is elected");

    let metadata = std::collections::BTreeMap::from([("weight".to_owned(), "7".to_owned())]);
    let changed = registration.update(metadata.clone()).await;
    assert_eq!(changed.unwrap_err().kind(), Kind::Transient);
    zookeeper.restart("zookeeper-1");
    zookeeper.restart("zookeeper-2");
    // What was changed meanwhile is seen, and at no time was the instance gone.
    let seen = within(proxies.wait_for(|known| known.is_empty() || known[0].metadata == metadata)).await;
    assert_eq!(seen.unwrap().len(), 1);
    drop(leadership);
    let next = within(waiting).await.unwrap();
    assert!(next.epoch() > epoch);
    let version_after = within(async {
        loop {
            if let Ok(outcome) = here.agree("pair", version, Bytes::from_static(b"y")).await {
                return outcome;
            }
        }
    });
    let version_after = version_after.await;
    assert!(version_after.is_none_or(|after| after > version));
    within(agreed.wait_for(|agreed| agreed.as_ref().is_some_and(|agreed| agreed.version > version)))
        .await
        .unwrap();
    drop(registration);
    within(proxies.wait_for(Vec::is_empty)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zookeeper_whose_data_was_lost_is_filled_again_and_epochs_still_rise() {
    let zookeeper = Product::start("zookeeper", 1);
    let [here, there] = two(&zookeeper).await;
    let _registration = here.register(instance("proxy", "here")).await.unwrap();
    let mut proxies = there.watch("proxy").await.unwrap();
    within(proxies.wait_for(|known| known.len() == 1)).await.unwrap();
    proxies.mark_unchanged();
    let leadership = within(here.elect("router/0", &server("here"))).await.unwrap();
    let epoch = leadership.epoch();

    zookeeper.stop();
    std::fs::remove_dir_all(zookeeper.folder().join("zookeeper-1/version-2")).unwrap();
    zookeeper.start_again();
    within(leadership.lost()).await;
    drop(leadership);
    assert!(within(there.elect("router/0", &server("there"))).await.unwrap().epoch() > epoch);
    let fresh = within(async {
        loop {
            let fresh = discovery::open(zookeeper.env("ZOOKEEPER_URL")).await.unwrap();
            if fresh.watch("proxy").await.unwrap().borrow().len() == 1 {
                return fresh;
            }
        }
    });
    drop(fresh.await);
    assert!(!proxies.has_changed().unwrap(), "an instance that lived was taken out: {:?}", *proxies.borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_login_are_closed_to_others() {
    let zookeeper = Product::start("zookeeper", 1);
    let servers = zookeeper.env("ZOOKEEPER_SERVERS");
    let discovery =
        discovery::open(&format!("zookeeper://anser:open-sesame@{servers}/closed")).await.unwrap();
    let _registration = discovery.register(instance("proxy", "here")).await.unwrap();
    let leadership = within(discovery.elect("router/0", &server("here"))).await.unwrap();
    assert!(leadership.epoch() > 0);
    for login in ["", "anser:wrong-sesame@"] {
        let url = format!("zookeeper://{login}{servers}/closed");
        let error = within(discovery::open(&url)).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Missing);
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    // The same ensemble serves others beside it.
    let other = discovery::open(&format!("zookeeper://{servers}/open")).await.unwrap();
    assert!(other.watch("proxy").await.unwrap().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_server_answers_opening_says_so() {
    let error = within(discovery::open("zookeeper://127.0.0.1:9/x")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}
