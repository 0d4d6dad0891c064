//! auth in other processes: whichever has least to do.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::auth::{Auth, Claims, Credentials};
use crate::channel::{Callee, Settings};
use crate::peers::{Addresses, Peers};
use crate::{Result, wire};

const CALLEE: Callee = Callee { role: "auth", stream: None };

/// Asks auth in other processes.
pub struct Remote {
    peers: Peers,
}

impl Remote {
    /// Follows where auth is.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses) }
    }
}

#[async_trait]
impl Auth for Remote {
    async fn check(&self, credentials: Credentials) -> Result<Claims> {
        let message = wire::Credentials::from(&credentials);
        let claims: wire::Claims = self.peers.ask_any("/anser.contracts.v1.Auth/Check", &message).await?;
        claims.try_into()
    }
}
