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
    /// Opens it again, as another process would after this one ended.
    async fn reopen(&mut self);
}

fn value(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn server(name: &str) -> ServerId {
    ServerId(name.into())
}

pub(crate) fn instance(role: &str, name: &str) -> Instance {
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
    use backends::discovery::{AGREED_BYTES_MAX, Agreed};
    use bytes::Bytes;

    use super::{Arc, BTreeMap, DiscoveryFixture, instance, server, value};
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

    pub(crate) async fn a_value_is_agreed_on_in_place_of_the_known_one_alone(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        assert_eq!(discovery.agree("pair", 1, value("nothing to replace")).await.unwrap(), None);
        let first = discovery.agree("pair", 0, value("one")).await.unwrap().unwrap();
        assert!(first > 0);
        assert_eq!(discovery.agree("pair", 0, value("first again")).await.unwrap(), None);
        let second = discovery.agree("pair", first, value("")).await.unwrap().unwrap();
        assert!(second > first);
        for version in [first, second + 1, u64::MAX] {
            assert_eq!(discovery.agree("pair", version, value("too late")).await.unwrap(), None);
        }
        // Names are told apart whatever they look like.
        assert_eq!(discovery.watch_agreed("pair/a").await.unwrap().borrow().clone(), None);
        let agreed = discovery.watch_agreed("pair").await.unwrap();
        assert_eq!(agreed.borrow().clone(), Some(Agreed { version: second, value: value("") }));
    }

    pub(crate) async fn those_who_watch_a_value_see_it_change(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let mut agreed = discovery.watch_agreed("pair/0").await.unwrap();
        assert_eq!(agreed.borrow_and_update().clone(), None);
        let mut version = 0;
        for text in ["one", "two", "two"] {
            version = discovery.agree("pair/0", version, value(text)).await.unwrap().unwrap();
            let expected = Some(Agreed { version, value: value(text) });
            within(agreed.wait_for(|agreed| *agreed == expected)).await.unwrap();
        }
        let later = discovery.watch_agreed("pair/0").await.unwrap();
        assert_eq!(later.borrow().clone(), Some(Agreed { version, value: value("two") }));
    }

    pub(crate) async fn of_many_who_change_a_value_at_once_one_does(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let mut version = 0;
        for _ in 0..4 {
            let tries: Vec<_> = (0..8_u8)
                .map(|number| {
                    let discovery = Arc::clone(&discovery);
                    let value = Bytes::copy_from_slice(&[number]);
                    tokio::spawn(async move { discovery.agree("pair", version, value).await.unwrap() })
                })
                .collect();
            let mut agreed = Vec::new();
            for outcome in tries {
                agreed.extend(within(outcome).await.unwrap());
            }
            assert_eq!(agreed.len(), 1, "{agreed:?}");
            assert!(agreed[0] > version);
            version = agreed[0];
        }
    }

    pub(crate) async fn a_value_that_is_too_long_is_refused(fixture: impl DiscoveryFixture) {
        let discovery = fixture.discovery();
        let longest = Bytes::from(vec![7; AGREED_BYTES_MAX]);
        let version = discovery.agree("pair", 0, longest.clone()).await.unwrap().unwrap();
        let longer = Bytes::from(vec![7; AGREED_BYTES_MAX + 1]);
        assert_eq!(discovery.agree("pair", version, longer).await.unwrap_err().kind(), Kind::Conflict);
        let agreed = discovery.watch_agreed("pair").await.unwrap();
        assert_eq!(agreed.borrow().clone(), Some(Agreed { version, value: longest }));
    }

    pub(crate) async fn what_was_agreed_on_and_epochs_outlive_the_process(
        mut fixture: impl DiscoveryFixture,
    ) {
        let discovery = fixture.discovery();
        let version = discovery.agree("pair/a", 0, value("one")).await.unwrap().unwrap();
        let epoch = within(discovery.elect("router/0", &server("a"))).await.unwrap().epoch();
        drop(discovery);
        fixture.reopen().await;
        let discovery = fixture.discovery();
        let agreed = discovery.watch_agreed("pair/a").await.unwrap();
        assert_eq!(agreed.borrow().clone(), Some(Agreed { version, value: value("one") }));
        assert_eq!(discovery.agree("pair/a", 0, value("two")).await.unwrap(), None);
        assert!(discovery.agree("pair/a", version, value("two")).await.unwrap() > Some(version));
        assert!(within(discovery.elect("router/0", &server("a"))).await.unwrap().epoch() > epoch);
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
            cases::a_value_is_agreed_on_in_place_of_the_known_one_alone,
            cases::those_who_watch_a_value_see_it_change,
            cases::of_many_who_change_a_value_at_once_one_does,
            cases::a_value_that_is_too_long_is_refused,
            cases::what_was_agreed_on_and_epochs_outlive_the_process,
        );
    };
}
pub(crate) use discovery_suite;
