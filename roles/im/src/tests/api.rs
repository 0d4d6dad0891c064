//! The server API, over HTTP.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Posts a body to a path and answers status and JSON.
async fn post_to(running: &Running, path: &str, body: &str) -> (u16, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = running.service.api.clone();
    let server = tokio::spawn(async move { axum::serve(listener, api).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let status = answer[9..12].parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Posts a body to `/v1/messages` and answers status and JSON.
pub(super) async fn post(running: &Running, body: &str) -> (u16, Value) {
    post_to(running, "/v1/messages", body).await
}

#[tokio::test]
async fn a_message_is_sent_in_the_name_of_a_user() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let body = json!({"from": "alice", "to": {"user": "bob"}, "clientMessageId": "c-1", "text": "hi"});
    let (status, reply) = post(&running, &body.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!((&reply["conversation"], &reply["seq"]), (&json!("single:5:alice:bob"), &json!(1)));
    assert!(reply["messageId"].is_string() && reply["inboxSeq"] == 1 && reply["timeMs"].is_u64());
    assert_eq!(post(&running, &body.to_string()).await, (200, reply), "the same id gets the first answer");

    push.until(|taken| taken.len() == 2).await;
    assert!(push.taken.borrow().iter().all(|push| push.except.is_none()), "a device was left out");
}

#[tokio::test]
async fn a_call_without_a_client_message_id_is_a_message_of_its_own() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let body = json!({"from": "alice", "to": {"user": "bob"}, "text": "hi"}).to_string();
    let seqs = [post(&running, &body).await.1["seq"].clone(), post(&running, &body).await.1["seq"].clone()];
    assert_eq!(seqs, [1, 2]);
}

#[tokio::test]
async fn a_bad_call_is_told_what_is_wrong_with_it() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let (long, huge) = ("x".repeat(5_001), "x".repeat(600_000));
    let calls = [
        ("not json".to_owned(), 400, "invalid_argument"),
        (json!({"to": {"user": "bob"}, "text": "hi"}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "text": "hi"}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "to": {"user": "bob"}}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "to": {"user": "bob"}, "text": long}).to_string(), 413, "too_large"),
        (json!({"from": "alice", "to": {"user": "bob"}, "text": huge}).to_string(), 413, "too_large"),
        (json!({"from": "alice", "to": {"group": "g"}, "text": "hi"}).to_string(), 404, "not_found"),
    ];
    for (body, status, code) in calls {
        let (answered, reply) = post(&running, &body).await;
        let start: String = body.chars().take(60).collect();
        assert_eq!((answered, &reply["code"]), (status, &json!(code)), "{start}: {reply}");
        assert!(reply["number"].is_u64() && reply["retryable"] == false);
    }
}

#[tokio::test]
async fn a_message_to_a_group_brings_all_that_a_client_could_say() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("team", &["alice", "bob"], "").await;
    let body = json!({
        "from": "alice", "to": {"group": "team"}, "location": {"latitude": 1.5, "longitude": 2},
        "mentions": ["bob"], "replyTo": 1,
    });
    let (status, reply) = post(&running, &body.to_string()).await;
    assert_eq!((status, &reply["seq"], reply.get("inboxSeq")), (200, &json!(2), None), "{reply}");
    let rows = backends.rows_of("team").await;
    let (row, _) = &rows[1];
    assert_eq!((row.mentions.clone(), row.reply_to), (names(&["bob"]), Some(1)));
    assert!(matches!(row.content, Some(client::message::Content::Location(_))));
}

#[tokio::test]
async fn the_business_asks_in_the_name_of_a_user() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let create = json!({"group": "team", "name": "Team", "members": ["bob", "a/b"]}).to_string();
    let answer = post_to(&running, "/v1/users/alice/groupCreate", &create).await;
    assert_eq!(answer, (200, json!({"group": "team", "conversation": "group:team"})));
    let (status, send) =
        post_to(&running, "/v1/users/bob/send", r#"{"to":{"group":"team"},"text":"hi"}"#).await;
    assert_eq!((status, &send["seq"]), (200, &json!(2)));
    assert!(send["messageId"].is_string(), "{send}");
    let read = json!({"conversation": "group:team", "seq": 2}).to_string();
    let answer = post_to(&running, "/v1/users/a%2Fb/read", &read).await;
    assert_eq!(answer, (200, json!({"readUpTo": 2})), "an id is read from the path as it is");
    let (status, history) =
        post_to(&running, "/v1/users/alice/history", r#"{"conversation":"group:team"}"#).await;
    assert_eq!(
        (status, &history["messages"][0]["text"], &history["more"]),
        (200, &json!("hi"), &json!(false))
    );
    assert_eq!(post_to(&running, "/v1/users/alice/blocks", "").await, (200, json!({"users": []})));
}

#[tokio::test]
async fn what_is_asked_wrongly_in_the_name_of_a_user_is_told_why() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let calls = [
        ("/v1/users/alice/dance", "{}", 400, "unknown_request"),
        ("/v1/users/alice/seq", "{}", 400, "malformed"),
        ("/v1/users/alice/auth", "{}", 400, "unknown_request"),
        ("/v1/users/alice/ack", r#"{"inboxSeq":1}"#, 400, "unknown_request"),
        ("/v1/users/alice/watch", r#"{"users":["bob"]}"#, 400, "unknown_request"),
        ("/v1/users/alice/unwatch", "{}", 400, "unknown_request"),
        ("/v1/users/alice/history%22%3A%7B%7D%2C%22blocks", "{}", 400, "unknown_request"),
        ("/v1/users/0/blocks", "{}", 400, "invalid_argument"),
        ("/v1/users/%FF/blocks", "{}", 400, "invalid_argument"),
        ("/v1/users/alice/blocks", "not json", 400, "invalid_argument"),
        ("/v1/users/alice/blocks", "[]", 400, "invalid_argument"),
        ("/v1/users/alice/block", r#"{"user":1}"#, 400, "invalid_argument"),
        ("/v1/users/alice/history", r#"{"conversation":"group:none"}"#, 404, "not_found"),
        ("/v1/users/alice/send", r#"{"text":"hi"}"#, 400, "invalid_argument"),
    ];
    for (path, body, status, code) in calls {
        let (answered, reply) = post_to(&running, path, body).await;
        assert_eq!((answered, &reply["code"]), (status, &json!(code)), "{path} {body}: {reply}");
        assert!(reply["number"].is_u64() && reply["message"].is_string());
    }
    let huge = format!("{{\"user\":\"{}\"}}", "x".repeat(600_000));
    assert_eq!(post_to(&running, "/v1/users/alice/block", &huge).await.0, 413);
}

#[tokio::test]
async fn the_business_begins_a_chat_where_users_may_not() {
    let backends = Backends::open().await;
    let config = Config { single_chat: SingleChatRule::Existing, ..Config::default() };
    let running = backends.start(config, &Arc::new(Remembering::new()));
    assert!(running.say("alice", "bob", "c-1").await.is_err());
    let send = r#"{"to":{"user":"bob"},"text":"may we introduce"}"#;
    assert_eq!(post_to(&running, "/v1/users/alice/send", send).await.0, 200);
    running.say("bob", "alice", "c-2").await.unwrap();
}
