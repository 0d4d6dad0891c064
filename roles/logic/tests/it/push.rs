//! Anser's own push call, as a business's server sees it.

use std::sync::Arc;

use axum::http::StatusCode;
use contracts::Kind;
use protocol::limits::PUSH_BODY_BYTES_MAX;
use serde_json::{Value, json};

use crate::fakes::World;

async fn push(world: &Arc<World>, request: &Value) -> (StatusCode, Value) {
    world.call("POST", "/v1/push", request.to_string()).await
}

#[tokio::test]
async fn each_user_is_told_apart_as_queued_offline_or_unknown() {
    let world = Arc::new(World::default());
    let request = json!({"to": {"users": ["alice", "gone", "lost"]}, "op": 1000, "text": "hi"});
    let results = json!({"results": [
        {"user": "alice", "status": "queued"},
        {"user": "gone", "status": "offline"},
        {"user": "lost", "status": "unknown"},
    ]});
    assert_eq!(push(&world, &request).await, (StatusCode::OK, results));
    assert_eq!(world.asked(), [r#"users ["alice", "gone", "lost"] 1000 b"hi""#]);
}

#[tokio::test]
async fn connections_are_pushed_to_with_the_decoded_body() {
    let world = Arc::new(World::default());
    let request = json!({"to": {"connections": ["k"]}, "op": 7, "body": "/wA="});
    let results = json!({"results": [{"connection": "k", "status": "queued"}]});
    assert_eq!(push(&world, &request).await, (StatusCode::OK, results));
    assert_eq!(world.asked(), [r#"keys ["k"] 7 b"\xff\0""#]);
}

#[tokio::test]
async fn a_room_and_all_are_published_and_answered_with_nothing() {
    let world = Arc::new(World::default());
    let room = json!({"to": {"room": "live://1"}, "op": 1, "text": "hi"});
    assert_eq!(push(&world, &room).await, (StatusCode::OK, json!({})));
    let all = json!({"to": {"all": true}, "text": "ho", "speed": 10});
    assert_eq!(push(&world, &all).await, (StatusCode::OK, json!({})));
    let published = world.published.lock().unwrap();
    assert_eq!((&*published[0].room, published[0].operation, published[0].speed), ("live://1", 1, 0));
    assert_eq!((&*published[1].room, published[1].operation, published[1].speed), ("", 1000, 10));
}

#[tokio::test]
async fn a_fault_of_the_caller_is_refused_with_its_reason() {
    let world = Arc::new(World::default());
    let many: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    for (request, reason) in [
        (json!({}), "missing field `to`"),
        (json!([]), "json of a push"),
        (json!({"to": {"users": ["alice"]}, "text": "hi", "spede": 1}), "unknown field `spede`"),
        (json!({"to": {}, "text": "hi"}), "exactly one of users"),
        (json!({"to": {"users": ["a"], "all": true}, "text": "hi"}), "exactly one of users"),
        (json!({"to": {"all": false}, "text": "hi"}), "exactly one of users"),
        (json!({"to": {"users": []}, "text": "hi"}), "names 0"),
        (json!({"to": {"users": many}, "text": "hi"}), "names 10001"),
        (json!({"to": {"users": ["a\u{0}"]}, "text": "hi"}), "control character"),
        (json!({"to": {"room": ""}, "text": "hi"}), "room id is empty"),
        (json!({"to": {"users": ["a"]}}), "exactly one of text and body"),
        (json!({"to": {"users": ["a"]}, "text": "hi", "body": ""}), "exactly one of text and body"),
        (json!({"to": {"users": ["a"]}, "body": "%%"}), "not base64"),
        (json!({"to": {"users": ["a"]}, "text": "hi", "op": 0}), "op is 0"),
        (json!({"to": {"users": ["a"]}, "text": "hi", "speed": 1}), "speed is for a push to all"),
    ] {
        let (status, body) = push(&world, &request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!((&body["code"], &body["number"]), (&json!("invalid_argument"), &json!(40000)));
        assert_eq!(body["retryable"], false);
        assert!(body["message"].as_str().unwrap().contains(reason), "{reason}: {body}");
    }
    assert!(world.asked().is_empty() && world.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_such() {
    let world = Arc::new(World::default());
    let request = json!({"to": {"users": ["a"]}, "text": "x".repeat(PUSH_BODY_BYTES_MAX + 1)});
    let (status, body) = push(&world, &request).await;
    assert_eq!((status, &body["number"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(41301)));
    let (status, body) = world.call("POST", "/v1/push", vec![b' '; 4 * PUSH_BODY_BYTES_MAX + 1]).await;
    assert_eq!((status, &body["number"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(41301)));
}

#[tokio::test]
async fn a_failure_of_ours_may_be_tried_again_and_tells_no_details() {
    let world = Arc::new(World::default());
    *world.failure.lock().unwrap() = Some(Kind::Unavailable);
    let request = json!({"to": {"users": ["alice"]}, "text": "hi"});
    let (status, body) = push(&world, &request).await;
    assert_eq!((status, &body["retryable"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    assert!(!body.to_string().contains("secret"), "{body}");
}
