//! The project's own commands, run as `cargo xtask <command>`: one file a command.
//!
//! They need nothing beyond Rust to start. What a command needs besides (Node, Chromium, cargo-deny), it
//! installs itself, or says what is missing and goes on without it where it can.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its outputs")]

mod check;
mod cluster;
mod dev;
mod install;
mod process;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::Failure;

/// The commands that build, run, check and test Anser.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the chat page and the binary and runs `anser serve --dev` in the foreground.
    Dev(dev::Arguments),
    /// Starts, looks at, breaks and ends the whole cluster on this machine: one role a process, on real products.
    Cluster(cluster::Arguments),
    /// Installs what is missing, then runs every check and every test, the cheapest first.
    Test,
    /// Checks format, lints, the project's own rules, licences and sources of dependencies, and advisories.
    Check,
    /// Checks the project's own rules alone: what may depend on what, file sizes, names, words, links.
    Tidy,
    /// Installs everything that the other commands need, without asking.
    Setup,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = root();
    let done = match arguments.command {
        Command::Dev(arguments) => dev::run(&root, &arguments),
        Command::Cluster(arguments) => cluster::run(&root, &arguments),
        Command::Test => test::run(&root),
        Command::Check => check::run(&root),
        Command::Tidy => tidy::run(&root),
        Command::Setup => install::everything(&root),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            // A command that has already said what failed gives an empty reason, so that its own last line
            // stays the last one.
            if !why.is_empty() {
                eprintln!("error: {why}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace, wherever the command was started. cargo names it at run time; the name that was
/// built in serves where the program is started without cargo.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_path_buf()
}
