//! Which proxies there are, and which of them a new client had better take.
//!
//! A proxy registers its addresses under the names `tcp` and `ws`, and in its metadata `hostname`, `region`,
//! `zone`, `environment`, `version`, `weight`, and `offline` when it takes nobody any more.

use std::sync::Arc;

use backends::discovery::Instance;
use tokio::sync::watch;

use crate::Config;
use crate::online::{Load, Online};

/// How many proxies a client is told: enough to try another, few enough to be the best.
const BEST_COUNT: usize = 5;
const WEIGHT_DEFAULT: u64 = 10;

pub(crate) struct Nodes {
    pub(crate) config: Config,
    pub(crate) proxies: watch::Receiver<Vec<Instance>>,
    pub(crate) online: Arc<Online>,
}

/// A proxy and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) instance: Instance,
    pub(crate) load: Load,
    pub(crate) weight: u64,
    pub(crate) offline: bool,
}

impl Node {
    /// A value of its metadata, empty where it has none.
    pub(crate) fn metadata(&self, name: &str) -> &str {
        self.instance.metadata.get(name).map_or("", String::as_str)
    }

    /// The host of one of its listeners.
    pub(crate) fn host(&self, listener: &str) -> Option<&str> {
        let (host, _) = self.instance.addresses.get(listener)?.rsplit_once(':')?;
        Some(host)
    }

    /// The port of one of its listeners.
    pub(crate) fn port(&self, listener: &str) -> Option<u16> {
        let (_, port) = self.instance.addresses.get(listener)?.rsplit_once(':')?;
        port.parse().ok()
    }
}

impl Nodes {
    /// All proxies, in discovery's order.
    pub(crate) fn all(&self) -> Vec<Node> {
        let instances = self.proxies.borrow().clone();
        instances.into_iter().map(|instance| self.node(instance)).collect()
    }

    /// The proxies that a new client had better take, the best first.
    pub(crate) fn best(&self) -> Vec<Node> {
        let mut nodes = self.all();
        nodes.retain(|node| !node.offline && node.weight > 0);
        rank(&mut nodes);
        nodes.truncate(BEST_COUNT);
        nodes
    }

    fn node(&self, instance: Instance) -> Node {
        let number = |name: &str| instance.metadata.get(name).and_then(|text| text.parse::<u64>().ok());
        let load = self.online.of(&instance.server).unwrap_or_else(|| Load {
            connection_count: number("connection_count").unwrap_or(0),
            address_count: number("address_count").unwrap_or(0),
        });
        let weight = number("weight").unwrap_or(WEIGHT_DEFAULT);
        let offline = instance.metadata.get("offline").is_some_and(|text| text == "true");
        Node { instance, load, weight, offline }
    }
}

/// Puts those first whose share of the weight is largest against half their share of the connections: the
/// rule that goim ranks by.
fn rank(nodes: &mut [Node]) {
    let weights: u64 = nodes.iter().map(|node| node.weight).sum();
    let connections: u64 = nodes.iter().map(|node| node.load.connection_count).sum();
    let score = |node: &Node| {
        let share = node.weight as f64 / weights.max(1) as f64;
        share - 0.5 * node.load.connection_count as f64 / connections.max(1) as f64
    };
    nodes.sort_by(|one, other| score(other).total_cmp(&score(one)));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::ServerId;

    use super::*;

    fn instance(name: &str, metadata: &[(&str, &str)]) -> Instance {
        Instance {
            role: "proxy".to_owned(),
            server: ServerId(name.into()),
            addresses: BTreeMap::from([("tcp".to_owned(), "[::1]:3101".to_owned())]),
            metadata: metadata.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            since_ms: 0,
        }
    }

    fn best(instances: Vec<Instance>, online: Online) -> Vec<String> {
        let (_sender, proxies) = watch::channel(instances);
        let nodes = Nodes { config: Config::default(), proxies, online: Arc::new(online) };
        nodes.best().iter().map(|node| node.instance.server.to_string()).collect()
    }

    #[test]
    fn the_emptiest_of_equal_proxies_comes_first() {
        let online = Online::default();
        online.absorb(&ServerId("a".into()), 900, 10);
        online.absorb(&ServerId("b".into()), 100, 10);
        assert_eq!(best(vec![instance("a", &[]), instance("b", &[])], online), ["b", "a"]);
    }

    #[test]
    fn the_heavier_of_equally_full_proxies_comes_first() {
        let instances = vec![
            instance("a", &[("weight", "10"), ("connection_count", "100")]),
            instance("b", &[("weight", "20"), ("connection_count", "100")]),
        ];
        assert_eq!(best(instances, Online::default()), ["b", "a"]);
    }

    #[test]
    fn a_proxy_that_takes_nobody_is_not_told_and_there_are_at_most_five() {
        let mut instances: Vec<Instance> = (0..7).map(|n| instance(&format!("p{n}"), &[])).collect();
        instances[0].metadata.insert("offline".to_owned(), "true".to_owned());
        instances[1].metadata.insert("weight".to_owned(), "0".to_owned());
        assert_eq!(best(instances, Online::default()), ["p2", "p3", "p4", "p5", "p6"]);
    }

    #[test]
    fn host_and_port_are_read_from_an_address_of_either_family() {
        let (_sender, proxies) = watch::channel(vec![instance("a", &[])]);
        let nodes = Nodes { config: Config::default(), proxies, online: Arc::new(Online::default()) };
        let node = &nodes.all()[0];
        assert_eq!((node.host("tcp"), node.port("tcp")), (Some("[::1]"), Some(3101)));
        assert_eq!(node.port("ws"), None);
    }
}
