//! auth: checks who a client is.
//!
//! In the seed's picture this is authService, which logic asks when a client connects. A token is a JSON Web
//! Token signed with HMAC-SHA256 and the key in the data folder; whoever holds the key can make tokens, so the
//! business's own server can. It keeps no state and calls nobody. Who may use the server API is not its
//! matter: that is the API key, which [`keys`] keeps beside the token key.

pub mod keys;
mod service;
pub mod token;

use std::sync::Arc;

use contracts::auth::Auth;
use contracts::{Error, Kind};

use crate::keys::Secret;

/// How auth is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What tokens are signed with.
    pub token_key: Secret,
    /// Believes whoever shows no token to be who they say: for development only.
    pub trust_everybody: bool,
    /// Believes the mid of a goim client that shows no token: for networks where only trusted clients are.
    pub goim_trust_mid: bool,
}

/// auth asks nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deps {}

/// Starts auth.
///
/// # Errors
/// `Internal` where the token key is empty: every token would be forgeable.
#[allow(clippy::needless_pass_by_value, reason = "every role is started alike")]
pub fn start(config: Config, _deps: Deps) -> contracts::Result<Arc<dyn Auth>> {
    if config.token_key.is_empty() {
        return Err(Error::new(Kind::Internal, "the token key is empty"));
    }
    Ok(Arc::new(service::Service::new(&config)))
}
