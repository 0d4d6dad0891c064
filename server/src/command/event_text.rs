//! What a client was told, as a line for people or for programs.

use anser_client::{Content, Event};
use protocol::client::{self, Push, RoomMessage, target};
use protocol::codec;

use super::output::printable;

/// The push as the JSON of the wire; `None` for what is no push.
pub(crate) fn json(event: &Event) -> Option<String> {
    let push = match event.clone() {
        Event::Message(message) => codec::Event::Message(message),
        Event::Room(message) => codec::Event::Room(message),
        Event::Push(push) => codec::Event::Push(push),
        Event::SyncDone(_) | Event::Gap(_) | Event::Kicked(_) | Event::State(_) => return None,
    };
    serde_json::to_string(&Push { event: Some(push) }).ok()
}

/// `bob: hi`; a message that the user sent to somebody else from another device names both.
pub(crate) fn message(message: &client::Message, user: &str, peer: Option<&str>) -> String {
    let content = content(message.content.clone().map(Content::from));
    let sender = printable(&message.sender);
    match message.to.as_ref().and_then(|to| to.target.as_ref()) {
        Some(target::Target::User(to)) if message.sender == user && peer != Some(to) => {
            format!("{sender} to {}: {content}", printable(to))
        }
        _ => format!("{sender}: {content}"),
    }
}

/// `bob: hi` of a member, `1000: hi` of a push through the server API.
pub(crate) fn room_message(message: &RoomMessage) -> String {
    match (&message.sender, message.op, &message.body) {
        (Some(sender), ..) => {
            format!("{}: {}", printable(sender), content(message.content.clone().map(Content::from)))
        }
        (None, op, body) => format!("{}: {}", op.unwrap_or(0), bytes(body.as_deref().unwrap_or_default())),
    }
}

/// The body of a push, as words where it is words.
pub(crate) fn bytes(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) => printable(text),
        Err(_) => format!("({} bytes that are no text)", body.len()),
    }
}

fn content(content: Option<Content>) -> String {
    match content {
        Some(Content::Text(text)) => printable(&text),
        Some(Content::Image(image)) => format!("(image {})", printable(&image.url)),
        Some(Content::Custom(custom)) => {
            format!("({}, {} bytes)", printable(&custom.r#type), custom.body.len())
        }
        None => "(a kind of message that this version does not know)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sender: &str, to: &str) -> client::Message {
        client::Message {
            sender: sender.to_owned(),
            to: Some(client::Target { target: Some(target::Target::User(to.to_owned())) }),
            content: Some(client::message::Content::Text("hi".to_owned())),
            ..client::Message::default()
        }
    }

    #[test]
    fn a_line_names_who_speaks_and_to_whom_where_that_is_not_clear() {
        assert_eq!(message(&stored("bob", "alice"), "alice", Some("bob")), "bob: hi");
        assert_eq!(message(&stored("alice", "bob"), "alice", Some("bob")), "alice: hi");
        assert_eq!(message(&stored("alice", "carol"), "alice", Some("bob")), "alice to carol: hi");
    }

    #[test]
    fn a_room_push_shows_its_operation_and_bytes_that_are_no_text_their_number() {
        let pushed = |body: &'static [u8]| RoomMessage {
            room: "live://1".to_owned(),
            op: Some(1000),
            body: Some(bytes::Bytes::from_static(body)),
            ..RoomMessage::default()
        };
        assert_eq!(room_message(&pushed(b"hi")), "1000: hi");
        assert_eq!(room_message(&pushed(&[0xff])), "1000: (1 bytes that are no text)");
        let event = Event::Room(pushed(b"hi"));
        assert_eq!(json(&event).unwrap(), r#"{"room":{"room":"live://1","op":1000,"body":"aGk="}}"#);
        assert_eq!(json(&Event::State(anser_client::State::Connecting)), None);
    }
}
