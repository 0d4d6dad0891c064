//! Values of the contracts, as they come.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protocol::client::{self, GroupTop, Message, RoomMessage};
use protocol::code::CloseCode;
use protocol::codec::{Event, ReplyKind, RequestKind};
use protocol::message::Content;
use protocol::{ConnectionId, ConversationId, DeviceId, GroupId, Identifier, RoomId, ServerId, UserId};

use crate::proxy::{
    BroadcastDelivery, Delivery, Kick, MembershipChange, Payload, Receiver, RoomDelivery, RoomPayload,
};
use crate::push::{EventPush, Membership, Outcome, StoredPush, Whereabouts};
use crate::router::{
    Devices, Handle, Located, Registered, Registration, Replaced, Report, Route, Totals, Unregistration,
};
use crate::status::CODES;
use crate::{Error, Kind};

/// Things in a list.
const LIST_MAX: usize = 4;

pub(super) fn list<T: Strategy>(of: T) -> impl Strategy<Value = Vec<T::Value>> {
    vec(of, 0..=LIST_MAX)
}

/// At least one.
pub(super) fn some<T: Strategy>(of: T) -> impl Strategy<Value = Vec<T::Value>> {
    vec(of, 1..=LIST_MAX)
}

fn id<T: Identifier + std::fmt::Debug>() -> impl Strategy<Value = T> {
    "[a-zA-Z1-9\u{e9}\u{96ea}][a-zA-Z0-9 :/._\u{e9}\u{96ea}-]{0,12}"
        .prop_map(|text| T::new(&text).expect("the pattern makes ids"))
}

pub(super) fn user() -> impl Strategy<Value = UserId> {
    id()
}

pub(super) fn device() -> impl Strategy<Value = DeviceId> {
    id()
}

pub(super) fn group() -> impl Strategy<Value = GroupId> {
    id()
}

pub(super) fn room() -> impl Strategy<Value = RoomId> {
    prop_oneof![
        id::<RoomId>(),
        group().prop_map(|group| RoomId::of_group(&group)),
        user().prop_map(|user| RoomId::of_watchers(&user)),
    ]
}

pub(super) fn server() -> impl Strategy<Value = ServerId> {
    "[a-z]{1,8}-[0-9a-f]{8}".prop_map(|text| ServerId(text.into()))
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "[ -~\u{e9}\u{96ea}\n]{0,24}"
}

pub(super) fn connection() -> impl Strategy<Value = ConnectionId> {
    any::<u64>().prop_map(ConnectionId)
}

pub(super) fn handle() -> impl Strategy<Value = Handle> {
    any::<u64>().prop_map(Handle)
}

pub(super) fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

pub(super) fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
}

pub(super) fn conversation() -> impl Strategy<Value = ConversationId> {
    prop_oneof![
        (user(), user()).prop_map(|(one, other)| ConversationId::single(&one, &other)),
        group().prop_map(|group| ConversationId::group(&group)),
    ]
}

pub(super) fn error() -> impl Strategy<Value = Error> {
    let kinds = CODES.into_iter().map(Kind::Refused);
    let kinds: Vec<Kind> = kinds.chain([Kind::Overloaded, Kind::Unavailable, Kind::Internal]).collect();
    (proptest::sample::select(kinds), text()).prop_map(|(kind, message)| Error::new(kind, message))
}

fn content() -> impl Strategy<Value = Option<Content>> {
    let degrees = -90.0..90.0f64;
    option::of(prop_oneof![
        text().prop_map(Content::Text),
        (text(), bytes()).prop_map(|(name, body)| Content::Custom(client::Custom { r#type: name, body })),
        (degrees.clone(), degrees, text()).prop_map(|(latitude, longitude, title)| {
            Content::Location(client::Location { latitude, longitude, title, address: String::new() })
        }),
    ])
}

fn target() -> impl Strategy<Value = client::Target> {
    use client::target::Target;
    let target = prop_oneof![
        text().prop_map(Target::User),
        text().prop_map(Target::Group),
        text().prop_map(Target::Room),
    ];
    option::of(target).prop_map(|target| client::Target { target })
}

/// Without an inbox seq.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let head = (text(), any::<u64>(), any::<u64>(), text(), option::of(target()), text(), any::<u64>());
    let rest = (content(), list(text()), option::of(any::<bool>()), option::of(text()), list(text()));
    (head, rest).prop_map(|(head, (content, mentions, recalled, kind, users))| {
        let (conversation, seq, message_id, sender, to, client_message_id, time_ms) = head;
        Message {
            conversation,
            seq,
            message_id,
            sender,
            to,
            client_message_id,
            time_ms,
            content: content.map(Into::into),
            mentions,
            recalled,
            kind,
            users,
            ..Message::default()
        }
    })
}

pub(super) fn message_in_inbox() -> impl Strategy<Value = Message> {
    (any::<u64>(), message())
        .prop_map(|(inbox_seq, message)| Message { inbox_seq: Some(inbox_seq), ..message })
}

fn room_message() -> impl Strategy<Value = RoomMessage> {
    (text(), option::of(text()), option::of(any::<i32>()), option::of(bytes()), content()).prop_map(
        |(room, sender, op, body, content)| RoomMessage {
            room,
            sender,
            op,
            body,
            content: content.map(Into::into),
            ..RoomMessage::default()
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        message().prop_map(Event::Message),
        (text(), text())
            .prop_map(|(conversation, user)| { Event::Typing(client::TypingPush { conversation, user }) }),
        (text(), any::<bool>(), any::<u64>()).prop_map(|(user, online, last_seen_ms)| {
            Event::Presence(client::PresencePush { user, online, last_seen_ms })
        }),
        Just(Event::SyncDone(client::SyncDone::default())),
    ]
}

pub(super) fn send() -> impl Strategy<Value = client::Send> {
    (option::of(target()), text(), list(text()), any::<bool>(), any::<u64>(), content()).prop_map(
        |(to, client_message_id, mentions, mention_all, reply_to, content)| client::Send {
            to,
            client_message_id,
            mentions,
            mention_all,
            reply_to,
            content: content.map(Into::into),
        },
    )
}

pub(super) fn send_reply() -> impl Strategy<Value = client::SendReply> {
    (any::<u64>(), text(), any::<u64>(), option::of(any::<u64>()), any::<u64>()).prop_map(
        |(message_id, conversation, seq, inbox_seq, time_ms)| client::SendReply {
            message_id,
            conversation,
            seq,
            inbox_seq,
            time_ms,
        },
    )
}

pub(super) fn request() -> impl Strategy<Value = RequestKind> {
    prop_oneof![
        (any::<u64>(), any::<u64>(), any::<u32>())
            .prop_map(|(begin, end, limit)| RequestKind::Sync(client::Sync { begin, end, limit })),
        (text(), list(text()))
            .prop_map(|(group, users)| { RequestKind::GroupInvite(client::GroupInvite { group, users }) }),
        Just(RequestKind::Blocks(client::Blocks {})),
    ]
}

pub(super) fn reply() -> impl Strategy<Value = ReplyKind> {
    prop_oneof![
        (list(message_in_inbox()), any::<u64>(), any::<u64>())
            .prop_map(|(messages, top, next)| { ReplyKind::Sync(client::SyncReply { messages, top, next }) }),
        list(text()).prop_map(|users| ReplyKind::Blocks(client::BlocksReply { users })),
        Just(ReplyKind::Unblock(client::UnblockReply {})),
    ]
}

pub(super) fn group_top() -> impl Strategy<Value = GroupTop> {
    (text(), any::<u64>(), option::of(any::<u64>()), option::of(any::<u64>())).prop_map(
        |(conversation, top, read_up_to, joined)| GroupTop { conversation, top, read_up_to, joined },
    )
}

pub(super) fn close_code() -> impl Strategy<Value = CloseCode> {
    proptest::sample::select(CloseCode::ALL.to_vec())
}

fn route() -> impl Strategy<Value = Route> {
    (server(), connection(), handle()).prop_map(|(server, connection, handle)| Route {
        server,
        connection,
        handle,
    })
}

pub(super) fn registration() -> impl Strategy<Value = Registration> {
    let place = (server(), any::<u64>(), handle(), option::of(connection()));
    (place, option::of(user()), device(), text(), text()).prop_map(
        |((server, number, handle, connection), user, device, platform, key)| Registration {
            server,
            number,
            handle,
            user,
            device,
            platform,
            key,
            connection,
        },
    )
}

pub(super) fn registered() -> impl Strategy<Value = Registered> {
    let replaced = (route(), close_code()).prop_map(|(route, code)| Replaced { route, code });
    (connection(), text(), list(replaced)).prop_map(|(connection, key, replaced)| Registered {
        connection,
        key,
        replaced,
    })
}

pub(super) fn unregistration() -> impl Strategy<Value = Unregistration> {
    (server(), any::<u64>(), connection(), option::of(user()), text()).prop_map(
        |(server, number, connection, user, key)| Unregistration { server, number, connection, user, key },
    )
}

pub(super) fn located() -> impl Strategy<Value = Located> {
    (list(route()), list(server())).prop_map(|(routes, unannounced)| Located { routes, unannounced })
}

pub(super) fn devices() -> impl Strategy<Value = Devices> {
    (list(device()), list(server())).prop_map(|(devices, unannounced)| Devices { devices, unannounced })
}

pub(super) fn report() -> impl Strategy<Value = Report> {
    (list((room(), any::<u64>())), list(room()), any::<u64>(), any::<u64>()).prop_map(
        |(rooms, wanted, connection_count, address_count)| Report {
            rooms,
            wanted,
            connection_count,
            address_count,
        },
    )
}

pub(super) fn totals() -> impl Strategy<Value = Totals> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(connection_count, address_count)| Totals { connection_count, address_count })
}

pub(super) fn stored_push() -> impl Strategy<Value = StoredPush> {
    (user(), any::<u64>(), message(), option::of(connection())).prop_map(
        |(user, inbox_seq, message, except)| StoredPush {
            user,
            inbox_seq,
            message: Arc::new(message),
            except,
        },
    )
}

pub(super) fn event_push() -> impl Strategy<Value = EventPush> {
    (some(user()), event(), option::of(connection())).prop_map(|(users, event, except)| EventPush {
        users,
        event: Arc::new(event),
        except,
    })
}

pub(super) fn membership() -> impl Strategy<Value = Membership> {
    (user(), group(), any::<u64>(), any::<bool>()).prop_map(|(user, group, version, member)| Membership {
        user,
        group,
        version,
        member,
    })
}

pub(super) fn whereabouts() -> impl Strategy<Value = Whereabouts> {
    prop_oneof![
        list(device()).prop_map(Whereabouts::Online),
        Just(Whereabouts::Offline),
        Just(Whereabouts::Unknown),
    ]
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Queued), Just(Outcome::Offline), Just(Outcome::Unknown)]
}

pub(super) fn delivery() -> impl Strategy<Value = Delivery> {
    let receiver = (handle(), connection(), any::<u64>())
        .prop_map(|(handle, connection, inbox_seq)| Receiver { handle, connection, inbox_seq });
    let payload = prop_oneof![
        message().prop_map(|message| Payload::Stored(Arc::new(message))),
        event().prop_map(|event| Payload::Event(Arc::new(event))),
        (any::<i32>(), bytes()).prop_map(|(operation, body)| Payload::Operation { operation, body }),
    ];
    (some(receiver), payload).prop_map(|(receivers, payload)| Delivery { receivers, payload })
}

pub(super) fn room_delivery() -> impl Strategy<Value = RoomDelivery> {
    let payload = prop_oneof![
        room_message().prop_map(|message| RoomPayload::Message(Arc::new(message))),
        message().prop_map(|row| RoomPayload::Row(Arc::new(row))),
        event().prop_map(|event| RoomPayload::Event(Arc::new(event))),
        (any::<i32>(), bytes()).prop_map(|(operation, body)| RoomPayload::Operation { operation, body }),
    ];
    (room(), payload, any::<(u32, u64)>()).prop_map(|(room, payload, position)| RoomDelivery {
        room,
        payload,
        position,
    })
}

pub(super) fn broadcast() -> impl Strategy<Value = BroadcastDelivery> {
    (any::<i32>(), bytes(), any::<u32>(), any::<(u32, u64)>())
        .prop_map(|(operation, body, speed, position)| BroadcastDelivery { operation, body, speed, position })
}

pub(super) fn membership_change() -> impl Strategy<Value = MembershipChange> {
    (handle(), connection(), group(), any::<u64>(), any::<bool>()).prop_map(
        |(handle, connection, group, version, member)| MembershipChange {
            handle,
            connection,
            group,
            version,
            member,
        },
    )
}

pub(super) fn kick() -> impl Strategy<Value = Kick> {
    (handle(), connection(), close_code()).prop_map(|(handle, connection, code)| Kick {
        handle,
        connection,
        code,
    })
}
