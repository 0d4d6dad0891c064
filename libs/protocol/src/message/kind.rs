//! The kinds of rows in a conversation that are no messages: a recall, and the events of a group.
//!
//! They take a seq and go into inboxes like messages, so that a device that was away hears of them; they are not
//! counted as unread.

/// A message was recalled.
pub const RECALLED: &str = "recalled";
/// The group was made; `users` are its first members.
pub const CREATED: &str = "created";
/// `users` were let in by `by`.
pub const INVITED: &str = "invited";
/// `users` came in by themselves.
pub const JOINED: &str = "joined";
/// `users` went.
pub const LEFT: &str = "left";
/// `users` were put out by `by`.
pub const REMOVED: &str = "removed";
/// The group has ended.
pub const DISMISSED: &str = "dismissed";
/// Name, picture, announcement or rules are others.
pub const UPDATED: &str = "updated";
/// `users` have the role `role`.
pub const ROLE: &str = "role";
/// `users`, one, is the owner.
pub const TRANSFERRED: &str = "transferred";
/// `users` may not write.
pub const MUTED: &str = "muted";
/// `users` may write again.
pub const UNMUTED: &str = "unmuted";
/// Nobody but owner and admins may write.
pub const ALL_MUTED: &str = "allMuted";
/// Everybody may write again.
pub const ALL_UNMUTED: &str = "allUnmuted";
/// The group is a super group from the next row on.
pub const CONVERTED: &str = "converted";
