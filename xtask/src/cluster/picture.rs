//! Who is in the cluster: the seed's picture on one machine, in two sites.
//!
//! Names, numbers, sites and the order of the start are decided here and nowhere else. What it takes to start one of
//! them is `state`'s for our processes and `product`'s for the others.

use std::path::Path;

/// The order in which roles are started: who is called comes before who calls.
pub(crate) const START_ORDER: [&str; 7] = ["auth", "router", "push", "logic", "im", "consumer", "proxy"];
/// The order in which people read them: from the clients to what is stored.
pub(crate) const READING_ORDER: [&str; 7] = ["proxy", "logic", "push", "router", "im", "consumer", "auth"];
/// Shards of the router, each with a primary and a standby. With one the server is not told which it serves.
const ROUTER_SHARD_COUNT: u32 = 1;
/// A primary and its standby.
const ROUTERS_A_SHARD: u32 = 2;
/// Proxies of the first site; the rest are in the second.
const PROXIES_IN_FIRST_SITE: u32 = 2;

/// One of our processes: what it is and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    /// Counted from 1 within the role.
    number: u32,
}

/// Where a process of ours listens, each `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// For the other roles.
    pub(crate) peers: String,
    /// The server API and `/readyz`.
    pub(crate) api: String,
    /// Clients, of a proxy alone: TCP and WebSocket.
    pub(crate) clients: Option<(String, String)>,
}

/// All of our processes in the order of their start.
pub(crate) fn places() -> Vec<Place> {
    let of_role = |role: &'static str| {
        (1..=count(role)).map(move |number| Place { name: format!("{role}-{number}"), role, number })
    };
    START_ORDER.into_iter().flat_map(of_role).collect()
}

fn count(role: &str) -> u32 {
    match role {
        "proxy" => 3,
        "router" => ROUTER_SHARD_COUNT * ROUTERS_A_SHARD,
        _ => 2,
    }
}

impl Place {
    /// The site, 1 or 2: a role's processes are spread over both, and so is each router with its standby.
    fn site(&self) -> u32 {
        if self.role == "proxy" {
            1 + u32::from(self.number > PROXIES_IN_FIRST_SITE)
        } else {
            2 - self.number % 2
        }
    }

    /// The names of the ports that it needs.
    pub(crate) fn ports(&self) -> Vec<String> {
        let listeners: &[&str] =
            if self.role == "proxy" { &["peers", "api", "tcp", "ws"] } else { &["peers", "api"] };
        listeners.iter().map(|listener| format!("{}-{listener}", self.name)).collect()
    }

    /// The arguments of `anser` that start it on these addresses. They hold no secret: those stand in `config`,
    /// which belongs to the user alone.
    pub(crate) fn arguments(&self, folder: &Path, config: &Path, addresses: &Addresses) -> Vec<String> {
        let site = self.site();
        let mut settings = vec![
            format!("node.name={}", self.name),
            format!("node.region=site-{site}"),
            format!("node.zone=site-{site}-a"),
            format!("listen.peers={}", addresses.peers),
            format!("listen.api={}", addresses.api),
            format!("keys.folder={}", folder.join("keys").display()),
        ];
        if let Some((tcp, ws)) = &addresses.clients {
            settings.push(format!("listen.tcp={tcp}"));
            settings.push(format!("listen.ws={ws}"));
        }
        if self.role == "im" {
            settings.push(format!("im.node={}", self.number));
        }
        if self.role == "router" && ROUTER_SHARD_COUNT > 1 {
            settings.push(format!("router.shard={}", (self.number - 1) / ROUTERS_A_SHARD));
        }
        let mut arguments = vec!["serve".to_owned(), "--dev".to_owned()];
        let options = [
            ("--roles", self.role.to_owned()),
            ("--config", config.display().to_string()),
            ("--data", folder.join(&self.name).display().to_string()),
        ];
        let options = options.into_iter().chain(settings.into_iter().map(|setting| ("--set", setting)));
        arguments.extend(options.flat_map(|(option, value)| [option.to_owned(), value]));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        places().into_iter().find(|place| place.name == name).unwrap()
    }

    fn addresses(clients: bool) -> Addresses {
        let at = |port: u16| format!("127.0.0.1:{port}");
        Addresses { peers: at(1), api: at(2), clients: clients.then(|| (at(3), at(4))) }
    }

    fn line(name: &str) -> String {
        let place = place(name);
        let (folder, config) = (Path::new("/c"), Path::new("/c/cluster.toml"));
        place.arguments(folder, config, &addresses(place.role == "proxy")).join(" ")
    }

    #[test]
    fn every_role_of_the_picture_is_there_and_callees_come_first() {
        let names: Vec<String> = places().into_iter().map(|place| place.name).collect();
        let order = "auth-1 auth-2 router-1 router-2 push-1 push-2 logic-1 logic-2 im-1 im-2 consumer-1 consumer-2 \
                     proxy-1 proxy-2 proxy-3";
        assert_eq!(names.join(" "), order);
        let mut read = READING_ORDER;
        let mut started = START_ORDER;
        read.sort_unstable();
        started.sort_unstable();
        assert_eq!(read, started);
    }

    #[test]
    fn both_sites_hold_every_role() {
        for role in START_ORDER {
            let mut sites: Vec<u32> =
                places().iter().filter(|place| place.role == role).map(Place::site).collect();
            sites.sort_unstable();
            sites.dedup();
            assert_eq!(sites, [1, 2], "{role}");
        }
        assert_eq!(["proxy-1", "proxy-2", "proxy-3"].map(|name| place(name).site()), [1, 1, 2]);
    }

    #[test]
    fn a_proxy_is_started_with_doors_for_clients() {
        assert_eq!(
            line("proxy-3"),
            "serve --dev --roles proxy --config /c/cluster.toml --data /c/proxy-3 --set node.name=proxy-3 \
             --set node.region=site-2 --set node.zone=site-2-a --set listen.peers=127.0.0.1:1 \
             --set listen.api=127.0.0.1:2 --set keys.folder=/c/keys --set listen.tcp=127.0.0.1:3 \
             --set listen.ws=127.0.0.1:4"
        );
        assert_eq!(place("proxy-1").ports().len(), 4);
    }

    #[test]
    fn other_roles_have_no_doors_and_each_im_its_own_number() {
        let second = line("im-2");
        assert!(second.ends_with("--set im.node=2"), "{second}");
        assert!(!second.contains("listen.tcp") && !second.contains("listen.ws"), "{second}");
        assert!(!line("auth-1").contains("im.node"));
        assert_eq!(place("im-1").ports(), ["im-1-peers", "im-1-api"]);
    }
}
