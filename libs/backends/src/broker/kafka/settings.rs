//! What a URL says of Kafka, and what its clients are configured with.
//!
//! `kafka://[user:password@]host:port,host:port,…[?option=value&…]`. An error names the option and never the
//! password; nothing here can be printed.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::broker::Topic;
use crate::{Error, Kind, Result};

/// What topics and consumer names begin with where the URL does not say.
const PREFIX: &str = "anser";
/// A topic's name in Kafka has at most 249 bytes; the longest of ours adds 9.
const PREFIX_BYTES_MAX: usize = 200;
/// Partitions of a topic that is created: as many processes can share its work.
const PARTITIONS: i32 = 8;
const PARTITIONS_MAX: i32 = 1_000;
const REPLICATION_MAX: i32 = 7;
/// How long a record waits for others before they leave together.
const LINGER: Duration = Duration::from_millis(2);
const LINGER_MAX: Duration = Duration::from_secs(1);
/// How long a consumer that says nothing keeps its partitions: the least that Kafka's own default allows.
const SESSION: Duration = Duration::from_secs(6);
const SESSION_MAX: Duration = Duration::from_secs(300);

/// How long Kafka may take to acknowledge a record of topic `fanout`.
pub(super) const DURABLE_TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long Kafka may take to acknowledge a record of another topic; what is older is for nobody.
pub(super) const TRANSIENT_TIME_LIMIT: Duration = Duration::from_secs(5);
/// Records and bytes that wait for Kafka in one producer; then it is full.
const QUEUE_RECORDS_MAX: usize = 100_000;
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a consumer fetches ahead of those who read.
const AHEAD_RECORDS: usize = 10_000;
const AHEAD_BYTES: usize = 16 * 1024 * 1024;

/// Where Kafka is, and how it is to be used.
pub(super) struct Settings {
    /// `host:port,host:port`.
    pub(super) servers: String,
    prefix: String,
    /// Partitions and replicas that the URL asks for.
    pub(super) partitions: Option<i32>,
    pub(super) replication: Option<i32>,
    linger: Duration,
    session: Duration,
    login: Option<Login>,
}

struct Login {
    user: String,
    password: String,
}

impl Settings {
    /// Reads what follows `kafka:` in a URL.
    ///
    /// # Errors
    /// `Missing`, naming what cannot be read and what to write.
    pub(super) fn parse(rest: &str) -> Result<Self> {
        let bad = |message: String| Err(Error::new(Kind::Missing, message));
        let Some(rest) = rest.strip_prefix("//") else {
            return bad("url of the broker names no servers: write kafka://host:port,host:port".to_owned());
        };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, servers) = match place.rsplit_once('@') {
            Some((login, servers)) => (Some(Login::parse(login)?), servers),
            None => (None, place),
        };
        let servers = servers.trim_end_matches('/');
        for server in servers.split(',') {
            let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
                let server: String = server.chars().take(64).collect();
                return bad(format!("server {server:?} in the url of the broker is not host:port"));
            }
        }
        let mut settings = Self {
            servers: servers.to_owned(),
            prefix: PREFIX.to_owned(),
            partitions: None,
            replication: None,
            linger: LINGER,
            session: SESSION,
            login,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "prefix" => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                if value.is_empty() || value.len() > PREFIX_BYTES_MAX || !value.bytes().all(fits) {
                    return Err(refused(name, "1 to 200 of the characters a-z A-Z 0-9 . _ -"));
                }
                value.clone_into(&mut self.prefix);
            }
            "partitions" => self.partitions = Some(number(name, value, 1, PARTITIONS_MAX)?),
            "replication" => self.replication = Some(number(name, value, 1, REPLICATION_MAX)?),
            "linger_ms" => self.linger = milliseconds(name, value, Duration::ZERO, LINGER_MAX)?,
            "session_ms" => self.session = milliseconds(name, value, SESSION, SESSION_MAX)?,
            "security" => match value {
                "plaintext" | "sasl_plaintext" => {}
                "ssl" | "sasl_ssl" => {
                    let message = "security=ssl in the url of the broker: this client of Kafka speaks no TLS; let a \
                                   proxy beside this process, or a private network, carry its connections";
                    return Err(Error::new(Kind::Missing, message));
                }
                _ => return Err(refused(name, "plaintext or sasl_plaintext")),
            },
            "sasl" => match value {
                "plain" => {}
                _ => return Err(refused(name, "plain: this client of Kafka has no other mechanism")),
            },
            _ => {
                let name: String = name.chars().take(32).collect();
                let message = format!(
                    "option {name:?} in the url of the broker is not known: there are prefix, partitions, \
                     replication, linger_ms, session_ms, security and sasl"
                );
                return Err(Error::new(Kind::Missing, message));
            }
        }
        Ok(())
    }

    /// What a topic is called in Kafka.
    pub(super) fn topic_name(&self, topic: Topic) -> String {
        format!("{}.{}", self.prefix, topic.name())
    }

    /// What those who read a topic under a consumer name are called in Kafka.
    pub(super) fn group_name(&self, topic: Topic, consumer: &str) -> String {
        format!("{}.{}.{consumer}", self.prefix, topic.name())
    }

    /// Partitions of a topic that is created.
    pub(super) fn partitions_to_create(&self) -> i32 {
        self.partitions.unwrap_or(PARTITIONS)
    }

    /// What every client is configured with.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.servers)
            .set("client.id", "anser")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.refresh.interval.ms", "30000")
            // Brokers close what is idle, and then nothing is wrong.
            .set("log.connection.close", "false")
            .set("enable.metrics.push", "false");
        if let Some(Login { user, password }) = &self.login {
            config
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", user)
                .set("sasl.password", password);
        }
        config
    }

    /// A producer's configuration: nothing twice and nothing out of order, also where it has to send again.
    pub(super) fn producer(&self, time_limit: Duration) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            // Every record has a key, an empty one too.
            .set("partitioner", "murmur2")
            .set("sticky.partitioning.linger.ms", "0")
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("delivery.timeout.ms", time_limit.as_millis().to_string())
            .set("request.timeout.ms", (time_limit / 2).as_millis().to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string())
            .set("queue.buffering.max.kbytes", (QUEUE_BYTES_MAX / 1024).to_string());
        config
    }

    /// A consumer's configuration; what it has read is committed by word alone.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session.as_millis().to_string())
            .set("heartbeat.interval.ms", (self.session / 6).as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_uncommitted")
            // A tenth of it is how often a coordinator that went away is looked for.
            .set("coordinator.query.interval.ms", "5000")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", AHEAD_RECORDS.to_string())
            .set("queued.max.messages.kbytes", (AHEAD_BYTES / 1024).to_string());
        config
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self> {
        let parts = text.split_once(':').map(|(user, password)| (decode(user), decode(password)));
        match parts {
            Some((Some(user), Some(password))) if !user.is_empty() => Ok(Self { user, password }),
            _ => {
                let message = "the login in the url of the broker cannot be read: write user:password@, with %40 for \
                               an @ and %3A for a : in them";
                Err(Error::new(Kind::Missing, message))
            }
        }
    }
}

fn refused(name: &str, expected: &str) -> Error {
    Error::new(
        Kind::Missing,
        format!("option {name} in the url of the broker cannot be read: give {expected}"),
    )
}

fn number(name: &str, value: &str, least: i32, most: i32) -> Result<i32> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| refused(name, &format!("a number from {least} to {most}")))
}

fn milliseconds(name: &str, value: &str, least: Duration, most: Duration) -> Result<Duration> {
    let time = value.parse().ok().map(Duration::from_millis).filter(|time| (least..=most).contains(time));
    let expected = || format!("milliseconds from {} to {}", least.as_millis(), most.as_millis());
    time.ok_or_else(|| refused(name, &expected()))
}

/// Takes the percent signs out of a part of a URL.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Settings::parse(url) {
            Ok(_) => panic!("{url} must be refused"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Missing);
                error.to_string()
            }
        }
    }

    #[test]
    fn servers_and_options_are_read() {
        let settings =
            Settings::parse("//one:9092,two:9093?prefix=acme-2&partitions=24&replication=2&linger_ms=0")
                .unwrap();
        assert_eq!(settings.servers, "one:9092,two:9093");
        assert_eq!(settings.topic_name(Topic::Push), "acme-2.push");
        assert_eq!(settings.group_name(Topic::Fanout, "consumer"), "acme-2.fanout.consumer");
        assert_eq!((settings.partitions, settings.replication), (Some(24), Some(2)));
        assert_eq!(settings.producer(Duration::from_secs(1)).get("linger.ms"), Some("0"));
    }

    #[test]
    fn a_login_reaches_the_clients_and_no_error() {
        let settings = Settings::parse("//anser:p%40ss%3Aword@one:9092?sasl=plain").unwrap();
        let config = settings.client();
        assert_eq!(config.get("sasl.username"), Some("anser"));
        assert_eq!(config.get("sasl.password"), Some("p@ss:word"));
        assert_eq!(config.get("security.protocol"), Some("sasl_plaintext"));
        for url in ["//anser:hidden@one", "//anser:hidden@one:9092?colour=red", "//anser:hid%zzden@one:1"] {
            assert!(!refusal(url).contains("hid"), "{url}: {}", refusal(url));
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        for (url, named) in [
            ("one:9092", "names no servers"),
            ("//", "\"\""),
            ("//one:9092,two", "\"two\""),
            ("//one:9092,:9093", "\":9093\""),
            ("//one:9092?partitions=0", "partitions"),
            ("//one:9092?replication=many", "replication"),
            ("//one:9092?session_ms=10", "session_ms"),
            ("//one:9092?prefix=a/b", "prefix"),
            ("//one:9092?colour=red", "\"colour\""),
            ("//one:9092?security=ssl", "TLS"),
            ("//one:9092?sasl=scram-sha-512", "sasl"),
        ] {
            assert!(refusal(url).contains(named), "{url}: {}", refusal(url));
        }
    }
}
