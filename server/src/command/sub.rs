//! `anser sub`: prints every push that arrives, for a look at what is going on and for scripts.

use anser_client::{Client, Event};
use clap::Parser;
use protocol::client::{PresencePush, UserPresence};

use super::connection_notes::ConnectionNotes;
use super::event_text;
use super::failure::Failure;
use super::output::{line, note, until_the_reader_leaves};

/// Prints every push that arrives, one a line, until it is interrupted.
///
/// Messages arrive as they do on a device: what this device missed comes first, and what was printed is
/// received.
#[derive(Debug, Clone, Parser)]
#[command(after_help = "Example: anser sub --as bob --watch alice --json")]
pub(crate) struct Args {
    /// Who to be. A server without --dev takes it from the token.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// A room to be in, such as live://1; may be given several times.
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
    /// A user whose coming and going is printed; may be given several times.
    #[arg(long = "watch", value_name = "USER")]
    watched: Vec<String>,
    /// Operations of server pushes to receive, joined by commas; all of them by default.
    #[arg(long, value_name = "OPERATIONS", value_delimiter = ',')]
    accepts: Vec<i32>,
    /// Ends after so many pushes.
    #[arg(long, value_name = "PUSHES")]
    count: Option<u64>,
    /// The server: ws://HOST:PORT/sub or tcp://HOST:PORT.
    #[arg(long, default_value = "ws://127.0.0.1:3102/sub")]
    url: String,
    /// A token, as `anser token new` gives it.
    #[arg(long, env = "ANSER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name of this device; the server keeps for each how far it received.
    #[arg(long, default_value = "sub")]
    device: String,
    /// Prints JSON as on the wire, one object a line: {"push":…}, {"room":…}, {"message":…}, {"recalled":…},
    /// {"groupEvent":…}, {"receipt":…}, {"typing":…}, {"presence":…}, {"conversation":…}, {"groupRequest":…}.
    #[arg(long)]
    json: bool,
}

/// Runs until it is interrupted or the server ends it.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let builder = Client::builder(&args.url)
        .user(&args.user)
        .device(&args.device)
        .platform("cli")
        .token(args.token.clone().unwrap_or_default())
        .rooms(args.rooms.clone())
        .accepts(args.accepts.clone());
    let (client, mut events) = builder.start()?;
    if !args.watched.is_empty() {
        tokio::spawn(watch(client.clone(), args.watched.clone(), args.clone()));
    }
    let mut notes = ConnectionNotes::new(&args.url, &args.user);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut left = args.count;
    let mut result = Ok(());
    while result.is_ok() && left != Some(0) {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut interrupted => break,
        };
        result = match event {
            Some(Event::State(state)) => notes.state(&state),
            Some(event) => match text(&event, &args) {
                Some(text) => {
                    left = left.map(|left| left - 1);
                    line(&text)
                }
                None => Ok(()),
            },
            None => break,
        };
    }
    if client.dropped_count() > 0 {
        note(&format!(
            "{} pushes came faster than they could be printed and are missing",
            client.dropped_count()
        ));
    }
    client.close().await;
    until_the_reader_leaves(result)
}

/// Prints where the users are, and sees to it that what changes is told.
async fn watch(client: Client, users: Vec<String>, args: Args) {
    match client.watch(users).await {
        Ok(reply) => {
            for user in reply.users {
                let UserPresence { user, online: Some(online), last_seen_ms, .. } = user else { continue };
                let event = Event::Presence(PresencePush { user, online, last_seen_ms });
                // Whether anybody reads on is found by the next event.
                let _ = text(&event, &args).map(|text| line(&text));
            }
        }
        Err(error) => note(&format!("nobody is watched: {error}")),
    }
}

fn text(event: &Event, args: &Args) -> Option<String> {
    if args.json { event_text::json(event) } else { event_text::line(event, &args.user) }
}
