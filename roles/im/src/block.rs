//! Whom a user has blocked: who is blocked can write to this user no more.
//!
//! The list is kept here; that a message is refused is decided by the store in the commit that would write it, so
//! that nothing slips through between the two.

use std::sync::Arc;

use backends::store::Store;
use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::client::{Block, BlockReply, Blocks as Request, BlocksReply, Unblock, UnblockReply};
use protocol::limits::BLOCKED_USERS_MAX;
use protocol::{Code, Identifier, UserId};

use crate::failure;

/// Keeps block lists.
pub(crate) struct Blocks {
    store: Arc<dyn Store>,
}

impl Blocks {
    /// Keeps them in this store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Blocks a user; one who is blocked already stays so.
    pub(crate) async fn block(&self, asker: &Asker, request: Block) -> Result<BlockReply> {
        let other = UserId::new(&request.user).map_err(failure::refused_id("user"))?;
        if other == asker.user {
            let message = format!("user {other} cannot block itself: name another user");
            return Err(Error::refused(Code::InvalidArgument, message));
        }
        let set = self.store.set_blocked(&asker.user, &other, true, BLOCKED_USERS_MAX).await;
        if !set.map_err(failure::of_backend)? {
            let message = format!("{BLOCKED_USERS_MAX} users are blocked already: unblock one first");
            return Err(Error::refused(Code::TooLarge, message));
        }
        Ok(BlockReply {})
    }

    /// Blocks a user no more; one who is not blocked stays so.
    pub(crate) async fn unblock(&self, asker: &Asker, request: Unblock) -> Result<UnblockReply> {
        let other = UserId::new(&request.user).map_err(failure::refused_id("user"))?;
        let set = self.store.set_blocked(&asker.user, &other, false, BLOCKED_USERS_MAX).await;
        set.map_err(failure::of_backend)?;
        Ok(UnblockReply {})
    }

    /// Answers whom the user has blocked.
    pub(crate) async fn blocks(&self, asker: &Asker, _: Request) -> Result<BlocksReply> {
        let users = self.store.blocked(&asker.user).await.map_err(failure::of_backend)?;
        Ok(BlocksReply { users: users.iter().map(UserId::to_string).collect() })
    }
}
