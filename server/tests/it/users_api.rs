//! `POST /v1/users/{user}/{request}`: what the business asks in the name of a user.

use serde_json::{Value, json};

use crate::support::chat::JsonChat;
use crate::support::http::{Response, post, request};
use crate::support::server::{Server, Setup, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

async fn ask(server: &Server, user: &str, name: &str, body: &Value) -> Response {
    post(server.api, &format!("/v1/users/{user}/{name}"), body.to_string().as_bytes()).await
}

async fn answer(server: &Server, user: &str, name: &str, body: &Value) -> Value {
    let response = ask(server, user, name, body).await;
    assert_eq!(response.status, 200, "{name} {body}: {}", response.text());
    response.json()
}

#[tokio::test]
async fn the_business_makes_a_group_writes_in_it_and_reads_it_without_a_connection() {
    let server = SERVER.get();
    let (alice_id, bob_id) = (unique("alice"), unique("bob"));
    let mut bob = JsonChat::live(&server, &bob_id, "phone").await;
    let made = answer(&server, &alice_id, "groupCreate", &json!({"name": "team", "members": [bob_id]})).await;
    let group = made["group"].as_str().unwrap();
    assert_eq!(made["conversation"], format!("group:{group}"));
    let message = json!({"to": {"group": group}, "clientMessageId": "c", "text": "hi"});
    let said = answer(&server, &alice_id, "send", &message).await;
    assert_eq!(said["seq"], 2);
    assert_eq!(answer(&server, &alice_id, "send", &message).await, said, "it can be repeated safely");
    assert_eq!(bob.hears().await, "hi");
    let listed = answer(&server, &bob_id, "conversations", &json!({})).await;
    assert_eq!(listed["conversations"][0]["unread"], 1);
    answer(&server, &bob_id, "read", &json!({"conversation": made["conversation"], "seq": 2})).await;
    let told = bob.push_of("conversation").await;
    assert_eq!(told["conversation"], made["conversation"]);
    let history = answer(&server, &bob_id, "history", &json!({"conversation": made["conversation"]})).await;
    assert_eq!(history["messages"][0]["text"], "hi");
    let info = answer(&server, &bob_id, "groupInfo", &json!({"group": group})).await;
    assert_eq!((&info["owner"], &info["memberCount"]), (&json!(alice_id), &json!(2)));
    let here = answer(&server, &alice_id, "presence", &json!({"users": [bob_id]})).await;
    assert_eq!(here["users"][0]["online"], true);
    answer(&server, &alice_id, "groupRemove", &json!({"group": group, "users": [bob_id]})).await;
    let refused = ask(&server, &bob_id, "groupInfo", &json!({"group": group})).await;
    assert_eq!((refused.status, &refused.json()["number"]), (403, &json!(40_300)));
}

#[tokio::test]
async fn an_empty_body_is_a_request_without_fields() {
    let server = SERVER.get();
    let response = post(server.api, &format!("/v1/users/{}/blocks", unique("alice")), b"").await;
    assert_eq!((response.status, response.json()), (200, json!({"users": []})));
}

#[tokio::test]
async fn what_is_wrong_is_answered_with_its_code_under_its_status() {
    let server = SERVER.get();
    let user = unique("user");
    for (name, body, status, number) in [
        ("dance", "{}", 400, 40_001),
        ("auth", "{}", 400, 40_001),
        ("heartbeat", "{}", 400, 40_001),
        ("sync", "{}", 400, 40_001),
        ("watch", "{}", 400, 40_001),
        ("groupCreate", "not json", 400, 40_000),
        ("groupCreate", "[]", 400, 40_000),
        ("groupCreate", r#"{"members":"bob"}"#, 400, 40_000),
        ("groupInfo", r#"{"group":"nowhere"}"#, 404, 40_400),
        ("send", r#"{"to":{"user":"x"},"text":""}"#, 400, 40_000),
    ] {
        let response = post(server.api, &format!("/v1/users/{user}/{name}"), body.as_bytes()).await;
        let error = response.json();
        assert_eq!((response.status, &error["number"]), (status, &json!(number)), "{name} {body}: {error}");
        assert_eq!(error["retryable"], false);
    }
    for path in ["/v1/users/%01/blocks", "/v1/users/0/blocks"] {
        assert_eq!(post(server.api, path, b"").await.status, 400, "{path}");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(2 << 20));
    let response = post(server.api, &format!("/v1/users/{user}/groupCreate"), large.as_bytes()).await;
    assert_eq!(response.status, 413);
}

#[tokio::test]
async fn it_wants_the_key_like_every_call_of_the_server_api() {
    let server = Setup::strict().start();
    let target = "/v1/users/alice/blocks";
    assert_eq!(post(server.api, target, b"").await.status, 401);
    let key = std::fs::read_to_string(server.data().join("api-key")).unwrap();
    let bearer = format!("Bearer {}", key.trim());
    let response = request(server.api, "POST", target, &[("Authorization", &bearer)], b"").await;
    assert_eq!(response.status, 200, "{}", response.text());
}
