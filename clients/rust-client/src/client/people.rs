//! Other people: whether they are there, and who may write to this user.

use super::requests;

requests! {
    /// Asks which of these users are there, and on which devices.
    presence(users: Vec<String>) => Presence -> PresenceReply;
    /// Asks to be told when one of these users comes or goes, and again after every reconnect, when those who
    /// came or went meanwhile are told too.
    watch(users: Vec<String>) => Watch -> WatchReply;
    /// Asks to be told no more of these users; of nobody, where the list is empty.
    unwatch(users: Vec<String>) => Unwatch -> UnwatchReply;
    /// Takes no more messages from a user.
    block(user: impl Into<String>) => Block -> BlockReply;
    /// Takes messages from a user again.
    unblock(user: impl Into<String>) => Unblock -> UnblockReply;
    /// Asks whom this user has blocked.
    blocks() => Blocks -> BlocksReply;
}
