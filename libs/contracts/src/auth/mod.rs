//! What logic asks of auth: who is this?

mod convert;
mod remote;
pub(crate) mod serve;

use async_trait::async_trait;
use protocol::UserId;

use crate::Result;

pub use remote::Remote;

/// Which client protocol the credentials came by; a stock goim client knows no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// goim's auth operation.
    Goim,
    /// Anser's auth request.
    Anser,
}

/// What a client shows to be let in. The token is a secret: it is never logged.
#[derive(Clone)]
pub struct Credentials {
    /// Which protocol it speaks.
    pub wire: Wire,
    /// Its token; empty where it has none.
    pub token: String,
    /// Who it says it is: goim's mid, or `user` of Anser's auth.
    pub claimed: Option<UserId>,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user; `None` is an anonymous goim client.
    pub user: Option<UserId>,
    /// When the token ends, in milliseconds since 1970; `None` where it does not.
    pub expires_at_ms: Option<u64>,
}

/// Checks tokens.
#[async_trait]
pub trait Auth: Send + Sync {
    /// Tells who shows these credentials.
    ///
    /// # Errors
    /// `Refused` with `Unauthenticated`, `TokenExpired` or `TokenInvalid`.
    async fn check(&self, credentials: Credentials) -> Result<Claims>;
}
