//! What every discovery promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use backends::discovery::{Discovery, Instance};
use protocol::ServerId;

/// Starts a discovery that knows nobody.
#[async_trait]
pub(crate) trait DiscoveryFixture: Sized {
    async fn start() -> Self;
    fn discovery(&self) -> Arc<dyn Discovery>;
}

fn server(name: &str) -> ServerId {
    ServerId(name.into())
}

fn instance(role: &str, name: &str) -> Instance {
    Instance {
        role: role.to_owned(),
        server: server(name),
        addresses: BTreeMap::from([("tcp".to_owned(), "127.0.0.1:3101".to_owned())]),
        metadata: BTreeMap::new(),
        since_ms: 1_700_000_000_000,
    }
}

pub(crate) mod cases {
    use backends::Kind;

    use super::{Arc, BTreeMap, DiscoveryFixture, instance, server};
    use crate::{begun, still_waits, within};

    pub(crate) async fn instances_come_and_go_ordered_by_server(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let mut proxies = discovery.watch("proxy").await.unwrap();
        assert!(proxies.borrow_and_update().is_empty());

        let second = discovery.register(instance("proxy", "b")).await.unwrap();
        let _other_role = discovery.register(instance("router", "a")).await.unwrap();
        let first = discovery.register(instance("proxy", "a")).await.unwrap();
        let expected = vec![instance("proxy", "a"), instance("proxy", "b")];
        within(proxies.wait_for(|known| *known == expected)).await.unwrap();

        drop(first);
        within(proxies.wait_for(|known| *known == [instance("proxy", "b")])).await.unwrap();
        drop(second);
        within(proxies.wait_for(Vec::is_empty)).await.unwrap();
    }

    pub(crate) async fn one_who_watches_later_sees_who_is_there(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let _registration = discovery.register(instance("proxy", "a")).await.unwrap();
        let mut proxies = discovery.watch("proxy").await.unwrap();
        within(proxies.wait_for(|known| *known == [instance("proxy", "a")])).await.unwrap();
    }

    pub(crate) async fn the_same_role_of_the_same_server_is_there_once(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let registration = discovery.register(instance("proxy", "a")).await.unwrap();
        let error = discovery.register(instance("proxy", "a")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        let proxies = discovery.watch("proxy").await.unwrap();
        assert_eq!(proxies.borrow().len(), 1, "the refused one must not take the other out");

        drop(registration);
        let _again = discovery.register(instance("proxy", "a")).await.unwrap();
    }

    pub(crate) async fn changed_metadata_is_seen_by_those_who_watch(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let registration = discovery.register(instance("proxy", "a")).await.unwrap();
        let mut proxies = discovery.watch("proxy").await.unwrap();
        let metadata = BTreeMap::from([("weight".to_owned(), "7".to_owned())]);
        registration.update(metadata.clone()).await.unwrap();
        within(proxies.wait_for(|known| known[0].metadata == metadata)).await.unwrap();
    }

    pub(crate) async fn a_name_has_one_owner_at_a_time_and_each_a_higher_epoch(
        fixture: impl DiscoveryFixture,
    ) {
        let discovery = fixture.discovery();
        let (a, b, c) = (server("a"), server("b"), server("c"));
        let first = discovery.elect("router/0", &a).await.unwrap();
        assert!(first.epoch() > 0);
        let second = begun(discovery.elect("router/0", &b)).await;
        let third = begun(discovery.elect("router/0", &c)).await;
        let other = within(discovery.elect("router/1", &b)).await.unwrap();
        assert!(other.epoch() > 0);

        // One who gives up waiting must not be waited for.
        drop(third);
        let mut epoch = first.epoch();
        still_waits(first.lost()).await;
        drop(first);
        let second = within(second).await.unwrap();
        assert!(second.epoch() > epoch);
        epoch = second.epoch();
        drop(second);
        let again = within(discovery.elect("router/0", &a)).await.unwrap();
        assert!(again.epoch() > epoch);
    }

    pub(crate) async fn of_many_who_want_a_name_each_owns_it_alone(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let owners = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let candidates: Vec<_> = (0..16)
            .map(|number| {
                let (discovery, owners) = (Arc::clone(&discovery), Arc::clone(&owners));
                tokio::spawn(async move {
                    let candidate = server(&number.to_string());
                    let leadership = discovery.elect("router/0", &candidate).await.unwrap();
                    assert_eq!(owners.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    assert_eq!(owners.fetch_sub(1, std::sync::atomic::Ordering::SeqCst), 1);
                    leadership.epoch()
                })
            })
            .collect();
        let mut epochs = Vec::new();
        for candidate in candidates {
            epochs.push(within(candidate).await.unwrap());
        }
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), 16);
    }
}

/// All cases over one fixture.
macro_rules! discovery_suite {
    ($fixture:ty) => {
        crate::run_suite!(discovery over $fixture:
            cases::instances_come_and_go_ordered_by_server,
            cases::one_who_watches_later_sees_who_is_there,
            cases::the_same_role_of_the_same_server_is_there_once,
            cases::changed_metadata_is_seen_by_those_who_watch,
            cases::a_name_has_one_owner_at_a_time_and_each_a_higher_epoch,
            cases::of_many_who_want_a_name_each_owns_it_alone,
        );
    };
}
pub(crate) use discovery_suite;
