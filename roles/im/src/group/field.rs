//! The fields of requests about groups: what they may say, and the words for it.

use std::collections::HashSet;

use backends::store::{HistoryRule, JoinRule, Role};
use contracts::{Error, Result};
use protocol::limits::{
    GROUP_ANNOUNCEMENT_CHARACTERS_MAX, GROUP_NAME_CHARACTERS_MAX, GROUP_REQUEST_CHARACTERS_MAX,
    MEDIA_FIELD_BYTES_MAX, USERS_PER_REQUEST_MAX,
};
use protocol::{Code, GroupId, Identifier, UserId};

use crate::failure::refused_id;

/// A refusal of what a field says.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::refused(Code::InvalidArgument, message)
}

/// The group that a request names.
pub(super) fn group(text: &str) -> Result<GroupId> {
    GroupId::new(text).map_err(refused_id("group"))
}

/// The user that a request names.
pub(super) fn user(text: &str) -> Result<UserId> {
    UserId::new(text).map_err(refused_id("user"))
}

/// The users that a request names, each once, in their order; there may be none.
pub(super) fn users(field: &'static str, texts: &[String]) -> Result<Vec<UserId>> {
    let count = texts.len();
    if count > USERS_PER_REQUEST_MAX {
        return Err(invalid(format!("{field} names {count} users: give up to {USERS_PER_REQUEST_MAX}")));
    }
    let mut known = HashSet::with_capacity(count);
    let mut users = Vec::with_capacity(count);
    for text in texts {
        let user = UserId::new(text).map_err(refused_id(field))?;
        if known.insert(user.clone()) {
            users.push(user);
        }
    }
    Ok(users)
}

/// The users that a request must name.
pub(super) fn some_users(texts: &[String]) -> Result<Vec<UserId>> {
    match users("users", texts)? {
        users if users.is_empty() => Err(invalid("users is empty: name at least one")),
        users => Ok(users),
    }
}

/// A group's name.
pub(super) fn name(text: &str) -> Result<String> {
    characters("name", text, GROUP_NAME_CHARACTERS_MAX)
}

/// A group's announcement.
pub(super) fn announcement(text: &str) -> Result<String> {
    characters("announcement", text, GROUP_ANNOUNCEMENT_CHARACTERS_MAX)
}

/// What somebody says who asks to be let in.
pub(super) fn request_text(text: &str) -> Result<String> {
    characters("text", text, GROUP_REQUEST_CHARACTERS_MAX)
}

/// The url of a group's picture.
pub(super) fn avatar(text: &str) -> Result<String> {
    let length_bytes = text.len();
    if length_bytes > MEDIA_FIELD_BYTES_MAX {
        let message = format!("avatar has {length_bytes} bytes: give up to {MEDIA_FIELD_BYTES_MAX}");
        return Err(Error::refused(Code::TooLarge, message));
    }
    Ok(text.to_owned())
}

fn characters(field: &str, text: &str, max: usize) -> Result<String> {
    let count = text.chars().count();
    if count > max {
        let message = format!("{field} has {count} characters: give up to {max}");
        return Err(Error::refused(Code::TooLarge, message));
    }
    Ok(text.to_owned())
}

/// Who may join; empty: nobody who is not invited.
pub(super) fn join(text: &str) -> Result<JoinRule> {
    match text {
        "" | "closed" => Ok(JoinRule::Closed),
        "approval" => Ok(JoinRule::Approval),
        "open" => Ok(JoinRule::Open),
        _ => Err(unknown_word("join", text, "open, approval or closed")),
    }
}

/// What members see from before they joined; empty: nothing.
pub(super) fn history(text: &str) -> Result<HistoryRule> {
    match text {
        "" | "joined" => Ok(HistoryRule::Joined),
        "all" => Ok(HistoryRule::All),
        _ => Err(unknown_word("history", text, "joined or all")),
    }
}

/// Whether it is a super group; empty: it is not.
pub(super) fn is_super(text: &str) -> Result<bool> {
    match text {
        "" | "group" => Ok(false),
        "super" => Ok(true),
        _ => Err(unknown_word("kind", text, "group or super")),
    }
}

/// A member's role.
pub(super) fn role(text: &str) -> Result<Role> {
    match text {
        "member" => Ok(Role::Member),
        "admin" => Ok(Role::Admin),
        "owner" => Ok(Role::Owner),
        _ => Err(unknown_word("role", text, "owner, admin or member")),
    }
}

fn unknown_word(field: &str, text: &str, words: &str) -> Error {
    let start: String = text.chars().take(32).collect();
    invalid(format!("{field} is {start:?}: give {words}"))
}

/// The word for who may join.
pub(super) fn join_word(rule: JoinRule) -> &'static str {
    match rule {
        JoinRule::Closed => "closed",
        JoinRule::Approval => "approval",
        JoinRule::Open => "open",
    }
}

/// The word for what members see.
pub(super) fn history_word(rule: HistoryRule) -> &'static str {
    match rule {
        HistoryRule::Joined => "joined",
        HistoryRule::All => "all",
    }
}

/// The word for a role.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}
