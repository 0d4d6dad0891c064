//! `anser serve`: runs the roles until it is told to stop.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use auth::keys::Keys;
use clap::Parser;
use runtime::config::Settings;
use runtime::telemetry::{LogFormat, Metrics, start_log};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::output::note;
use crate::compose::{self, Addresses, Setup, System, keys_folder};
use crate::config::{SettingsArgs, check_listeners};
use crate::data::Folder;
use crate::role::Roles;

/// Runs a server. Without any setting it is whole: all roles, its data in ./anser-data, listeners on loopback.
///
/// SIGTERM and SIGINT stop it in order: clients are told to connect again, what was answered is kept. A second
/// signal leaves at once.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Which roles this process holds: `all`, or some of auth, router, proxy, push, logic, im and consumer, joined by
    /// commas. Processes of one system find each other where `discovery.url` says.
    #[arg(long, value_name = "ROLES", default_value = "all")]
    roles: String,
    /// Trusts everybody to be whoever they say, and takes calls without the API key. For development.
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs until a signal ends it, or a part that it cannot go on without.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let roles = Roles::parse(&args.roles)?;
    let settings = args.settings.settings_or_failure()?;
    compose::check(&settings, &roles)?;
    check_listeners(&settings, args.dev)?;
    start_log(settings.text("log.level"), log_format(&settings))
        .map_err(|error| Failure::configuration(error.to_string()))?;
    let metrics = Metrics::start().map_err(|error| Failure::failed(error.to_string()))?;
    let mut signals = Signals::listen()?;

    let data = Folder::take(Path::new(settings.text("data.folder")))?;
    let keys_folder = keys_folder(&settings, &data.path);
    let keys = Keys::open(&keys_folder).map_err(|error| Failure::failed(error.to_string()))?;
    let token_command = token_command(&settings, &keys_folder);
    if keys.made {
        say(&format!("made the keys of a new server in {}", keys_folder.display()));
        say(&format!("get a token with: {token_command}"));
    }
    if args.dev {
        warn_of_dev();
    }

    let data_path = data.path.clone();
    let setup = Setup { settings, roles, dev: args.dev, data, keys, metrics };
    let system = tokio::select! {
        system = Box::pin(System::start(setup)) => system?,
        end = signals.next() => return Ok(end.at_once()),
    };
    say(&ready(&system, &data_path, args.dev, &token_command));

    let failed = tokio::select! {
        end = signals.next() => {
            tracing::info!(target: "anser", signal = end.name(), "stopping");
            None
        }
        // A server that is half there helps nobody: whoever supervises the process starts a whole one.
        part = system.failed() => {
            tracing::error!(target: "anser", part, "stopping: a part failed");
            Some(part)
        }
    };
    let stopped = tokio::spawn(system.stop());
    tokio::select! {
        stopped = stopped => match stopped {
            Ok(()) => match failed {
                Some(part) => Err(Failure::failed(format!("the {part} failed; the log says why"))),
                None => Ok(ExitCode::SUCCESS),
            },
            Err(error) => Err(Failure::failed(format!("the stop failed: {error}"))),
        },
        end = signals.next() => {
            tracing::warn!(target: "anser", signal = end.name(), "leaving at once");
            Ok(end.at_once())
        }
    }
}

fn log_format(settings: &Settings) -> LogFormat {
    match settings.text("log.format") {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => LogFormat::Automatic,
    }
}

/// How a person gets a token from this server's data folder.
fn token_command(settings: &Settings, data: &Path) -> String {
    let is_default = Path::new(settings.text("data.folder")) == Path::new("./anser-data");
    let folder = if is_default { String::new() } else { format!(" --data {}", data.display()) };
    format!("anser token new --user alice{folder}")
}

fn ready(system: &System, data: &Path, dev: bool, token_command: &str) -> String {
    let Addresses { tcp, ws, api } = system.addresses;
    let mut lines = vec!["anser is ready".to_owned()];
    if let (Some(ws), Some(tcp)) = (ws, tcp) {
        lines.push(format!("chat page    http://{ws}/"));
        lines.push(format!("WebSocket    ws://{ws}/sub"));
        lines.push(format!("TCP          tcp://{tcp}"));
    } else {
        lines.push(format!("process      {}", system.server()));
    }
    lines.push(format!("server API   http://{api}"));
    lines.push(format!("data folder  {}", data.display()));
    if ws.is_some() {
        let next = if dev {
            "open the chat page and log in as any name".to_owned()
        } else {
            format!("get a token with: {token_command}")
        };
        lines.push(format!("what next    {next}"));
    }
    lines.join("\n")
}

fn warn_of_dev() {
    let line = "!".repeat(78);
    note(&line);
    note("!!  --dev: this server trusts everybody. Whoever reaches it can be any user, read");
    note("!!  their messages and push to anyone. Leave --dev out where others have access.");
    note(&line);
}

/// Writes for whoever watches; a server whose standard output is closed goes on.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[derive(Clone, Copy)]
enum End {
    Terminate,
    Interrupt,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// The exit code of a process that a signal ended before its work was done.
    fn at_once(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        })
    }
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be received: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Terminate,
            _ = self.interrupt.recv() => End::Interrupt,
        }
    }
}
