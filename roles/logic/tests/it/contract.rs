//! What the proxies ask.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use contracts::Kind;
use contracts::auth::{Credentials, Wire};
use contracts::logic::ConnectRequest;
use contracts::router::{Handle, Replaced, Report, Route, Unregistration};
use protocol::code::CloseCode;
use protocol::{Code, ConnectionId, DeviceId, Identifier as _, RoomId, ServerId, UserId};

use crate::fakes::World;

fn server() -> ServerId {
    ServerId("here".into())
}

fn request(user: Option<&str>) -> ConnectRequest {
    ConnectRequest {
        credentials: Credentials {
            wire: Wire::Anser,
            token: String::new(),
            claimed: user.map(|user| UserId::new(user).unwrap()),
        },
        server: server(),
        number: 1,
        handle: Handle(5),
        device: DeviceId::new("web").unwrap(),
        key: String::new(),
        platform: "web".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

#[tokio::test]
async fn whoever_auth_accepts_is_registered() {
    let world = Arc::new(World::default());
    let logic = world.start().await.contract;
    let connected = logic.connect(request(Some("alice"))).await.unwrap();
    assert_eq!(connected.user, Some(UserId::new("alice").unwrap()));
    assert_eq!((connected.connection, connected.key.as_str()), (ConnectionId(7), "key-7"));
}

#[tokio::test]
async fn whoever_auth_refuses_never_reaches_the_router() {
    let world = Arc::new(World::default());
    let error = world.start().await.contract.connect(request(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn replaced_connections_are_told_before_the_new_one_is_answered() {
    let world = Arc::new(World::default());
    let replaced = |server: &str, connection, code| Replaced {
        route: Route {
            server: ServerId(server.into()),
            connection: ConnectionId(connection),
            handle: Handle(connection),
        },
        code,
    };
    let (device, login) = (CloseCode::ReplacedByDevice, CloseCode::ReplacedByLogin);
    // One of the proxies is gone, and with it its connections.
    let all = [replaced("here", 1, device), replaced("gone", 2, login), replaced("here", 3, login)];
    world.replaced.lock().unwrap().extend(all);
    world.start().await.contract.connect(request(Some("alice"))).await.unwrap();
    assert_eq!(world.asked(), ["register web", "kick 2"]);
    let kicked = world.kicked.lock().unwrap();
    let kicked: Vec<_> = kicked.iter().map(|kick| (kick.connection.0, kick.code)).collect();
    assert_eq!(kicked, [(1, device), (3, login)]);
}

#[tokio::test]
async fn rooms_and_counts_go_to_the_router_as_they_came() {
    let world = Arc::new(World::default());
    let logic = world.start().await.contract;
    let room = RoomId::new("live://1").unwrap();
    logic.enter_rooms(&server(), 2, vec![room.clone()]).await.unwrap();
    logic.leave_rooms(&server(), 3, vec![room.clone()]).await.unwrap();
    let report = Report { wanted: vec![room], ..Report::default() };
    assert_eq!(logic.report(&server(), report).await.unwrap(), [3]);
    let gone = Unregistration {
        server: server(),
        number: 4,
        connection: ConnectionId(7),
        user: None,
        key: "key-7".to_owned(),
    };
    logic.disconnect(vec![gone]).await.unwrap();
    let expected =
        ["enter here 2 [\"live://1\"]", "leave here 3 [\"live://1\"]", "report here", "unregister 1"];
    assert_eq!(world.asked(), expected);
}

#[tokio::test]
async fn a_failing_router_fails_the_connect() {
    let world = Arc::new(World::default());
    *world.failure.lock().unwrap() = Some(Kind::Unavailable);
    let error = world.start().await.contract.connect(request(Some("alice"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}
