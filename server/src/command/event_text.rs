//! What a client was told, as a line for people or for programs.

use anser_client::{Content, Event};
use protocol::client::{self, Push, RoomMessage, target};
use protocol::codec;
use protocol::message::kind;

use super::output::printable;

/// The push as the JSON of the wire; `None` for what is no push.
pub(crate) fn json(event: &Event) -> Option<String> {
    let push = match event.clone() {
        Event::Message(message) => codec::Event::Message(message),
        Event::Recalled(recalled) => codec::Event::Recalled(recalled),
        Event::GroupEvent(event) => codec::Event::GroupEvent(event),
        Event::Receipt(receipt) => codec::Event::Receipt(receipt),
        Event::Typing(typing) => codec::Event::Typing(typing),
        Event::Presence(presence) => codec::Event::Presence(presence),
        Event::Conversation(conversation) => codec::Event::Conversation(conversation),
        Event::GroupRequest(request) => codec::Event::GroupRequest(request),
        Event::Room(message) => codec::Event::Room(message),
        Event::Push(push) => codec::Event::Push(push),
        Event::SyncDone(_)
        | Event::SuperGroupsDone(_)
        | Event::Gap(_)
        | Event::Kicked(_)
        | Event::State(_) => return None,
    };
    serde_json::to_string(&Push { event: Some(push) }).ok()
}

/// The event as a line for people, beginning with its kind; `None` for what says how the connection is doing.
pub(crate) fn line(event: &Event, user: &str) -> Option<String> {
    Some(match event {
        Event::Message(message) => format!("message {}", row(message, user, None)),
        Event::Recalled(_) | Event::GroupEvent(_) => format!("event {}", control(event, None)?),
        Event::Receipt(receipt) => format!("receipt {}", self::receipt(receipt)),
        Event::Typing(typing) => {
            format!("typing {} in {}", printable(&typing.user), printable(&typing.conversation))
        }
        Event::Presence(presence) => format!("presence {}", self::presence(presence)),
        Event::Conversation(conversation) => format!("conversation {}", self::conversation(conversation)),
        Event::GroupRequest(request) => format!(
            "request {} asks to be let into {}: {}",
            printable(&request.user),
            printable(&request.group),
            printable(&request.text)
        ),
        Event::Room(message) => format!("room {} {}", printable(&message.room), room_message(message)),
        Event::Push(push) => format!("push {}: {}", push.op, bytes(&push.body)),
        Event::SyncDone(_)
        | Event::SuperGroupsDone(_)
        | Event::Gap(_)
        | Event::Kicked(_)
        | Event::State(_) => return None,
    })
}

/// `[7] bob: hi`, in a group `[team 7] bob: hi`; a message that the user sent to somebody else from another device
/// names both. The name of the group that is talked in, or of the user who is talked to, is left out.
pub(crate) fn row(message: &client::Message, user: &str, with: Option<&str>) -> String {
    let group = message.group.as_deref().filter(|group| with != Some(group));
    let place = match group {
        Some(group) => format!("[{} {}]", printable(group), message.seq),
        None => format!("[{}]", message.seq),
    };
    if message.kind.is_some() {
        return format!("{place} {}", what_changed(message));
    }
    let sender = printable(&message.sender);
    let to = match message.to.as_ref().and_then(|to| to.target.as_ref()) {
        Some(target::Target::User(to)) if message.sender == user && with != Some(to) => {
            format!(" to {}", printable(to))
        }
        _ => String::new(),
    };
    let answers = message.reply_to.map_or_else(String::new, |seq| format!(" (answers {seq})"));
    let is_meant = message.mention_all == Some(true) || message.mentions.iter().any(|name| name == user);
    let mention = if is_meant { " (means you)" } else { "" };
    let content = match message.recalled {
        Some(true) => "(recalled)".to_owned(),
        _ => content(message.content.clone().map(Content::from)),
    };
    format!("{place} {sender}{to}{answers}{mention}: {content}")
}

/// `[team 9] bob has recalled 7`, `[team 10] bob has let in carol`; the name of the group that is talked in is left
/// out.
pub(crate) fn control(event: &Event, with: Option<&str>) -> Option<String> {
    let event = match event.clone() {
        Event::Recalled(recalled) => codec::Event::Recalled(recalled),
        Event::GroupEvent(event) => codec::Event::GroupEvent(event),
        _ => return None,
    };
    codec::row_of_event(event).map(|row| self::row(&row, "", with))
}

fn what_changed(row: &client::Message) -> String {
    let by = printable(row.by.as_deref().unwrap_or(&row.sender));
    let users = names(&row.users);
    match row.kind.as_deref().unwrap_or_default() {
        kind::RECALLED => format!("{by} has recalled {}", row.target.unwrap_or(0)),
        kind::CREATED => format!("{by} has made the group with {users}"),
        kind::INVITED => format!("{by} has let in {users}"),
        kind::JOINED => format!("{users} came in"),
        kind::LEFT => format!("{users} went"),
        kind::REMOVED => format!("{by} has put out {users}"),
        kind::DISMISSED => format!("{by} has ended the group"),
        kind::UPDATED => format!("{by} has changed what the group is called or how it works"),
        kind::ROLE => format!("{by} has made {users} {}", printable(row.role.as_deref().unwrap_or("member"))),
        kind::TRANSFERRED => format!("{by} has handed the group to {users}"),
        kind::MUTED => format!("{by} has muted {users}"),
        kind::UNMUTED => format!("{by} lets {users} write again"),
        kind::ALL_MUTED => format!("{by} has muted everybody without a role"),
        kind::ALL_UNMUTED => format!("{by} lets everybody write again"),
        kind::CONVERTED => "the group is a super group from here on".to_owned(),
        other => format!("{by}: {} {users}", printable(other)),
    }
}

/// Users by name; of many the first ones.
fn names(users: &[String]) -> String {
    const NAMES_MAX: usize = 10;
    let mut text: Vec<String> = users.iter().take(NAMES_MAX).map(|user| printable(user)).collect();
    if users.len() > NAMES_MAX {
        text.push(format!("{} more", users.len() - NAMES_MAX));
    }
    text.join(", ")
}

/// `bob has read single:5:alice:bob up to 7`.
pub(crate) fn receipt(receipt: &client::Receipt) -> String {
    let (user, conversation) = (printable(&receipt.user), printable(&receipt.conversation));
    match (receipt.read, receipt.delivered) {
        (Some(seq), _) => format!("{user} has read {conversation} up to {seq}"),
        (None, seq) => format!("{user} has received {conversation} up to {}", seq.unwrap_or(0)),
    }
}

fn presence(presence: &client::PresencePush) -> String {
    let user = printable(&presence.user);
    if presence.online { format!("{user} is there") } else { format!("{user} is away") }
}

fn conversation(conversation: &client::Conversation) -> String {
    let mut text = printable(&conversation.conversation);
    if let Some(left) = conversation.left {
        text.push_str(&format!(", left at {left}"));
    }
    text.push_str(&format!(
        ", top {}, read {}, unread {}",
        conversation.top, conversation.read_up_to, conversation.unread
    ));
    for (is_so, word) in [
        (conversation.mentioned, "mentioned"),
        (conversation.pinned, "pinned"),
        (conversation.muted, "muted"),
    ] {
        if is_so {
            text.push_str(", ");
            text.push_str(word);
        }
    }
    text
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
    let media = |noun: &str, url: &str| format!("({noun} {})", printable(url));
    match content {
        Some(Content::Text(text)) => printable(&text),
        Some(Content::Image(image)) => media("image", &image.url),
        Some(Content::Audio(audio)) => media("audio", &audio.url),
        Some(Content::Video(video)) => media("video", &video.url),
        Some(Content::File(file)) => media("file", &file.url),
        Some(Content::Location(place)) => {
            format!("(location {} {} {})", place.latitude, place.longitude, printable(&place.title))
        }
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
            seq: 7,
            sender: sender.to_owned(),
            to: Some(client::Target { target: Some(target::Target::User(to.to_owned())) }),
            content: Some(client::message::Content::Text("hi".to_owned())),
            ..client::Message::default()
        }
    }

    #[test]
    fn a_line_names_who_speaks_and_to_whom_where_that_is_not_clear() {
        assert_eq!(row(&stored("bob", "alice"), "alice", Some("bob")), "[7] bob: hi");
        assert_eq!(row(&stored("alice", "bob"), "alice", Some("bob")), "[7] alice: hi");
        assert_eq!(row(&stored("alice", "carol"), "alice", Some("bob")), "[7] alice to carol: hi");
    }

    #[test]
    fn a_group_is_named_where_it_is_not_the_one_that_is_talked_in() {
        let message = client::Message {
            to: None,
            group: Some("team".to_owned()),
            reply_to: Some(3),
            mentions: vec!["alice".to_owned()],
            ..stored("bob", "")
        };
        assert_eq!(row(&message, "alice", Some("team")), "[7] bob (answers 3) (means you): hi");
        assert_eq!(row(&message, "carol", None), "[team 7] bob (answers 3): hi");
        let recalled = client::Message { recalled: Some(true), content: None, ..message };
        assert_eq!(row(&recalled, "carol", Some("team")), "[7] bob (answers 3): (recalled)");
    }

    #[test]
    fn what_changed_in_a_group_is_said_in_words() {
        let event = |kind: &str| {
            Event::GroupEvent(client::GroupEvent {
                seq: 4,
                group: "team".to_owned(),
                kind: kind.to_owned(),
                by: "bob".to_owned(),
                users: (0..12).map(|number| format!("u{number}")).collect(),
                ..client::GroupEvent::default()
            })
        };
        let line = line(&event(kind::INVITED), "alice").unwrap();
        assert_eq!(line, "event [team 4] bob has let in u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, 2 more");
        let json = json(&event(kind::CONVERTED)).unwrap();
        assert!(json.starts_with(r#"{"groupEvent":{"#), "{json}");
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
