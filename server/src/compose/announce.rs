//! What discovery is told of this process, and where it says the others are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use backends::discovery::{Discovery, Instance, Registration};
use contracts::peers::Addresses as PeerAddresses;
use protocol::ServerId;
use runtime::config::Settings;
use tokio::sync::watch;

use super::{Addresses, failure};
use crate::command::failure::Failure;

/// Under which name an instance says where other processes call it.
const PEERS: &str = "peers";

/// Announces the roles of this process.
#[derive(Clone)]
pub(super) struct Announcer {
    discovery: Arc<dyn Discovery>,
    server: ServerId,
    /// Where the listeners of this process are reached, by their names.
    addresses: BTreeMap<String, String>,
    host: String,
}

impl Announcer {
    pub(super) fn new(
        discovery: Arc<dyn Discovery>,
        server: ServerId,
        settings: &Settings,
        addresses: &Addresses,
        peers: Option<SocketAddr>,
    ) -> Self {
        let host = settings.text("node.host").to_owned();
        let listeners =
            [("tcp", addresses.tcp), ("ws", addresses.ws), ("api", Some(addresses.api)), (PEERS, peers)];
        let mut announcer = Self { discovery, server, addresses: BTreeMap::new(), host };
        for (name, address) in listeners {
            if let Some(address) = address {
                announcer.addresses.insert(name.to_owned(), announcer.reached(address));
            }
        }
        announcer
    }

    fn reached(&self, address: SocketAddr) -> String {
        match self.host.as_str() {
            "" => address.to_string(),
            host => format!("{host}:{}", address.port()),
        }
    }

    /// Announces a role, with what else others want to know of it.
    pub(super) async fn announce(
        &self,
        role: &str,
        metadata: BTreeMap<String, String>,
    ) -> Result<Box<dyn Registration>, Failure> {
        let listeners: &[&str] = match role {
            "proxy" => &["tcp", "ws", PEERS],
            "logic" | "im" => &["api", PEERS],
            _ => &[PEERS],
        };
        let own = self.addresses.iter().filter(|(name, _)| listeners.contains(&name.as_str()));
        let instance = Instance {
            role: role.to_owned(),
            server: self.server.clone(),
            addresses: own.map(|(name, address)| (name.clone(), address.clone())).collect(),
            metadata,
            since_ms: runtime::clock::now_ms(),
        };
        let registered = self.discovery.register(instance).await;
        registered
            .map_err(|error| failure(&format!("role {role} of this process cannot be announced"), &error))
    }
}

/// Where the processes of a role are called by others, as they come and go.
pub(super) async fn peers_of(
    discovery: &dyn Discovery,
    role: &'static str,
) -> Result<watch::Receiver<PeerAddresses>, Failure> {
    let instances = discovery.watch(role).await;
    let mut instances =
        instances.map_err(|error| failure(&format!("role {role} cannot be watched"), &error))?;
    let (sender, addresses) = watch::channel(called_at(&instances.borrow_and_update()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = instances.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            sender.send_replace(called_at(&instances.borrow_and_update()));
        }
    });
    Ok(addresses)
}

fn called_at(instances: &[Instance]) -> PeerAddresses {
    let called =
        |instance: &Instance| Some((instance.server.clone(), instance.addresses.get(PEERS)?.clone()));
    instances.iter().filter_map(called).collect()
}

/// What discovery is told of a proxy.
pub(super) fn proxy_metadata(settings: &Settings) -> BTreeMap<String, String> {
    let text = |name: &str| settings.text(name).to_owned();
    let pairs = [
        ("hostname", node_name(settings)),
        ("region", text("node.region")),
        ("zone", text("node.zone")),
        ("environment", text("node.environment")),
        ("weight", settings.integer("node.weight").to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A name for this process that no other one ever had.
pub(super) fn server_id(settings: &Settings) -> ServerId {
    ServerId(format!("{}-{:08x}", node_name(settings), rand::random::<u32>()).into())
}

fn node_name(settings: &Settings) -> String {
    match settings.text("node.name") {
        "" => std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned()),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use runtime::config::Sources;

    use super::*;

    fn settings(assignments: &[&str]) -> Settings {
        let assignments = assignments.iter().map(|&text| text.to_owned()).collect();
        crate::config::TABLE.resolve(&Sources { assignments, ..Sources::default() }).unwrap()
    }

    #[test]
    fn a_proxy_tells_its_weight_and_every_process_has_a_name_of_its_own() {
        let settings = settings(&[]);
        assert_eq!(proxy_metadata(&settings)["weight"], "10");
        assert!(server_id(&settings).to_string().len() > 9);
        assert_ne!(server_id(&settings), server_id(&settings));
    }

    #[tokio::test]
    async fn the_processes_of_a_role_are_found_where_they_say_they_are_called() {
        let discovery = backends::discovery::open("embedded:").await.unwrap();
        let addresses = Addresses { tcp: None, ws: None, api: "127.0.0.1:3111".parse().unwrap() };
        let settings = settings(&["node.host=node.example"]);
        let server = ServerId("node-1".into());
        let peers = "127.0.0.1:3121".parse().unwrap();
        let announcer = Announcer::new(discovery.clone(), server.clone(), &settings, &addresses, Some(peers));
        let mut found = peers_of(&*discovery, "push").await.unwrap();
        assert!(found.borrow_and_update().is_empty());
        let registration = announcer.announce("push", BTreeMap::new()).await.unwrap();
        found.changed().await.unwrap();
        assert_eq!(*found.borrow_and_update(), [(server, "node.example:3121".to_owned())].into());
        drop(registration);
        found.changed().await.unwrap();
        assert!(found.borrow().is_empty());
    }
}
