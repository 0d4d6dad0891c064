//! A connection comes and goes: it is checked, taken into the directory, and what it replaces is ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::auth::Auth;
use contracts::logic::{ConnectRequest, Connected};
use contracts::proxy::{Kick, Proxies};
use contracts::router::{Registration, Replaced, Route, Router, Unregistration};
use contracts::{Error, Kind, Result};
use protocol::ServerId;

/// How long a client waits for its predecessor to be told. The predecessor is out of the directory already, so
/// nothing reaches it whether it was told or not.
const KICK_TIME_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Presence {
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) proxies: Arc<dyn Proxies>,
}

impl Presence {
    pub(crate) async fn connect(&self, request: ConnectRequest) -> Result<Connected> {
        let claims = self.auth.check(request.credentials).await?;
        let registration = Registration {
            server: request.server,
            number: request.number,
            handle: request.handle,
            user: claims.user.clone(),
            device: request.device,
            platform: request.platform.clone(),
            key: request.key,
            connection: None,
        };
        let registered = self
            .router
            .register(vec![registration])
            .await?
            .pop()
            .ok_or_else(|| Error::new(Kind::Internal, "the router answered nothing to a registration"))?;
        self.end_replaced(registered.replaced).await;
        tracing::debug!(
            target: "logic",
            user = claims.user.as_ref().map(tracing::field::display),
            connection = %registered.connection,
            platform = request.platform,
            address = %request.address,
            "connected"
        );
        Ok(Connected { user: claims.user, connection: registered.connection, key: registered.key })
    }

    pub(crate) async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()> {
        self.router.unregister(connections).await
    }

    /// Tells the proxies of replaced connections to end them, each with the code that the router says. A proxy that
    /// is gone took its connections with it.
    async fn end_replaced(&self, replaced: Vec<Replaced>) {
        let mut kicks: HashMap<ServerId, Vec<Kick>> = HashMap::new();
        for Replaced { route: Route { server, connection, handle }, code } in replaced {
            kicks.entry(server).or_default().push(Kick { handle, connection, code });
        }
        for (server, kicks) in kicks {
            let Some(proxy) = self.proxies.proxy(&server) else { continue };
            let count = kicks.len();
            let outcome = tokio::time::timeout(KICK_TIME_LIMIT, proxy.kick(kicks)).await;
            match outcome {
                Ok(Ok(())) => metrics::counter!("anser_logic_replaced_total").increment(count as u64),
                Ok(Err(error)) => {
                    tracing::warn!(target: "logic", %server, count, ?error, "replaced connections not ended");
                }
                Err(_) => {
                    tracing::warn!(target: "logic", %server, count, "replaced connections not ended in time");
                }
            }
        }
    }
}
