//! A callee behind a real connection, beside the same one in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::ServerId;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::channel::Settings;
use crate::peers::Addresses;
use crate::proxy::Proxies as _;
use crate::server::{Listener, Server};
use crate::testing::case::{Callees, Case};
use crate::testing::fake::Fake;
use crate::{auth, im, logic, proxy, push, router};

/// A process of a test that answers all contracts.
pub struct Loopback {
    /// What answers.
    pub fake: Arc<Fake>,
    /// Its name.
    pub server: ServerId,
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Loopback {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn start(name: &str, admission: Admission) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(name, admission, Listener::bind(address).await.expect("a free port")).await
    }

    /// Starts one on this listener.
    pub async fn start_at(name: &str, admission: Admission, listener: Listener) -> Self {
        let (fake, server, address) = (Fake::new(), ServerId(name.into()), listener.address());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::new(server.clone(), admission)
            .auth(fake.clone())
            .logic(fake.clone())
            .router(fake.clone())
            .push(fake.clone())
            .im(fake.clone())
            .proxy(fake.clone())
            .serve(listener, async {
                let _ = stopped.await;
            });
        Self { fake, server, address, stop: Some(stop), serving }
    }

    /// The addresses of these.
    #[must_use]
    pub fn addresses(all: &[&Self]) -> Addresses {
        all.iter().map(|one| (one.server.clone(), one.address.to_string())).collect()
    }

    /// Clients of this one for every contract.
    ///
    /// # Panics
    /// Never: it knows its own address.
    #[must_use]
    pub fn remote(&self, settings: &Settings) -> Callees {
        let (_, addresses) = watch::channel(Self::addresses(&[self]));
        let proxies = proxy::Remotes::follow(settings.clone(), addresses.clone());
        let proxy = proxies.proxy(&self.server).expect("its own address");
        Callees {
            auth: Arc::new(auth::Remote::follow(settings.clone(), addresses.clone())),
            logic: Arc::new(logic::Remote::follow(settings.clone(), addresses.clone())),
            router: Arc::new(router::Remote::follow(settings.clone(), addresses.clone())),
            push: Arc::new(push::Remote::follow(settings.clone(), addresses.clone())),
            im: Arc::new(im::Remote::follow(settings.clone(), addresses)),
            proxy,
        }
    }

    /// What answers, without a connection between.
    #[must_use]
    pub fn local(&self) -> Callees {
        let fake = &self.fake;
        Callees {
            auth: fake.clone(),
            logic: fake.clone(),
            router: fake.clone(),
            push: fake.clone(),
            im: fake.clone(),
            proxy: fake.clone(),
        }
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// Where it has panicked.
    pub async fn stop(mut self) {
        self.stop.take();
        self.serving.await.expect("the server ended by itself");
    }
}

/// Makes the same call without and with a connection between.
///
/// # Errors
/// What differs.
pub async fn compare(case: &Case, loopback: &Loopback, remote: &Callees) -> Result<(), String> {
    let mut seen = Vec::new();
    for callees in [loopback.local(), remote.clone()] {
        case.script(&loopback.fake);
        let answer = case.run(callees).await;
        seen.push((answer, loopback.fake.take_calls()));
    }
    match seen[0] == seen[1] {
        true => Ok(()),
        false => Err(format!("{case:?}: local was {:?}, remote {:?}", seen[0], seen[1])),
    }
}
