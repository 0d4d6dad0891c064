//! People: who is there, and who may write to a user.

use anser_client::RequestKind;
use clap::Args;
use protocol::client;

use super::Question;
use crate::command::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Presence {
    /// Of whom to know it.
    #[arg(required = true)]
    users: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Block {
    /// Who.
    user: String,
}

#[derive(Debug, Args)]
pub(crate) struct Unblock {
    /// Who.
    user: String,
}

#[derive(Debug, Args)]
pub(crate) struct Blocks {}

impl Question for Presence {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        Ok(RequestKind::Presence(client::Presence { users: self.users }))
    }
}

impl Question for Block {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        Ok(RequestKind::Block(client::Block { user: self.user }))
    }
}

impl Question for Unblock {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        Ok(RequestKind::Unblock(client::Unblock { user: self.user }))
    }
}

impl Question for Blocks {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        Ok(RequestKind::Blocks(client::Blocks {}))
    }
}
