//! Every content type: it arrives as it was sent, in every kind of conversation, or is refused with its reason.

use serde_json::{Value, json};

use crate::support::chat::JsonChat;
use crate::support::server::Shared;
use crate::support::unique;

static SERVER: Shared = Shared::new();

/// One of each type, with every field.
fn contents() -> Vec<(&'static str, Value)> {
    let url = "https://example.com/1";
    vec![
        ("text", json!("雪 \"\\\n and more")),
        (
            "image",
            json!({"name": "a.png", "hash": "h", "url": url, "type": "image/png", "width": 3, "height": 2, "size": 9}),
        ),
        (
            "audio",
            json!({"name": "a.m4a", "hash": "h", "url": url, "type": "audio/mp4", "size": 9, "durationMs": 1500}),
        ),
        (
            "video",
            json!({"name": "a.mp4", "hash": "h", "url": url, "type": "video/mp4", "width": 3, "height": 2,
                   "size": 9, "durationMs": 1500, "coverUrl": url}),
        ),
        ("file", json!({"name": "a.pdf", "hash": "h", "url": url, "type": "application/pdf", "size": 9})),
        ("location", json!({"latitude": 52.5, "longitude": -13.4, "title": "here", "address": "a street 1"})),
        ("custom", json!({"type": "gift", "body": "AAH/"})),
    ]
}

#[tokio::test]
async fn what_is_sent_arrives_as_it_was_in_every_kind_of_conversation() {
    let server = SERVER.get();
    let (alice_id, bob_id) = (unique("alice"), unique("bob"));
    let mut alice = JsonChat::live(&server, &alice_id, "phone").await;
    let mut bob = JsonChat::live(&server, &bob_id, "phone").await;
    let group = alice.make_group(&[&bob_id], json!({})).await;
    let super_group = alice.make_group(&[&bob_id], json!({"kind": "super"})).await;
    for to in [json!({"user": bob_id}), json!({"group": group}), json!({"group": super_group})] {
        for (name, content) in contents() {
            let mut request = json!({"to": to, "clientMessageId": unique("c")});
            request[name] = content.clone();
            let said = alice.ask("send", request).await;
            let (_, row) = bob.row().await;
            assert_eq!(row[name], content, "{name} to {to}");
            let asked = json!({"conversation": said["conversation"], "limit": 1});
            let history = bob.ask("history", asked).await;
            assert_eq!(history["messages"][0][name], content, "{name} in the history of {to}");
        }
    }
}

#[tokio::test]
async fn what_is_of_a_wrong_size_or_shape_is_refused_and_the_connection_stays() {
    let server = SERVER.get();
    let mut alice = JsonChat::live(&server, &unique("alice"), "phone").await;
    let (url, long) = ("https://example.com/1", "x".repeat(2_049));
    let mut cases = vec![
        ("text", json!(""), 40_000),
        ("text", json!("x".repeat(5_001)), 41_301),
        ("text", json!({"not": "words"}), 40_000),
        ("location", json!({"latitude": 90.1, "longitude": 0.0}), 40_000),
        ("location", json!({"latitude": 0.0, "longitude": -180.5}), 40_000),
        ("location", json!({"latitude": 0.0, "longitude": 0.0, "title": long}), 41_301),
        ("location", json!({"latitude": 0.0, "longitude": 0.0, "address": long}), 41_301),
        ("custom", json!({"type": "", "body": ""}), 40_000),
        ("custom", json!({"type": "x".repeat(65), "body": ""}), 40_000),
        ("custom", json!({"type": "gift", "body": "not base64!"}), 40_000),
        ("video", json!({"url": url, "coverUrl": long}), 41_301),
        ("image", json!({"url": url, "width": -1}), 40_000),
        ("dance", json!({"url": url}), 40_000),
    ];
    for name in ["image", "audio", "video", "file"] {
        cases.push((name, json!({"name": "no url"}), 40_000));
        for field in ["url", "name", "hash", "type"] {
            let mut content = json!({"url": url});
            content[field] = json!(long);
            cases.push((name, content, 41_301));
        }
    }
    let bob = unique("bob");
    for (name, content, number) in cases {
        let mut request = json!({"to": {"user": bob}, "clientMessageId": unique("c")});
        request[name] = content.clone();
        let error = alice.refused("send", request).await;
        assert_eq!(error["number"], number, "{name} {content}: {error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let group = alice.make_group(&[], json!({})).await;
    let empty = json!({"to": {"group": group}, "clientMessageId": unique("c"), "text": ""});
    assert_eq!(alice.refused("send", empty).await["number"], 40_000);
    assert_eq!(alice.say(&bob, "still here").await["seq"], 1, "what was refused took no seq");
}
