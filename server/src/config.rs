//! The keys of `anser`: one table that drives defaults, file, environment, command line and documentation.
//!
//! What several keys must fulfil together is checked here too, so that `anser config check` says what
//! `anser serve` would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use runtime::config::{Key, Kind, Problem, Problems, Settings, Sources, Table};

use crate::command::failure::Failure;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

const fn integer(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const fn time(min: Duration, max: Duration) -> Kind {
    Kind::Duration { min, max }
}

const KEYS: &[Key] = &[
    key(
        "data.folder",
        Kind::String,
        "./anser-data",
        "Where keys and embedded backends keep their files. Made with mode 0700 where it is not there. \
         Also `--data`.",
    ),
    key("listen.tcp", Kind::Address, "127.0.0.1:3101", "Clients over TCP. Port 0 takes a free one."),
    key(
        "listen.ws",
        Kind::Address,
        "127.0.0.1:3102",
        "Clients over WebSocket at `/sub`, and the chat page at `/`.",
    ),
    key("listen.api", Kind::Address, "127.0.0.1:3111", "The server API, `/metrics`, `/livez` and `/readyz`."),
    key(
        "listen.peers",
        Kind::Address,
        "127.0.0.1:3121",
        "Other processes of the same system, which show the key in `peer-key`. Used only where `discovery.url` names a \
         product. It is not encrypted: keep it on a private network.",
    ),
    key(
        "keys.folder",
        Kind::String,
        "",
        "Where the keys are, the same in all processes of a system. Empty: the data folder.",
    ),
    key(
        "auth.public",
        Kind::Bool,
        "false",
        "Allows listeners off loopback. Everybody who reaches them needs a token or the API key; there is \
         no TLS, so put a terminating proxy in front.",
    ),
    key(
        "auth.time_limit",
        time(SECOND, HOUR),
        "8s",
        "How long a client may take for its handshake, and then for its auth.",
    ),
    key(
        "goim.trust_mid",
        Kind::Bool,
        "false",
        "Believes the mid of a goim client that shows no token. Only where nobody else reaches the \
         listeners.",
    ),
    key(
        "goim.chat_operation",
        integer(1, i32::MAX as u64),
        "1000",
        "Under which operation a stock goim client gets stored messages, and a push that names none is \
         sent.",
    ),
    key(
        "goim.allow_anonymous",
        Kind::Bool,
        "false",
        "Serves `/goim/*` without the API key. Only with `listen.api` on loopback.",
    ),
    key(
        "goim.domain",
        Kind::String,
        "",
        "The name by which clients reach any proxy, as `/goim/nodes/weighted` tells it. Empty: the proxy's \
         host.",
    ),
    key(
        "goim.host_domain",
        Kind::String,
        "",
        "What `/goim/nodes/weighted` puts behind a proxy's host name for browsers, such as `.example.com`.",
    ),
    key(
        "node.host",
        Kind::String,
        "",
        "The host under which clients reach this process, as other processes and `/goim/nodes/*` tell it. \
         Empty: the listener's address.",
    ),
    key("node.name", Kind::String, "", "This machine's host name. Empty: what the system says."),
    key("node.region", Kind::String, "", "The region this process runs in."),
    key("node.zone", Kind::String, "", "The zone this process runs in."),
    key(
        "node.environment",
        Kind::String,
        "",
        "The environment this process belongs to, such as `production`.",
    ),
    key(
        "node.weight",
        integer(0, 1_000_000),
        "10",
        "Its share of new clients, against the weights of the others; 0 takes none.",
    ),
    key(
        "proxy.shards",
        integer(0, 255),
        "0",
        "Threads that hold connections; 0: one for each CPU of the process's affinity mask.",
    ),
    key(
        "proxy.frame_body_bytes_max",
        Kind::Bytes { min: 4 * KIB, max: 16 * MIB },
        "64KiB",
        "Bytes of the largest body that a client may send. Never below goim's own 4096.",
    ),
    key(
        "proxy.send_queue_bytes_max",
        Kind::Bytes { min: 16 * KIB, max: 64 * MIB },
        "64KiB",
        "Bytes that may wait for one client. Full: pushes are dropped and counted, stored messages are \
         read again later.",
    ),
    key(
        "proxy.slow_time_limit",
        time(SECOND, HOUR),
        "5s",
        "How long a client may take no byte while some wait; then it is closed.",
    ),
    key(
        "proxy.idle_time_limit",
        time(SECOND, Duration::from_secs(24 * 3600)),
        "8m",
        "How long nothing may be heard from a client; then it is closed.",
    ),
    key("proxy.heartbeat", time(SECOND, HOUR), "4m", "How often a goim client is told to send a heartbeat."),
    key(
        "proxy.chat_heartbeat",
        time(SECOND, HOUR),
        "25s",
        "How often an Anser client is asked to send a heartbeat; it tells what was missed.",
    ),
    key("proxy.connections_max", integer(1, 100_000_000), "1000000", "Connections in all; more are refused."),
    key(
        "proxy.connections_per_address_max",
        integer(1, 100_000_000),
        "10000",
        "Connections from one address. Loopback is exempt.",
    ),
    key(
        "proxy.connection_rate_per_address_max",
        integer(1, 1_000_000),
        "200",
        "New connections a second from one address. Loopback is exempt.",
    ),
    key(
        "proxy.requests_per_second_max",
        integer(1, 1_000_000),
        "200",
        "Requests a second on one connection; beyond it, it is closed. Loopback is exempt.",
    ),
    key(
        "merge.share",
        Kind::Float { min: 0.01, max: 1.0 },
        "0.5",
        "Which part of a core one busy room may cost in each shard.",
    ),
    key(
        "merge.budget",
        time(Duration::ZERO, Duration::from_secs(10)),
        "100ms",
        "How long a room's message may wait to leave with others; an idle room's leaves at once.",
    ),
    key(
        "web.allowed_origins",
        Kind::Strings,
        "",
        "Origins of pages that may open a WebSocket or call the API, such as `https://chat.example.com`, \
         beside the chat page's own.",
    ),
    key(
        "store.url",
        Kind::Url,
        "embedded:",
        "Messages, inboxes, groups and positions. `embedded:` alone lies below the data folder.",
    ),
    key("cache.url", Kind::Url, "embedded:", "What can be lost."),
    key(
        "broker.url",
        Kind::Url,
        "embedded:",
        "Topics `push`, `fanout` and `presence`. `embedded:` alone lies below the data folder.",
    ),
    key("discovery.url", Kind::Url, "embedded:", "Which process holds which role."),
    key(
        "router.devices",
        Kind::Choice(&["all", "platform", "single"]),
        "all",
        "Which devices of a user may be connected at once: all of them, one of each platform, or one. The \
         newest stays; another is closed with code 4504 and does not come back.",
    ),
    key(
        "push.proxy_time_limit",
        time(Duration::from_millis(10), Duration::from_secs(60)),
        "5s",
        "How long a proxy may take to accept what is pushed to it; then it is dropped and counted.",
    ),
    key(
        "im.node",
        integer(0, 1023),
        "0",
        "Tells the message ids of this process from those of another. Two processes never share a number.",
    ),
    key(
        "im.group_members_max",
        integer(2, 2_000),
        "500",
        "Members of a group. One that grows beyond it becomes a super group, whose messages are written once \
         and not into each member's inbox.",
    ),
    key(
        "im.single_chat",
        Kind::Choice(&["anyone", "existing"]),
        "anyone",
        "To whom a user may write: to anyone who has not blocked the user, or only in a chat that was begun \
         through the server API.",
    ),
    key(
        "im.recall_time_limit",
        time(Duration::ZERO, Duration::from_secs(30 * 24 * 3600)),
        "2m",
        "How long the sender may recall a message. Owner and admins of a group always may.",
    ),
    key(
        "im.sweep_period",
        time(Duration::from_millis(10), HOUR),
        "1s",
        "How often stored messages that were not handed on are looked for.",
    ),
    key(
        "im.sweep_age",
        time(Duration::from_millis(10), HOUR),
        "1s",
        "How old a message is before it is taken for not handed on.",
    ),
    key(
        "im.answer_kept",
        time(HOUR, Duration::from_secs(30 * 24 * 3600)),
        "24h",
        "How long a client message id is known: sent again within it, it gets the first answer.",
    ),
    key(
        "drain.grace",
        time(Duration::ZERO, HOUR),
        "0s",
        "How long a process that was told to stop goes on as before while `/readyz` says no, so that load \
         balancers notice.",
    ),
    key(
        "drain.time_limit",
        time(Duration::ZERO, HOUR),
        "10s",
        "How long clients may then take to go elsewhere before their connections are cut.",
    ),
    key(
        "log.level",
        Kind::String,
        "info",
        "What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list such as \
         `info,proxy=debug`.",
    ),
    key(
        "log.format",
        Kind::Choice(&["automatic", "text", "json"]),
        "automatic",
        "How lines look. Automatic: text on a terminal, else JSON.",
    ),
];

/// The keys, and the variables that commands and tests read by themselves.
pub(crate) const TABLE: Table = Table {
    keys: KEYS,
    prefix: "ANSER_",
    other_variables: &[
        "ANSER_API_KEY",
        "ANSER_BIN",
        "ANSER_CONFIG",
        "ANSER_GOIM_CLIENT",
        "ANSER_KILL_ROUNDS",
        "ANSER_MODEL_SEED",
        "ANSER_MODEL_SEEDS",
        "ANSER_TEST_SEED",
        "ANSER_TOKEN",
        "ANSER_URL",
    ],
};

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingsArgs {
    /// A TOML file with settings; `anser config print --default` shows all of them.
    #[arg(long, value_name = "FILE", env = "ANSER_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder; the same as --set data.folder=DIR.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Sets a key, such as listen.tcp=127.0.0.1:4101; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
}

impl SettingsArgs {
    /// The settings, or all that is wrong with them.
    pub(crate) fn settings(&self) -> Result<Settings, Problems> {
        let file = match &self.config {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some((path.clone(), text)),
                Err(error) => {
                    let message = format!("cannot be read: {error}");
                    return Err(Problems(vec![Problem { place: path.display().to_string(), message }]));
                }
            },
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut assignments = self.assignments.clone();
        assignments.extend(self.data.iter().map(|folder| format!("data.folder={folder}")));
        let settings = TABLE.resolve(&Sources { file, environment, assignments })?;
        check(&settings)?;
        Ok(settings)
    }

    /// The settings, for a command that cannot go on without them.
    pub(crate) fn settings_or_failure(&self) -> Result<Settings, Failure> {
        self.settings().map_err(|problems| Failure::configuration(problems.to_string()))
    }
}

/// What several keys must fulfil together.
fn check(settings: &Settings) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let mut refuse = |place: &str, message: String| {
        problems.push(Problem { place: place.to_owned(), message });
    };
    if settings.text("data.folder").is_empty() {
        refuse("data.folder", "it is empty: name a folder".to_owned());
    }
    let idle = settings.duration("proxy.idle_time_limit");
    for name in ["proxy.heartbeat", "proxy.chat_heartbeat"] {
        if settings.duration(name) >= idle {
            refuse(
                name,
                "it is not below proxy.idle_time_limit: every idle client would be closed".to_owned(),
            );
        }
    }
    if settings.bool("goim.allow_anonymous") && !settings.address("listen.api").ip().is_loopback() {
        let address = settings.address("listen.api");
        refuse(
            "goim.allow_anonymous",
            format!("listen.api is {address}, off loopback: everybody could push"),
        );
    }
    for origin in settings.texts("web.allowed_origins") {
        if !is_origin(origin) {
            refuse(
                "web.allowed_origins",
                format!("{origin:?} is no origin such as https://chat.example.com"),
            );
        }
    }
    if let Err(error) = runtime::telemetry::parse_level(settings.text("log.level")) {
        refuse("log.level", error.to_string());
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    authority.is_some_and(|authority| {
        !authority.is_empty()
            && !authority.contains(['/', '?', '#', '@', '*'])
            && !text.contains(char::is_whitespace)
    })
}

/// Refuses listeners that strangers could reach without having been meant to.
pub(crate) fn check_listeners(settings: &Settings, dev: bool) -> Result<(), Failure> {
    for name in ["listen.tcp", "listen.ws", "listen.api", "listen.peers"] {
        let address: SocketAddr = settings.address(name);
        if address.ip().is_loopback() {
            continue;
        }
        if dev {
            return Err(Failure::configuration(format!(
                "{name} is {address}, off loopback: with --dev anybody can be anybody, so listeners stay on \
                 loopback; leave --dev out and set auth.public=true"
            )));
        }
        if !settings.bool("auth.public") {
            return Err(Failure::configuration(format!(
                "{name} is {address}, off loopback: set auth.public=true if others are to reach it"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(assignments: &[&str]) -> Result<Settings, Problems> {
        let assignments = assignments.iter().map(|&text| text.to_owned()).collect();
        let settings = TABLE.resolve(&Sources { assignments, ..Sources::default() })?;
        check(&settings)?;
        Ok(settings)
    }

    #[test]
    fn the_file_of_defaults_is_what_the_table_says() {
        let file = include_str!("../config/embedded.toml");
        assert!(
            file == TABLE.default_file(),
            "write it anew: anser config print --default > server/config/embedded.toml"
        );
    }

    #[test]
    fn the_defaults_are_in_order() {
        let settings = with(&[]).unwrap();
        assert!(check_listeners(&settings, true).is_ok());
        assert!(check_listeners(&settings, false).is_ok());
    }

    #[test]
    fn a_frame_is_never_bounded_below_goims_own_limit() {
        assert!(with(&["proxy.frame_body_bytes_max=4095"]).is_err());
        assert!(with(&["proxy.frame_body_bytes_max=4096"]).is_ok());
    }

    #[test]
    fn keys_that_do_not_fit_together_are_refused() {
        for (assignments, place) in [
            (&["proxy.idle_time_limit=20s"][..], "proxy.heartbeat"),
            (&["goim.allow_anonymous=true", "listen.api=0.0.0.0:3111"], "goim.allow_anonymous"),
            (&["web.allowed_origins=chat.example.com"], "web.allowed_origins"),
            (&["web.allowed_origins=https://a/b"], "web.allowed_origins"),
            (&["data.folder="], "data.folder"),
            (&["log.level=warning"], "log.level"),
        ] {
            let problems = with(assignments).unwrap_err();
            assert_eq!(problems.0[0].place, place, "{problems}");
        }
        assert!(with(&["web.allowed_origins=https://a,http://b:8080"]).is_ok());
    }

    #[test]
    fn a_listener_off_loopback_needs_to_be_meant() {
        let outside = with(&["listen.ws=0.0.0.0:3102"]).unwrap();
        let reason = check_listeners(&outside, false).unwrap_err().to_string();
        assert!(reason.contains("listen.ws") && reason.contains("auth.public=true"), "{reason}");
        let meant = with(&["listen.ws=[::]:3102", "auth.public=true"]).unwrap();
        assert!(check_listeners(&meant, false).is_ok());
        assert!(check_listeners(&meant, true).unwrap_err().to_string().contains("--dev"));
    }
}
