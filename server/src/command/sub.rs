//! `anser sub`: prints every push that arrives, for a look at what is going on and for scripts.

use anser_client::{Client, Event};
use clap::Parser;

use super::connection_notes::ConnectionNotes;
use super::event_text;
use super::failure::Failure;
use super::output::{line, note, printable, until_the_reader_leaves};

/// Prints every push that arrives, one a line, until it is interrupted.
///
/// Messages arrive as they do on a device: what this device missed comes first, and what was printed is
/// received.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Who to be. A server without --dev takes it from the token.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// A room to be in, such as live://1; may be given several times.
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
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
    /// Prints JSON, one object a line: {"push":…}, {"room":…}, {"message":…}.
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

fn text(event: &Event, args: &Args) -> Option<String> {
    if args.json {
        return event_text::json(event);
    }
    match event {
        Event::Message(message) => {
            Some(format!("message {}", event_text::message(message, &args.user, None)))
        }
        Event::Room(message) => {
            Some(format!("room {} {}", printable(&message.room), event_text::room_message(message)))
        }
        Event::Push(push) => Some(format!("push {}: {}", push.op, event_text::bytes(&push.body))),
        Event::SyncDone(_) | Event::Gap(_) | Event::Kicked(_) | Event::State(_) => None,
    }
}
