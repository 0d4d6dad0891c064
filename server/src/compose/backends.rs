//! The backends of a process: those that its roles work with.

use std::sync::Arc;

use backends::broker::Broker;
use backends::cache::Cache;
use backends::discovery::Discovery;
use backends::store::Store;
use runtime::config::Settings;

use super::failure;
use crate::command::failure::Failure;
use crate::data::Folder;
use crate::readiness::{Readiness, State};
use crate::role::Roles;

/// Which roles work with what, besides discovery, which all of them do.
const USERS: [(&str, &[&str]); 3] = [
    ("store", &["im", "consumer"]),
    ("cache", &["im", "consumer"]),
    ("broker", &["router", "push", "logic", "im", "consumer"]),
];

/// What a process's roles work with.
pub(super) fn names(roles: &Roles) -> impl Iterator<Item = &'static str> {
    let used = USERS.iter().filter(|(_, users)| roles.has_any(users));
    used.map(|(name, _)| *name).chain(["discovery"])
}

/// Tells whether the processes of the system find each other.
pub(super) fn is_cluster(settings: &Settings) -> bool {
    !is_embedded(settings, "discovery")
}

fn is_embedded(settings: &Settings, name: &str) -> bool {
    settings.text(&format!("{name}.url")).starts_with("embedded:")
}

/// Checks that the roles of this process and those of others work with the same.
pub(super) fn check(settings: &Settings, roles: &Roles) -> Result<(), Failure> {
    if roles.are_all() && !is_cluster(settings) {
        return Ok(());
    }
    match names(roles).find(|name| is_embedded(settings, name)) {
        None => Ok(()),
        Some(name) => Err(Failure::configuration(format!(
            "{name}.url is embedded:, which only this process can reach, and it is one of several: name the {name} \
             that all of them use, or hold all roles in one process without discovery.url"
        ))),
    }
}

/// The backends, open.
pub(super) struct Backends {
    store: Option<Arc<dyn Store>>,
    cache: Option<Arc<dyn Cache>>,
    broker: Option<Arc<dyn Broker>>,
    pub(super) discovery: Arc<dyn Discovery>,
}

impl Backends {
    pub(super) async fn open(
        settings: &Settings,
        roles: &Roles,
        data: &Folder,
        readiness: &Readiness,
    ) -> Result<Self, Failure> {
        let url = |name: &str| match settings.text(&format!("{name}.url")) {
            "embedded:" if matches!(name, "store" | "broker") => {
                format!("embedded:{}", data.path.join(name).display())
            }
            url => url.to_owned(),
        };
        let failed = |name: &'static str| {
            move |error: backends::Error| failure(&format!("the {name} cannot be opened"), &error)
        };
        let used: Vec<&str> = names(roles).collect();
        let discovery = backends::discovery::open(&url("discovery")).await.map_err(failed("discovery"))?;
        let store = match used.contains(&"store") {
            true => Some(backends::store::open(&url("store")).await.map_err(failed("store"))?),
            false => None,
        };
        let cache = match used.contains(&"cache") {
            true => Some(backends::cache::open(&url("cache")).await.map_err(failed("cache"))?),
            false => None,
        };
        let broker = match used.contains(&"broker") {
            true => Some(backends::broker::open(&url("broker")).await.map_err(failed("broker"))?),
            false => None,
        };
        for name in used {
            readiness.set(name, State::Ready);
        }
        Ok(Self { store, cache, broker, discovery })
    }

    pub(super) fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        self.store.clone().ok_or_else(|| not_open("store"))
    }

    pub(super) fn cache(&self) -> Result<Arc<dyn Cache>, Failure> {
        self.cache.clone().ok_or_else(|| not_open("cache"))
    }

    pub(super) fn broker(&self) -> Result<Arc<dyn Broker>, Failure> {
        self.broker.clone().ok_or_else(|| not_open("broker"))
    }
}

fn not_open(name: &str) -> Failure {
    Failure::failed(format!("the {name} was not opened for the roles of this process"))
}

#[cfg(test)]
mod tests {
    use runtime::config::Sources;

    use super::*;

    fn checked(roles: &str, assignments: &[&str]) -> Result<(), Failure> {
        let assignments = assignments.iter().map(|&text| text.to_owned()).collect();
        let settings = crate::config::TABLE.resolve(&Sources { assignments, ..Sources::default() }).unwrap();
        check(&settings, &Roles::parse(roles).unwrap())
    }

    #[test]
    fn processes_of_one_system_must_reach_the_same_backends() {
        const DISCOVERY: &str = "discovery.url=zookeeper://127.0.0.1:2181/anser";
        assert!(checked("all", &[]).is_ok());
        let alone = checked("proxy", &[]).unwrap_err().to_string();
        assert!(alone.contains("discovery.url is embedded:"), "{alone}");
        assert!(checked("proxy", &[DISCOVERY]).is_ok());
        let own = checked("im", &[DISCOVERY]).unwrap_err().to_string();
        assert!(own.contains("store.url is embedded:"), "{own}");
        assert!(checked("all", &[DISCOVERY]).is_err());
    }
}
