//! goim's HTTP API: the envelope, the codes, what its queries mean.

use serde_json::{Value, json};

use crate::support::goim_wire::{Goim, WIRES, Wire};
use crate::support::http::{get, post, request};
use crate::support::server::{Setup, Shared};
use crate::support::{eventually, number, unique};

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn a_push_is_answered_with_code_0_an_empty_message_and_no_data() {
    let server = SERVER.get();
    let targets = [
        "/goim/push/keys?operation=1000&keys=nobody",
        "/goim/push/mids?operation=1000&mids=1&mids=2",
        "/goim/push/room?operation=1000&type=live&room=empty",
        "/goim/push/all?operation=64999",
        "/goim/push/all?operation=64999&speed=10",
    ];
    for target in targets {
        let response = post(server.api, target, b"body").await;
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(response.text(), r#"{"code":0,"message":""}"#, "{target}");
        assert!(response.header("content-type").unwrap().starts_with("application/json"), "{target}");
    }
}

#[tokio::test]
async fn a_query_that_does_not_bind_is_answered_with_400_and_code_minus_400() {
    let server = SERVER.get();
    let pushes = [
        "/goim/push/keys?operation=abc&keys=k",
        "/goim/push/keys?operation=3000000000&keys=k",
        "/goim/push/mids?operation=1000&mids=alice",
        "/goim/push/room?operation=0&type=live&room=1",
        "/goim/push/room?operation=1000&type=live",
        "/goim/push/room?operation=1000&room=1",
        "/goim/push/room?type=live&room=1",
        "/goim/push/all?operation=0",
        "/goim/push/all",
        "/goim/push/all?operation=1000&speed=fast",
    ];
    for target in pushes {
        let response = post(server.api, target, b"body").await;
        assert_eq!((response.status, &response.json()["code"]), (400, &json!(-400)), "{target}");
        assert!(response.json()["message"].is_string(), "{target}");
    }
    for target in
        ["/goim/online/top?limit=5", "/goim/online/top?type=live", "/goim/online/top?type=live&limit=x"]
    {
        let response = get(server.api, target).await;
        assert_eq!((response.status, &response.json()["code"]), (400, &json!(-400)), "{target}");
    }
}

#[tokio::test]
async fn a_body_is_pushed_as_it_is_and_one_over_the_limit_is_refused() {
    let server = SERVER.get();
    let key = unique("key");
    let mut client = Goim::user(&server, Wire::Tcp, 0, &key, &[1000]).await;
    let target = format!("/goim/push/keys?operation=1000&keys={key}");
    let large = vec![0xff; 1024 * 1024];
    for body in [&b""[..], b"{\"not\": json", b"\x00\x01\xff", &large] {
        assert_eq!(post(server.api, &target, body).await.json()["code"], 0);
        client.assert_push(1000, body).await;
    }
    let refused = post(server.api, &target, &vec![0; 1024 * 1024 + 1]).await;
    assert!(refused.status >= 400, "{refused:?}");
    assert_eq!(post(server.api, &target, b"next").await.json()["code"], 0);
    client.assert_push(1000, b"next").await;
}

#[tokio::test]
async fn names_in_a_query_may_be_encoded() {
    let server = SERVER.get();
    let key = unique("a key/with+signs&雪");
    let mut client = Goim::user(&server, Wire::WebSocket, 0, &key, &[1000]).await;
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let target = format!("/goim/push/keys?operation=1000&keys={encoded}&keys=other");
    assert_eq!(post(server.api, &target, b"found").await.json()["code"], 0);
    client.assert_push(1000, b"found").await;
}

#[tokio::test]
async fn online_room_answers_a_count_for_every_room_asked_within_a_second() {
    let server = SERVER.get();
    let (one, two) = (unique("room"), unique("room"));
    let mut members = Vec::new();
    for (count, room) in [&one, &one, &two].into_iter().enumerate() {
        members.push(Goim::in_room(&server, WIRES[count % 2], &format!("live://{room}")).await);
    }
    let started = std::time::Instant::now();
    let target = format!("/goim/online/room?type=live&rooms={one}&rooms={two}&rooms=empty");
    let wanted = json!({"code": 0, "message": "", "data": {&one: 2, &two: 1, "empty": 0}});
    let api = server.api;
    eventually("the counts", async || (get(api, &target).await.json() == wanted).then_some(())).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "after {:?}", started.elapsed());
    members.clear();
    let gone = json!({&one: 0, &two: 0, "empty": 0});
    eventually("empty rooms", async || (get(api, &target).await.json()["data"] == gone).then_some(())).await;
}

#[tokio::test]
async fn online_top_names_the_fullest_rooms_of_a_type_first() {
    let server = SERVER.get();
    let room_type = unique("type");
    let mut members = Vec::new();
    for (room, count) in [("small", 1), ("large", 4), ("middle", 2)] {
        for _ in 0..count {
            members.push(Goim::in_room(&server, Wire::Tcp, &format!("{room_type}://{room}")).await);
        }
    }
    let api = server.api;
    let target = format!("/goim/online/top?type={room_type}&limit=2");
    let wanted = json!([{"room_id": "large", "count": 4}, {"room_id": "middle", "count": 2}]);
    eventually("the order", async || (get(api, &target).await.json()["data"] == wanted).then_some(())).await;
    let nothing = get(api, "/goim/online/top?type=nothing&limit=2").await;
    assert_eq!(nothing.json(), json!({"code": 0, "message": "", "data": []}));
}

#[tokio::test]
async fn online_total_counts_connections_and_addresses() {
    let server = Setup::dev().start();
    let api = server.api;
    let is = async |connections: u64, addresses: u64| {
        let wanted = json!({"conn_count": connections, "ip_count": addresses});
        eventually("the totals", async || {
            (get(api, "/goim/online/total").await.json()["data"] == wanted).then_some(())
        })
        .await;
    };
    is(0, 0).await;
    let silent = Goim::open(&server, Wire::Tcp).await;
    let tcp = Goim::user(&server, Wire::Tcp, number(), "", &[]).await;
    let ws = Goim::user(&server, Wire::WebSocket, 0, "", &[]).await;
    is(2, 1).await;
    drop((tcp, silent));
    is(1, 1).await;
    drop(ws);
    is(0, 0).await;
}

#[tokio::test]
async fn nodes_tell_a_client_where_to_connect() {
    let server = SERVER.get();
    let data = get(server.api, "/goim/nodes/weighted?platform=web").await.json()["data"].take();
    assert_eq!(data["tcp_port"], server.tcp.port(), "{data}");
    assert_eq!(data["ws_port"], server.ws.port(), "{data}");
    for field in ["domain", "heartbeat", "heartbeat_max", "nodes", "backoff"] {
        assert!(data.get(field).is_some(), "{field} is missing in {data}");
    }
    assert!(data["heartbeat"].as_u64().unwrap() > 0);
    for field in ["max_delay", "base_delay", "factor", "jitter"] {
        assert!(data["backoff"][field].is_number(), "{field} is missing in {data}");
    }
    assert_eq!(data["nodes"].as_array().unwrap().len(), 1, "{data}");
    let by_address = get(server.api, "/goim/nodes/weighted?platform=ios").await.json();
    assert_eq!(by_address["data"]["nodes"], json!(["127.0.0.1"]));
}

#[tokio::test]
async fn nodes_list_the_instances() {
    let server = SERVER.get();
    let mut data = get(server.api, "/goim/nodes/instances").await.json()["data"].take();
    // goim answers a list; where it is grouped by zone, look inside.
    if data["instances"].is_object() {
        data = data["instances"].take();
    }
    let instance = data.as_array().and_then(|list| list.first()).cloned().unwrap_or(Value::Null);
    for field in ["hostname", "addrs", "version", "latest_timestamp", "metadata"] {
        assert!(instance.get(field).is_some(), "{field} is missing in {data}");
    }
    for field in ["addrs", "conn_count", "ip_count", "offline", "weight"] {
        assert!(instance["metadata"].get(field).is_some(), "{field} is missing in {data}");
    }
}

#[tokio::test]
async fn another_method_or_path_is_refused() {
    let server = SERVER.get();
    assert_eq!(get(server.api, "/goim/push/all?operation=1").await.status, 405);
    assert_eq!(post(server.api, "/goim/push/nothing", b"").await.status, 404);
    assert_eq!(request(server.api, "DELETE", "/goim/online/total", &[], b"").await.status, 405);
}
