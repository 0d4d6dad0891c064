//! Answers every request of a client that is not about its connection: which part of im does what.
//!
//! The proxy hands a request on as it came, with who asks; the server API does the same in a user's name. What may be
//! asked, and by whom, is checked by the part that carries it out. What concerns the connection itself is the
//! proxy's, and is refused here.

use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::Code;
use protocol::codec::{self, ReplyKind, RequestKind};

use crate::service::Local;

impl Local {
    /// Answers a request with the reply of its name.
    pub(crate) async fn answer(&self, asker: &Asker, request: RequestKind) -> Result<ReplyKind> {
        use RequestKind as Ask;
        match request {
            Ask::GroupCreate(_)
            | Ask::GroupInvite(_)
            | Ask::GroupJoin(_)
            | Ask::GroupLeave(_)
            | Ask::GroupRemove(_)
            | Ask::GroupDismiss(_)
            | Ask::GroupUpdate(_)
            | Ask::GroupRole(_)
            | Ask::GroupMute(_)
            | Ask::GroupInfo(_)
            | Ask::GroupMembers(_)
            | Ask::GroupRequests(_)
            | Ask::GroupAnswer(_) => self.answer_of_groups(asker, request).await,
            request => self.answer_of_conversations(asker, request).await,
        }
    }

    async fn answer_of_groups(&self, asker: &Asker, request: RequestKind) -> Result<ReplyKind> {
        use ReplyKind as Reply;
        use RequestKind as Ask;
        let groups = &self.groups;
        Ok(match request {
            Ask::GroupCreate(request) => Reply::GroupCreate(groups.create(asker, request).await?),
            Ask::GroupInvite(request) => Reply::GroupInvite(groups.invite(asker, request).await?),
            Ask::GroupJoin(request) => Reply::GroupJoin(groups.join(asker, request).await?),
            Ask::GroupLeave(request) => Reply::GroupLeave(groups.leave(asker, request).await?),
            Ask::GroupRemove(request) => Reply::GroupRemove(groups.remove(asker, request).await?),
            Ask::GroupDismiss(request) => Reply::GroupDismiss(groups.dismiss(asker, request).await?),
            Ask::GroupUpdate(request) => Reply::GroupUpdate(groups.update(asker, request).await?),
            Ask::GroupRole(request) => Reply::GroupRole(groups.role(asker, request).await?),
            Ask::GroupMute(request) => Reply::GroupMute(groups.mute(asker, request).await?),
            Ask::GroupInfo(request) => Reply::GroupInfo(groups.info(asker, request).await?),
            Ask::GroupMembers(request) => Reply::GroupMembers(groups.members(asker, request).await?),
            Ask::GroupRequests(request) => Reply::GroupRequests(groups.requests(asker, request).await?),
            Ask::GroupAnswer(request) => Reply::GroupAnswer(groups.answer(asker, request).await?),
            request => return Err(not_answered(&request)),
        })
    }

    async fn answer_of_conversations(&self, asker: &Asker, request: RequestKind) -> Result<ReplyKind> {
        use ReplyKind as Reply;
        use RequestKind as Ask;
        Ok(match request {
            Ask::Recall(request) => Reply::Recall(self.recalls.recall(asker, request).await?),
            Ask::GroupTops(request) => Reply::GroupTops(self.group_sync.group_tops(asker, request).await?),
            Ask::SyncGroups(request) => Reply::SyncGroups(self.group_sync.sync_groups(asker, request).await?),
            Ask::Read(request) => Reply::Read(self.receipts.read(asker, request).await?),
            Ask::Readers(request) => Reply::Readers(self.receipts.readers(asker, request).await?),
            Ask::Typing(request) => Reply::Typing(self.typing.typing(asker, request).await?),
            Ask::Presence(request) => Reply::Presence(self.presence.presence(asker, request).await?),
            // Who watches is kept by the proxy; here it is only where they are.
            Ask::Watch(request) => Reply::Watch(self.presence.watch(asker, request).await?),
            Ask::Conversations(request) => {
                Reply::Conversations(self.conversations.conversations(asker, request).await?)
            }
            Ask::ConversationUpdate(request) => {
                Reply::ConversationUpdate(self.conversations.conversation_update(asker, request).await?)
            }
            Ask::History(request) => Reply::History(self.histories.history(asker, request).await?),
            Ask::Block(request) => Reply::Block(self.blocks.block(asker, request).await?),
            Ask::Unblock(request) => Reply::Unblock(self.blocks.unblock(asker, request).await?),
            Ask::Blocks(request) => Reply::Blocks(self.blocks.blocks(asker, request).await?),
            request => return Err(not_answered(&request)),
        })
    }
}

fn not_answered(request: &RequestKind) -> Error {
    let name = codec::request_name(request);
    Error::refused(Code::UnknownRequest, format!("{name} is not answered by im: it concerns a connection"))
}
