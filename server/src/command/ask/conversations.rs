//! Conversations: which there are, what was said in them, what was read, and taking a message back.

use anser_client::RequestKind;
use clap::Args;
use protocol::client;

use super::{Question, Where};
use crate::command::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Conversations {
    /// Only those that have changed since this version, which an answer has said.
    #[arg(long, default_value_t = 0)]
    version: u64,
    /// How many at most; 0: the server's own limit.
    #[arg(long, default_value_t = 0)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    from: From,
    /// How many messages at most; 0: the server's own limit.
    #[arg(long, default_value_t = 0)]
    limit: u32,
}

#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
struct From {
    /// The last ones below this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// The first ones above this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// The last ones before this time, in milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    before_ms: Option<u64>,
    /// The first ones at or after this time, in milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    after_ms: Option<u64>,
}

/// A message of a conversation.
#[derive(Debug, Args)]
struct Named {
    /// The number of the message, as `anser history` and `anser chat` show it.
    #[arg(value_name = "NUMBER")]
    seq: u64,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    message: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Readers {
    #[command(flatten)]
    message: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Recall {
    #[command(flatten)]
    message: Named,
}

impl Question for Conversations {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        let Self { version, limit } = self;
        Ok(RequestKind::Conversations(client::Conversations { version, limit }))
    }
}

impl Question for History {
    fn request(self, user: &str) -> Result<RequestKind, Failure> {
        let conversation = self.place.conversation(user)?;
        let From { before, after, before_ms, after_ms } = self.from;
        let limit = self.limit;
        let history = client::History { conversation, before, after, before_ms, after_ms, limit };
        Ok(RequestKind::History(history))
    }
}

impl Question for Read {
    fn request(self, user: &str) -> Result<RequestKind, Failure> {
        let Named { seq, place } = self.message;
        Ok(RequestKind::Read(client::Read { conversation: place.conversation(user)?, seq }))
    }
}

impl Question for Readers {
    fn request(self, user: &str) -> Result<RequestKind, Failure> {
        let Named { seq, place } = self.message;
        Ok(RequestKind::Readers(client::Readers { conversation: place.conversation(user)?, seq }))
    }
}

impl Question for Recall {
    fn request(self, user: &str) -> Result<RequestKind, Failure> {
        let Named { seq, place } = self.message;
        Ok(RequestKind::Recall(client::Recall { conversation: place.conversation(user)?, seq }))
    }
}
