//! Sees to it that the topics are there and are as the contract needs them.
//!
//! What is missing is created. What is there is somebody's, and is never changed: where it does not fit, it is
//! refused by name.

use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use tokio::runtime::Handle;

use super::context::{Asking, failure};
use super::settings::Settings;
use crate::broker::Topic;
use crate::{Error, Kind, Result};

pub(super) const TOPICS: [Topic; 3] = [Topic::Push, Topic::Fanout, Topic::Presence];
/// How long Kafka may take for one question.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How long topics that were created may take until every broker knows them.
const SPREAD_LIMIT: Duration = Duration::from_secs(15);
const SPREAD_PAUSE: Duration = Duration::from_millis(100);
const REPLICATION_DEFAULT: usize = 3;
/// Replicas that must have a record before it is acknowledged, where there are three or more.
const IN_SYNC_LEAST: u32 = 2;
/// How long hints are kept: consumer's sweep needs none of them.
const DURABLE_KEPT_MS: &str = "86400000";
/// How long a room's messages are kept: those who would read later are not there any more.
const TRANSIENT_KEPT_MS: &str = "60000";
const SEGMENT_BYTES: &str = "67108864";

/// Creates what is missing and looks at what is there. It blocks.
///
/// # Errors
/// `Conflict` where a topic does not fit; `Transient` where Kafka cannot be asked.
pub(super) fn prepare(settings: &Settings, handle: &Handle) -> Result<()> {
    let admin: AdminClient<Asking> = settings
        .client()
        .create_with_context(Asking)
        .map_err(|error| failure("a client of kafka cannot be made".to_owned(), error))?;
    let mut metadata = metadata(&admin, settings)?;
    let missing: Vec<Topic> =
        TOPICS.into_iter().filter(|topic| find(&metadata, &settings.topic_name(*topic)).is_none()).collect();
    if !missing.is_empty() {
        create(&admin, settings, handle, &missing, metadata.brokers().len())?;
        metadata = spread(&admin, settings)?;
    }
    let configurations = configurations(&admin, settings, handle)?;
    for topic in TOPICS {
        let name = settings.topic_name(topic);
        let Some(found) = find(&metadata, &name) else {
            return Err(Error::new(Kind::Transient, format!("topic {name} of kafka is not there yet")));
        };
        check_shape(settings, &name, found)?;
        let configuration = configurations.iter().find(|configuration| is_of(configuration, &name));
        check_configuration(topic, &name, found, configuration)?;
    }
    Ok(())
}

fn metadata(admin: &AdminClient<Asking>, settings: &Settings) -> Result<Metadata> {
    // All topics: to ask for one that is missing could create it with the brokers' own settings.
    admin.inner().fetch_metadata(None, ASK_LIMIT).map_err(|error| {
        let servers = &settings.servers;
        failure(format!("kafka does not answer at {servers} within {ASK_LIMIT:?}"), error)
    })
}

fn find<'metadata>(metadata: &'metadata Metadata, name: &str) -> Option<&'metadata MetadataTopic> {
    metadata.topics().iter().find(|topic| topic.name() == name && !topic.partitions().is_empty())
}

fn create(
    admin: &AdminClient<Asking>,
    settings: &Settings,
    handle: &Handle,
    topics: &[Topic],
    broker_count: usize,
) -> Result<()> {
    let default = i32::try_from(broker_count.clamp(1, REPLICATION_DEFAULT)).unwrap_or(1);
    let replication = settings.replication.unwrap_or(default);
    let partitions = settings.partitions_to_create();
    let in_sync = if replication >= 3 { IN_SYNC_LEAST } else { 1 }.to_string();
    let names: Vec<String> = topics.iter().map(|topic| settings.topic_name(*topic)).collect();
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&names)
        .map(|(topic, name)| {
            let kept = if is_durable(*topic) { DURABLE_KEPT_MS } else { TRANSIENT_KEPT_MS };
            NewTopic::new(name, partitions, TopicReplication::Fixed(replication))
                .set("min.insync.replicas", &in_sync)
                .set("cleanup.policy", "delete")
                .set("unclean.leader.election.enable", "false")
                .set("retention.ms", kept)
                .set("segment.bytes", SEGMENT_BYTES)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ASK_LIMIT)).request_timeout(Some(ASK_LIMIT));
    let answers = handle
        .block_on(admin.create_topics(&wanted, &options))
        .map_err(|error| failure("kafka does not create topics".to_owned(), error))?;
    for answer in answers {
        match answer {
            Ok(name) => tracing::info!(target: "broker", name, partitions, replication, "topic created"),
            // Another process was quicker.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                name,
                code @ (RDKafkaErrorCode::InvalidReplicationFactor
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed),
            )) => {
                let message = format!(
                    "topic {name} cannot be created with {partitions} partitions and replication {replication} on \
                     {broker_count} brokers: {code}"
                );
                return Err(Error::new(Kind::Conflict, message));
            }
            Err((name, code)) => {
                let message = format!("topic {name} cannot be created");
                return Err(failure(message, KafkaError::AdminOp(code)));
            }
        }
    }
    Ok(())
}

/// Waits until all topics are there and each partition has a leader.
fn spread(admin: &AdminClient<Asking>, settings: &Settings) -> Result<Metadata> {
    let end = Instant::now() + SPREAD_LIMIT;
    loop {
        let metadata = metadata(admin, settings)?;
        let is_led = |topic: Topic| {
            find(&metadata, &settings.topic_name(topic))
                .is_some_and(|found| found.partitions().iter().all(|partition| partition.leader() >= 0))
        };
        if TOPICS.into_iter().all(is_led) || Instant::now() > end {
            return Ok(metadata);
        }
        std::thread::sleep(SPREAD_PAUSE);
    }
}

fn configurations(
    admin: &AdminClient<Asking>,
    settings: &Settings,
    handle: &Handle,
) -> Result<Vec<ConfigResource>> {
    let names = TOPICS.map(|topic| settings.topic_name(topic));
    let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(ASK_LIMIT));
    let answers = handle
        .block_on(admin.describe_configs(&asked, &options))
        .map_err(|error| failure("kafka does not tell how topics are configured".to_owned(), error))?;
    let mut found = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(configuration) => found.push(configuration),
            Err(code) => tracing::warn!(
                target: "broker", %code, "how a topic is configured cannot be looked at: it is taken as it is"
            ),
        }
    }
    Ok(found)
}

fn is_of(configuration: &ConfigResource, name: &str) -> bool {
    use rdkafka::admin::OwnedResourceSpecifier::Topic;
    matches!(&configuration.specifier, Topic(found) if found == name)
}

/// Compares a topic with what the URL asks for.
fn check_shape(settings: &Settings, name: &str, found: &MetadataTopic) -> Result<()> {
    let partitions = found.partitions().len();
    if settings.partitions.is_some_and(|wanted| usize::try_from(wanted) != Ok(partitions)) {
        let message = format!(
            "topic {name} has {partitions} partitions and the url asks for others: say partitions={partitions}, or \
             name another prefix"
        );
        return Err(Error::new(Kind::Conflict, message));
    }
    let replication = replication(found);
    if settings.replication.is_some_and(|wanted| usize::try_from(wanted) != Ok(replication)) {
        let message = format!(
            "topic {name} is kept {replication} times and the url asks for another replication: have kafka reassign \
             its partitions, or say replication={replication}"
        );
        return Err(Error::new(Kind::Conflict, message));
    }
    Ok(())
}

fn check_configuration(
    topic: Topic,
    name: &str,
    found: &MetadataTopic,
    configuration: Option<&ConfigResource>,
) -> Result<()> {
    let value = |key: &str| configuration?.get(key)?.value.as_deref();
    if value("cleanup.policy").is_some_and(|policy| policy != "delete") {
        let message =
            format!("topic {name} is compacted, which removes records unread: set cleanup.policy=delete");
        return Err(Error::new(Kind::Conflict, message));
    }
    if !is_durable(topic) {
        return Ok(());
    }
    let in_sync = value("min.insync.replicas").and_then(|count| count.parse::<u32>().ok());
    if replication(found) >= 3 && in_sync.is_some_and(|count| count < IN_SYNC_LEAST) {
        let message = format!(
            "topic {name} acknowledges what one broker alone has, so a broker that dies loses it: set \
             min.insync.replicas={IN_SYNC_LEAST}"
        );
        return Err(Error::new(Kind::Conflict, message));
    }
    if value("unclean.leader.election.enable") == Some("true") {
        let message = format!(
            "topic {name} lets a replica lead that lacks records: set unclean.leader.election.enable=false"
        );
        return Err(Error::new(Kind::Conflict, message));
    }
    Ok(())
}

/// The least number of replicas that a partition has.
fn replication(topic: &MetadataTopic) -> usize {
    topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0)
}

/// Whether what is published there must not be lost.
pub(super) fn is_durable(topic: Topic) -> bool {
    topic == Topic::Fanout
}
