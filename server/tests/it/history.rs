//! History: a conversation read backwards and forwards, by seq and by time.

use serde_json::{Value, json};

use crate::support::chat::JsonChat;
use crate::support::server::{Server, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

/// A single chat of 50 messages, a client of one of its users, the conversation, and when each was sent.
async fn talked(server: &Server) -> (JsonChat, String, Vec<u64>) {
    let mut alice = JsonChat::live(server, &unique("alice"), "phone").await;
    let bob = unique("bob");
    let (mut conversation, mut times) = (String::new(), Vec::new());
    for number in 1..=50 {
        let said = alice.say(&bob, &number.to_string()).await;
        said["conversation"].as_str().unwrap().clone_into(&mut conversation);
        times.push(said["timeMs"].as_u64().unwrap());
    }
    (alice, conversation, times)
}

/// The seqs of a page, and whether there is more.
async fn page(chat: &mut JsonChat, conversation: &str, mut fields: Value) -> (Vec<u64>, bool) {
    fields["conversation"] = json!(conversation);
    let page = chat.ask("history", fields).await;
    let rows = page["messages"].as_array().unwrap();
    for row in rows {
        assert_eq!((&row["text"], row.get("inboxSeq")), (&json!(row["seq"].to_string()), None), "{row}");
    }
    (rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect(), page["more"] == true)
}

#[tokio::test]
async fn a_conversation_is_read_from_either_end_by_seq() {
    let server = SERVER.get();
    let (mut chat, conversation, _) = talked(&server).await;
    let cases = [
        (json!({"limit": 3}), 48..=50, true),
        (json!({"before": 48, "limit": 10}), 38..=47, true),
        (json!({"before": 4, "limit": 10}), 1..=3, false),
        (json!({"before": 4, "limit": 3}), 1..=3, false),
        (json!({"before": 1_000_000, "limit": 2}), 49..=50, true),
        (json!({"after": 0, "limit": 10}), 1..=10, true),
        (json!({"after": 45, "limit": 10}), 46..=50, false),
        (json!({"after": 45, "limit": 5}), 46..=50, false),
        (json!({}), 1..=50, false),
    ];
    for (fields, expected, more) in cases {
        let shown = fields.to_string();
        assert_eq!(page(&mut chat, &conversation, fields).await, (expected.collect(), more), "{shown}");
    }
    for (fields, more) in [(json!({"before": 1}), false), (json!({"after": 50}), false)] {
        assert_eq!(page(&mut chat, &conversation, fields).await, (vec![], more));
    }
}

#[tokio::test]
async fn a_conversation_is_read_from_either_end_by_time() {
    let server = SERVER.get();
    let (mut chat, conversation, times) = talked(&server).await;
    assert!(times.is_sorted());
    let at = times[24];
    let (first, last) = (
        times.iter().position(|&time| time >= at).unwrap() as u64 + 1,
        times.iter().filter(|&&time| time < at).count() as u64,
    );
    let (seqs, more) = page(&mut chat, &conversation, json!({"afterMs": at, "limit": 5})).await;
    assert_eq!((seqs, more), ((first..first + 5).collect(), true));
    let (seqs, more) = page(&mut chat, &conversation, json!({"beforeMs": at, "limit": 5})).await;
    assert_eq!((seqs, more), ((last - 4..=last).collect(), true));
    let after_all = times[49] + 1;
    assert_eq!(page(&mut chat, &conversation, json!({"afterMs": after_all})).await, (vec![], false));
    assert_eq!(page(&mut chat, &conversation, json!({"beforeMs": times[0]})).await, (vec![], false));
}

#[tokio::test]
async fn a_request_without_sense_is_refused() {
    let server = SERVER.get();
    let (mut chat, conversation, _) = talked(&server).await;
    let both = json!({"conversation": conversation, "before": 3, "after": 1});
    assert_eq!(chat.refused("history", both).await["number"], 40_000);
    for strange in ["", "nonsense", "single:1:a:b", "group:nowhere"] {
        assert_eq!(
            chat.refused("history", json!({"conversation": strange})).await["number"],
            40_400,
            "{strange}"
        );
    }
    let mut eve = JsonChat::live(&server, &unique("eve"), "phone").await;
    assert_eq!(eve.refused("history", json!({"conversation": conversation})).await["number"], 40_400);
}
