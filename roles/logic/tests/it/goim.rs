//! goim's server API, as a stock caller sees it.

use std::sync::Arc;

use axum::http::StatusCode;
use contracts::Kind;
use protocol::limits::PUSH_BODY_BYTES_MAX;
use serde_json::{Value, json};

use crate::fakes::{World, proxy_instance};

fn world() -> Arc<World> {
    Arc::new(World::default())
}

fn done() -> (StatusCode, Value) {
    (StatusCode::OK, json!({"code": 0, "message": ""}))
}

#[tokio::test]
async fn keys_are_pushed_to_with_the_raw_body() {
    let world = world();
    let uri = "/goim/push/keys?operation=1000&keys=a&keys=b%2Cc&keys=";
    assert_eq!(world.call("POST", uri, "hi").await, done());
    assert_eq!(world.asked(), [r#"keys ["a", "b,c"] 1000 b"hi""#]);
}

#[tokio::test]
async fn no_keys_are_a_fault_without_words() {
    let answer = world().call("POST", "/goim/push/keys?operation=1000", "hi").await;
    assert_eq!(answer, (StatusCode::OK, json!({"code": -400, "message": ""})));
}

#[tokio::test]
async fn mids_are_pushed_to_and_those_of_nobody_are_skipped() {
    let world = world();
    let uri = "/goim/push/mids?operation=1000&mids=42&mids=0&mids=-1&mids=7";
    assert_eq!(world.call("POST", uri, "hi").await, done());
    assert_eq!(world.asked(), [r#"users ["42", "7"] 1000 b"hi""#]);
    assert_eq!(world.call("POST", "/goim/push/mids?operation=1000", "hi").await, done());
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_query_that_does_not_bind_is_answered_400() {
    for uri in [
        "/goim/push/keys?keys=a",
        "/goim/push/keys?operation=x&keys=a",
        "/goim/push/keys?operation=4294967296&keys=a",
        "/goim/push/mids?operation=1000&mids=1,2",
        "/goim/push/mids?operation=1000&mids=alice",
        "/goim/push/mids?operation=1000&mids=9223372036854775808",
        "/goim/push/room?operation=0&type=live&room=1",
        "/goim/push/room?operation=1000&room=1",
        "/goim/push/room?operation=1000&type=live",
        "/goim/push/room?operation=1000&type=live&room=a%00b",
        "/goim/push/all",
        "/goim/push/all?operation=0",
        "/goim/push/all?operation=1000&speed=fast",
    ] {
        let world = world();
        let (status, body) = world.call("POST", uri, "hi").await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!(-400)), "{uri}");
        assert!(!body["message"].as_str().unwrap().is_empty(), "{uri}");
        assert!(world.asked().is_empty() && world.published.lock().unwrap().is_empty(), "{uri}");
    }
    for uri in
        ["/goim/online/top?type=live", "/goim/online/top?type=live&limit=-1", "/goim/online/room?type=x"]
    {
        let (status, body) = world().call("GET", uri, "").await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!(-400)), "{uri}");
    }
}

#[tokio::test]
async fn a_room_and_all_are_published_to_topic_push() {
    let world = world();
    assert_eq!(world.call("POST", "/goim/push/room?operation=1000&type=live&room=1", "hi").await, done());
    assert_eq!(world.call("POST", "/goim/push/all?operation=1001&speed=50", &b"\xff\x00"[..]).await, done());
    assert_eq!(world.call("POST", "/goim/push/all?operation=1002&speed=-3", "").await, done());
    let published = world.published.lock().unwrap();
    let seen: Vec<_> = published
        .iter()
        .map(|record| (&*record.room, record.operation, &record.body[..], record.speed))
        .collect();
    assert_eq!(
        seen,
        [("live://1", 1000, &b"hi"[..], 0), ("", 1001, &b"\xff\x00"[..], 50), ("", 1002, &b""[..], 0)]
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_pushed() {
    let uri = "/goim/push/mids?operation=1000&mids=1";
    let (status, body) = world().call("POST", uri, vec![0; PUSH_BODY_BYTES_MAX + 1]).await;
    assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(-400)));
    assert_eq!(world().call("POST", uri, vec![0; PUSH_BODY_BYTES_MAX]).await, done());
}

#[tokio::test]
async fn too_many_targets_are_refused() {
    let uri = format!("/goim/push/keys?operation=1000{}", "&keys=".repeat(10_001));
    let (status, body) = world().call("POST", &uri, "hi").await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!(-400)));
}

#[tokio::test]
async fn a_failure_of_ours_is_code_500_and_tells_no_details() {
    for kind in [Kind::Unavailable, Kind::Internal, Kind::Overloaded] {
        let world = world();
        *world.failure.lock().unwrap() = Some(kind);
        for (method, uri) in
            [("POST", "/goim/push/mids?operation=1000&mids=1"), ("GET", "/goim/online/total")]
        {
            let (status, body) = world.call(method, uri, "").await;
            assert_eq!((status, &body["code"]), (StatusCode::OK, &json!(-500)));
            assert!(!body.to_string().contains("secret"), "{body}");
        }
    }
    let world = world();
    *world.broker_failure.lock().unwrap() = Some(backends::Kind::Full);
    assert_eq!(world.call("POST", "/goim/push/all?operation=1", "").await.1["code"], -500);
}

#[tokio::test]
async fn the_fullest_rooms_of_a_type_are_told_in_order() {
    let world = world();
    let answer = world.call("GET", "/goim/online/top?type=live&limit=2", "").await;
    let data = json!([{"room_id": "1", "count": 9}, {"room_id": "2", "count": 5}]);
    assert_eq!(answer, (StatusCode::OK, json!({"code": 0, "message": "", "data": data})));
    assert_eq!(world.asked(), ["top live 2"]);
}

#[tokio::test]
async fn rooms_that_nobody_knows_have_nobody_in_them() {
    let long = "x".repeat(80);
    let uri = format!("/goim/online/room?type=live&rooms=1&rooms=2&rooms={long}");
    let answer = world().call("GET", &uri, "").await.1;
    assert_eq!(answer["data"], json!({"1": 4, "2": 0, long: 0}));
}

#[tokio::test]
async fn totals_are_told() {
    let answer = world().call("GET", "/goim/online/total", "").await.1;
    assert_eq!(answer, json!({"code": 0, "message": "", "data": {"conn_count": 12, "ip_count": 3}}));
}

#[tokio::test]
async fn a_client_is_told_where_to_connect() {
    let world = world();
    world.proxies.lock().unwrap().push(proxy_instance());
    let (_, answer) = world.call("GET", "/goim/nodes/weighted?platform=android", "").await;
    assert_eq!(
        answer["data"],
        json!({
            "domain": "10.0.0.1", "tcp_port": 3101, "ws_port": 3102, "heartbeat": 240, "heartbeat_max": 2,
            "nodes": ["10.0.0.1"],
            "backoff": {"max_delay": 300, "base_delay": 3, "factor": 1.8, "jitter": 0.3}
        })
    );
    let (_, answer) = world.call("GET", "/goim/nodes/weighted?platform=web", "").await;
    assert_eq!(answer["data"]["nodes"], json!(["conn1"]));
}

#[tokio::test]
async fn proxies_are_told_in_the_shape_of_goims_discovery() {
    let world = world();
    world.proxies.lock().unwrap().push(proxy_instance());
    let (_, answer) = world.call("GET", "/goim/nodes/instances", "").await;
    assert_eq!(
        answer["data"],
        json!([{
            "region": "sh", "zone": "", "env": "", "appid": "goim.comet", "hostname": "conn1",
            "addrs": ["tcp://10.0.0.1:3101", "ws://10.0.0.1:3102"], "version": "1.2.3",
            "latest_timestamp": 5_000_000,
            "metadata": {
                "addrs": "10.0.0.1", "conn_count": "0", "ip_count": "0", "offline": "false", "weight": "10"
            }
        }])
    );
}
