//! `anser push`: pushes through the server API to users, connections, rooms or everybody.

use std::io::{self, Read};
use std::path::PathBuf;

use anser_client::{PushResult, PushStatus, PushTo, ServerApi};
use clap::{Parser, Subcommand};
use protocol::limits::PUSH_BODY_BYTES_MAX;
use serde_json::json;

use super::failure::Failure;
use super::output::{line, note, until_the_reader_leaves};

/// The file in the data folder that holds the key of the server API.
const KEY_FILE: &str = "api-key";

/// Pushes to whoever is connected now. A push is not stored: who is offline does not get it.
///
/// The exit code is 0 when the server took the push; what became of it for each user is printed.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    target: Target,
    /// The operation that tells the receivers what the body is.
    #[arg(long, global = true, default_value_t = 1000)]
    op: i32,
    /// The server API.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:3111")]
    api: String,
    /// The key of the server API.
    #[arg(long, global = true, env = "ANSER_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The data folder of a server on this machine, whose key is used when none is given.
    #[arg(long, global = true, value_name = "FOLDER", default_value = "./anser-data")]
    data: PathBuf,
    /// Prints the results as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// Pushes to one user, on all devices.
    User {
        /// The user.
        user: String,
        /// What to push; - reads it from standard input.
        body: String,
    },
    /// Pushes to several users.
    Users {
        /// The users, joined by commas.
        #[arg(value_delimiter = ',', required = true, num_args = 1)]
        users: Vec<String>,
        /// What to push; - reads it from standard input.
        body: String,
    },
    /// Pushes to one connection.
    Connection {
        /// The connection's key.
        connection: String,
        /// What to push; - reads it from standard input.
        body: String,
    },
    /// Pushes to everybody in a room.
    Room {
        /// The room, such as live://1.
        room: String,
        /// What to push; - reads it from standard input.
        body: String,
    },
    /// Pushes to everybody.
    All {
        /// What to push; - reads it from standard input.
        body: String,
        /// Connections to reach per second.
        #[arg(long)]
        speed: Option<u32>,
    },
}

/// Pushes once.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (to, body) = match args.target {
        Target::User { user, body } => (PushTo::Users(vec![user]), body),
        Target::Users { users, body } => (PushTo::Users(users), body),
        Target::Connection { connection, body } => (PushTo::Connections(vec![connection]), body),
        Target::Room { room, body } => (PushTo::Room(room), body),
        Target::All { body, speed } => (PushTo::All { speed }, body),
    };
    let body = if body == "-" { read_body()? } else { body.into_bytes() };
    let key = match args.key.filter(|key| !key.is_empty()) {
        Some(key) => Some(key),
        None => key_in(&args.data)?,
    };
    let has_key = key.is_some();
    let noun = if matches!(to, PushTo::Connections(_)) { "connection" } else { "user" };
    let results = ServerApi::new(&args.api, key)
        .push(to, args.op, &body)
        .await
        .map_err(|error| explain(error, has_key, &args.data))?;
    until_the_reader_leaves(show(&results, noun, args.json))
}

fn read_body() -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    io::stdin().lock().take(PUSH_BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body)?;
    if body.len() > PUSH_BODY_BYTES_MAX {
        return Err(Failure::usage(format!("the input is over {PUSH_BODY_BYTES_MAX} bytes: push less")));
    }
    Ok(body)
}

/// The key that a server on this machine made, if it may be read from here.
fn key_in(data: &std::path::Path) -> Result<Option<String>, Failure> {
    let path = data.join(KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(Some(key.trim().to_owned()).filter(|key| !key.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::failed(format!("cannot read {}: {error}", path.display()))
            .next("Give the key with --key or ANSER_API_KEY.")),
    }
}

fn explain(error: anser_client::Error, has_key: bool, data: &std::path::Path) -> Failure {
    let failure = Failure::from(error);
    match failure.exit_code() {
        4 => failure.next("Is the server running? --api says where its server API is."),
        5 if has_key => failure.next("The key was refused: give the right one with --key or ANSER_API_KEY."),
        5 => failure.next(&format!(
            "No key was given and {} has none: use --key, ANSER_API_KEY or --data.",
            data.display()
        )),
        _ => failure,
    }
}

/// Shows the results; in JSON in the shape of the server API.
fn show(results: &[PushResult], noun: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let results: Vec<_> = results
            .iter()
            .map(|result| json!({ noun: result.name, "status": result.status.name() }))
            .collect();
        return line(&json!({ "results": results }).to_string());
    }
    for result in results {
        line(&format!("{}: {}", result.name, result.status.name()))?;
    }
    let offline_count = results.iter().filter(|result| result.status == PushStatus::Offline).count();
    if results.is_empty() {
        note("the server took the push");
    } else if offline_count > 0 {
        note("a push is not stored: who is offline does not get it; `anser chat` sends what is kept");
    }
    Ok(())
}
