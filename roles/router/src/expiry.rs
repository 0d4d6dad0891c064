//! Takes out of the directory what a proxy left behind when it went away.
//!
//! Discovery tells which proxies there are. One that is named no more has ended or cannot be reached: its
//! connections, rooms and counts go at once. A proxy that was never named is left alone, since it announces
//! its connections before or after itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use backends::discovery::{Instance, Leadership};
use protocol::ServerId;
use runtime::lifecycle::Stop;
use tokio::sync::watch;

use crate::service::Service;

/// Follows the proxies until it is told to stop or the directory is lost to another router. Those that are
/// there when this is called are followed, however late the task begins.
pub(crate) fn run(
    service: Arc<Service>,
    mut proxies: watch::Receiver<Vec<Instance>>,
    leadership: Box<dyn Leadership>,
    stop: Stop,
) -> impl Future<Output = ()> + Send {
    let mut known = servers(&proxies.borrow_and_update());
    async move {
        loop {
            tokio::select! {
                biased;
                () = stop.triggered() => return,
                () = leadership.lost() => {
                    service.lose();
                    tracing::error!(target: "router", epoch = leadership.epoch(), "the directory was lost");
                    return;
                }
                changed = proxies.changed() => {
                    if changed.is_err() {
                        tracing::error!(target: "router", "discovery tells no more of proxies");
                        return;
                    }
                }
            }
            let present = servers(&proxies.borrow_and_update());
            for server in known.difference(&present) {
                let connection_count = service.expire(server).await;
                tracing::info!(target: "router", %server, connection_count, "a proxy went away");
            }
            known = present;
        }
    }
}

fn servers(instances: &[Instance]) -> BTreeSet<ServerId> {
    instances.iter().map(|instance| instance.server.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use contracts::router::{Handle, Registration, Report, Router, Totals};
    use protocol::{DeviceId, Identifier, RoomId, UserId};

    use super::*;
    use crate::DeviceRule;
    use crate::directory::Directory;
    use crate::presence::Feed;
    use crate::room::Rooms;

    struct Forever;

    #[async_trait]
    impl Leadership for Forever {
        fn epoch(&self) -> u64 {
            1
        }

        async fn lost(&self) {
            std::future::pending::<()>().await;
        }
    }

    struct Lost;

    #[async_trait]
    impl Leadership for Lost {
        fn epoch(&self) -> u64 {
            1
        }

        async fn lost(&self) {}
    }

    fn instance(name: &str) -> Instance {
        Instance {
            role: "proxy".to_owned(),
            server: ServerId(name.into()),
            addresses: Default::default(),
            metadata: Default::default(),
            since_ms: 0,
        }
    }

    fn service() -> Arc<Service> {
        Arc::new(Service::new(Directory::new(4, 1, DeviceRule::All, Feed::open().0), Rooms::new(4)))
    }

    async fn register(service: &Service, server: &str, user: &UserId) {
        let registration = Registration {
            server: ServerId(server.into()),
            number: 1,
            handle: Handle(1),
            user: Some(user.clone()),
            device: DeviceId::new(server).unwrap(),
            platform: String::new(),
            key: String::new(),
            connection: None,
        };
        service.register(vec![registration]).await.unwrap();
    }

    #[tokio::test]
    async fn everything_of_a_proxy_that_went_away_goes() {
        let service = service();
        let (alice, room) = (UserId::new("alice").unwrap(), RoomId::new("live://1").unwrap());
        for name in ["p1", "p2"] {
            let server = ServerId(name.into());
            register(&service, name, &alice).await;
            service.enter_rooms(&server, 2, vec![room.clone()]).await.unwrap();
            let report = Report { rooms: vec![(room.clone(), 1)], connection_count: 1, ..Report::default() };
            service.report(&server, report).await.unwrap();
        }
        let (sender, receiver) = watch::channel(vec![instance("p1"), instance("p2")]);
        let stop = Stop::new();
        let task = tokio::spawn(run(service.clone(), receiver, Box::new(Forever), stop.clone()));
        sender.send_replace(vec![instance("p2")]);

        let users = [alice];
        let gone = async {
            while service.locate_users(&users).await.unwrap()[0].routes.len() == 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        stop.trigger();
        task.await.unwrap();
        let p2 = ServerId("p2".into());
        assert_eq!(service.locate_users(&users).await.unwrap()[0].routes[0].server, p2);
        assert_eq!(service.room_proxies(std::slice::from_ref(&room)).await.unwrap(), [[p2]]);
        assert_eq!(service.room_counts(&[room]).await.unwrap(), [1]);
        assert_eq!(service.totals().await.unwrap(), Totals { connection_count: 1, address_count: 0 });
    }

    #[tokio::test]
    async fn a_router_that_lost_the_directory_answers_that_it_is_unavailable() {
        let service = service();
        let (_sender, receiver) = watch::channel(Vec::new());
        run(service.clone(), receiver, Box::new(Lost), Stop::new()).await;
        assert_eq!(service.totals().await.unwrap_err().kind(), contracts::Kind::Unavailable);
    }
}
