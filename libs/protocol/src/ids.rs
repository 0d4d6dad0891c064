//! Who, which device, which connection, which process, which room, which conversation.
//!
//! Ids of users, devices and rooms are chosen by the business. They are compared byte by byte: no case
//! folding, no normalization, no trimming.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::ID_BYTES_MAX;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has no bytes.
    #[error("{noun} id is empty: give 1 to {ID_BYTES_MAX} bytes")]
    Empty {
        /// What the id names.
        noun: &'static str,
    },
    /// It has more bytes than [`ID_BYTES_MAX`].
    #[error("{noun} id has {length_bytes} bytes: give 1 to {ID_BYTES_MAX}")]
    TooLong {
        /// What the id names.
        noun: &'static str,
        /// How long it is.
        length_bytes: usize,
    },
    /// It has a control character.
    #[error("{noun} id has a control character at byte {position}")]
    ControlCharacter {
        /// What the id names.
        noun: &'static str,
        /// Where the character is.
        position: usize,
    },
    /// It is goim's number of a client that said nobody.
    #[error("user id \"0\" is goim's number for nobody: choose another")]
    Nobody,
}

fn check(noun: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { noun });
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { noun, length_bytes: text.len() });
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((position, _)) => Err(IdError::ControlCharacter { noun, position }),
        None => Ok(()),
    }
}

/// An id that the business chose.
pub trait Identifier: Sized {
    /// Checks the text and takes it as an id.
    ///
    /// # Errors
    /// [`IdError`] names what is wrong with it.
    fn new(text: &str) -> Result<Self, IdError>;

    /// The id as it was given.
    fn as_str(&self) -> &str;
}

macro_rules! identifier {
    ($(#[$documentation:meta])* $name:ident, $noun:literal) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl Identifier for $name {
            fn new(text: &str) -> Result<Self, IdError> {
                check($noun, text)?;
                $name::check_meaning(text)?;
                Ok(Self(text.into()))
            }

            fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

identifier!(
    /// A user, named by the business.
    UserId,
    "user"
);
identifier!(
    /// One of a user's devices, named by the client.
    DeviceId,
    "device"
);
identifier!(
    /// A group or super group.
    GroupId,
    "group"
);
identifier!(
    /// A room's key: goim's `type://id`, or any text an Anser client joins.
    RoomId,
    "room"
);

impl UserId {
    fn check_meaning(text: &str) -> Result<(), IdError> {
        if text == "0" { Err(IdError::Nobody) } else { Ok(()) }
    }

    /// The user that goim's `mid` names: its canonical decimal form; `None` for 0, which is nobody.
    #[must_use]
    pub fn from_mid(mid: i64) -> Option<Self> {
        (mid > 0).then(|| Self(mid.to_string().into()))
    }
}

impl DeviceId {
    fn check_meaning(_text: &str) -> Result<(), IdError> {
        Ok(())
    }
}

impl GroupId {
    fn check_meaning(_text: &str) -> Result<(), IdError> {
        Ok(())
    }
}

/// What the keys of the server's own rooms begin with: no id has a control character, so nobody can name one.
const OWN_ROOM: char = '\u{1}';

impl RoomId {
    /// The room of a super group: the server alone says who is in it.
    #[must_use]
    pub fn of_group(group: &GroupId) -> Self {
        Self(format!("{OWN_ROOM}group:{group}").into())
    }

    /// The room of those who watch whether a user is there.
    #[must_use]
    pub fn of_watchers(user: &UserId) -> Self {
        Self(format!("{OWN_ROOM}watch:{user}").into())
    }

    /// Tells whether it is one of the server's own rooms, which no client, room key or call of the server API can
    /// name.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0.starts_with(OWN_ROOM)
    }

    /// Takes a room's key from inside the system: one that [`Identifier::new`] takes, or one of the server's own.
    ///
    /// # Errors
    /// As [`Identifier::new`].
    pub fn from_record(text: &str) -> Result<Self, IdError> {
        let own = text.strip_prefix(OWN_ROOM).and_then(|own| own.split_once(':'));
        match own {
            Some(("group", group)) => GroupId::new(group).map(|group| Self::of_group(&group)),
            Some(("watch", user)) => UserId::new(user).map(|user| Self::of_watchers(&user)),
            _ => Self::new(text),
        }
    }

    fn check_meaning(_text: &str) -> Result<(), IdError> {
        Ok(())
    }

    /// The key that goim's server API makes of a type and a room.
    ///
    /// # Errors
    /// As [`Identifier::new`].
    pub fn from_type_and_room(room_type: &str, room: &str) -> Result<Self, IdError> {
        Self::new(&format!("{room_type}://{room}"))
    }

    /// The type and the room of a key `type://room`.
    #[must_use]
    pub fn type_and_room(&self) -> Option<(&str, &str)> {
        self.0.split_once("://")
    }
}

/// One connection of a client, allotted by the router; unique while its router's epoch lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// One process of Anser, named anew each time it starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub Arc<str>);

impl fmt::Display for ServerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the conversation of a group begins with.
const GROUP: &str = "group:";

/// The ordered messages of a single chat or a group.
///
/// A single chat is its two users, smaller first, the first one length-prefixed, so that no two pairs share
/// a conversation whatever characters their ids have.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId(Arc<str>);

impl ConversationId {
    /// The conversation of two users; of one user with itself when both are the same.
    #[must_use]
    pub fn single(one: &UserId, other: &UserId) -> Self {
        let (smaller, larger) = if one <= other { (one, other) } else { (other, one) };
        Self(format!("single:{}:{smaller}:{larger}", smaller.as_str().len()).into())
    }

    /// The conversation of a group or super group.
    #[must_use]
    pub fn group(group: &GroupId) -> Self {
        Self(format!("{GROUP}{group}").into())
    }

    /// The group whose conversation it is; `None` for a single chat.
    #[must_use]
    pub fn group_id(&self) -> Option<GroupId> {
        GroupId::new(self.0.strip_prefix(GROUP)?).ok()
    }

    /// Takes a conversation as it was written by [`Self::as_str`], and in no other form, so that one chat has one
    /// id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let candidate = Self(text.into());
        if candidate.group_id().is_some() {
            return Some(candidate);
        }
        let (smaller, larger) = candidate.users()?;
        (Self::single(&smaller, &larger) == candidate).then_some(candidate)
    }

    /// The other user of a single chat; the user itself where it chats with itself. `None` where the user is not
    /// one of the two.
    #[must_use]
    pub fn peer_of(&self, user: &UserId) -> Option<UserId> {
        let (smaller, larger) = self.users()?;
        if smaller == *user { Some(larger) } else { (larger == *user).then_some(smaller) }
    }

    /// The two users of a single chat, smaller first.
    #[must_use]
    pub fn users(&self) -> Option<(UserId, UserId)> {
        let (length, rest) = self.0.strip_prefix("single:")?.split_once(':')?;
        let length: usize = length.parse().ok()?;
        let smaller = UserId::new(rest.get(..length)?).ok()?;
        let larger = UserId::new(rest.get(length..)?.strip_prefix(':')?).ok()?;
        (smaller <= larger).then_some((smaller, larger))
    }

    /// The conversation as text: in messages, logs and keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(text: &str) -> UserId {
        UserId::new(text).unwrap()
    }

    #[test]
    fn ids_are_compared_byte_by_byte() {
        assert_ne!(user("Alice"), user("alice"));
        assert_ne!(user("alice "), user("alice"));
        assert_ne!(user("\u{e9}"), user("e\u{301}"));
    }

    #[test]
    fn a_bad_id_is_refused_with_its_reason() {
        assert_eq!(UserId::new(""), Err(IdError::Empty { noun: "user" }));
        assert_eq!(UserId::new("0"), Err(IdError::Nobody));
        assert_eq!(
            DeviceId::new(&"x".repeat(65)),
            Err(IdError::TooLong { noun: "device", length_bytes: 65 })
        );
        assert_eq!(RoomId::new("a\nb"), Err(IdError::ControlCharacter { noun: "room", position: 1 }));
        assert!(DeviceId::new(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn a_mid_is_a_user_in_canonical_decimal() {
        assert_eq!(UserId::from_mid(42), Some(user("42")));
        assert_eq!(UserId::from_mid(0), None);
        assert_eq!(UserId::from_mid(-1), None);
    }

    #[test]
    fn colons_in_ids_never_make_two_chats_one() {
        let one = ConversationId::single(&user("a:b"), &user("c"));
        let other = ConversationId::single(&user("a"), &user("b:c"));
        assert_ne!(one, other);
        assert_eq!(one.users(), Some((user("a:b"), user("c"))));
        for other_form in ["single:+1:a:b", "single:01:a:b", "single:1:b:a"] {
            assert_eq!(ConversationId::parse(other_form), None, "{other_form}");
        }
    }

    #[test]
    fn a_group_has_a_conversation_that_is_no_single_chat() {
        let group = GroupId::new("single:1:a:b").unwrap();
        let conversation = ConversationId::group(&group);
        assert_eq!(ConversationId::parse(conversation.as_str()), Some(conversation.clone()));
        assert_eq!((conversation.group_id(), conversation.users()), (Some(group), None));
        assert_eq!(ConversationId::parse("group:"), None);
        assert_eq!(ConversationId::single(&user("a"), &user("b")).group_id(), None);
    }

    #[test]
    fn nobody_can_name_a_room_of_the_servers_own() {
        let group = GroupId::new(&"g".repeat(64)).unwrap();
        let room = RoomId::of_group(&group);
        assert!(RoomId::new(room.as_str()).is_err());
        assert_eq!(RoomId::from_record(room.as_str()), Ok(room.clone()));
        assert!(room.is_own() && !RoomId::new("group:g").unwrap().is_own());
        assert!(RoomId::from_record("\u{1}group:").is_err());
        assert!(RoomId::from_record("\u{1}other:g").is_err());
    }

    proptest! {
        #[test]
        fn a_conversation_is_parsed_as_it_was_written(one in "[^\\p{Cc}]{1,16}", other in "[^\\p{Cc}]{1,16}") {
            prop_assume!(one != "0" && other != "0");
            let (one, other) = (user(&one), user(&other));
            let conversation = ConversationId::single(&one, &other);
            prop_assert_eq!(&conversation, &ConversationId::single(&other, &one));
            let parsed = ConversationId::parse(conversation.as_str()).unwrap();
            let expected = (one.clone().min(other.clone()), one.max(other));
            prop_assert_eq!(parsed.users(), Some(expected));
        }

        #[test]
        fn parsing_never_panics(text in any::<String>()) {
            let _ = ConversationId::parse(&text);
        }
    }
}
