//! Which reply answers which request.

use protocol::client;
use protocol::codec::ReplyKind;

use crate::Error;

/// The answer to one kind of request.
pub trait Answer: Sized {
    /// Takes the reply if it is of this kind.
    fn take(reply: ReplyKind) -> Option<Self>;
}

/// Whatever the reply is.
impl Answer for ReplyKind {
    fn take(reply: ReplyKind) -> Option<Self> {
        Some(reply)
    }
}

macro_rules! answers {
    ($($kind:ident => $answer:ident),*) => {
        $(
            impl Answer for client::$answer {
                fn take(reply: ReplyKind) -> Option<Self> {
                    match reply {
                        ReplyKind::$kind(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )*
    };
}

answers!(
    Auth => AuthReply,
    Heartbeat => HeartbeatReply,
    Send => SendReply,
    Ack => AckReply,
    Sync => SyncReply,
    Join => JoinReply,
    Leave => LeaveReply,
    GroupCreate => GroupCreateReply,
    GroupInvite => GroupInviteReply,
    GroupJoin => GroupJoinReply,
    GroupLeave => GroupLeaveReply,
    GroupRemove => GroupRemoveReply,
    GroupDismiss => GroupDismissReply,
    GroupUpdate => GroupUpdateReply,
    GroupRole => GroupRoleReply,
    GroupMute => GroupMuteReply,
    GroupInfo => GroupInfoReply,
    GroupMembers => GroupMembersReply,
    GroupRequests => GroupRequestsReply,
    GroupAnswer => GroupAnswerReply,
    GroupTops => GroupTopsReply,
    SyncGroups => SyncGroupsReply,
    Read => ReadReply,
    Readers => ReadersReply,
    Recall => RecallReply,
    Typing => TypingReply,
    Presence => PresenceReply,
    Watch => WatchReply,
    Unwatch => UnwatchReply,
    Conversations => ConversationsReply,
    ConversationUpdate => ConversationUpdateReply,
    History => HistoryReply,
    Block => BlockReply,
    Unblock => UnblockReply,
    Blocks => BlocksReply
);

/// The answer, or why there is none.
pub(crate) fn expect<T: Answer>(reply: ReplyKind) -> Result<T, Error> {
    if let ReplyKind::Error(refusal) = reply {
        return Err(Error::Refused(refusal));
    }
    T::take(reply).ok_or_else(|| Error::Protocol("the reply is not of its request's kind".to_owned()))
}
