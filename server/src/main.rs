//! `anser`: the one binary. It serves, and it holds the commands that people and scripts speak to a server
//! with.
//!
//! Exit codes: 0 it was done, 1 it failed, 2 wrong use, 3 wrong settings, 4 the server cannot be reached,
//! 5 denied; 130 and 143 where a signal ended it at once.

mod command;
mod compose;
mod config;
mod data;
mod http;
mod page;
mod readiness;
mod role;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::failure::Failure;
use crate::command::output::note;
use crate::command::{ask, bench, chat, migrate, push, serve, sub, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Instant messaging: push to one, many or all, live rooms, and chat that loses nothing.
#[derive(Debug, Parser)]
#[command(name = "anser", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Token(token::Args),
    Config(command::config::Args),
    Migrate(migrate::Args),
    Chat(chat::Args),
    Push(push::Args),
    Sub(sub::Args),
    #[command(flatten)]
    Ask(ask::Command),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody can be told where neither output is open.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            if failure.exit_code() != 0 {
                note(&format!("anser: {failure}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Serve(args) => block_on(serve::run(args))?,
        Command::Token(args) => token::run(args).map(done),
        Command::Config(args) => command::config::run(args).map(done),
        Command::Migrate(args) => block_on(migrate::run(args))?.map(done),
        Command::Chat(args) => block_on(chat::run(args))?.map(done),
        Command::Push(args) => block_on(push::run(args))?.map(done),
        Command::Sub(args) => block_on(sub::run(args))?.map(done),
        Command::Ask(command) => block_on(ask::run(command))?.map(done),
        Command::Bench(args) => block_on(bench::run(args))?.map(done),
    }
}

/// Runs to the end of the future. What else still runs then is left behind: whoever must be waited for was.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let parallelism = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(parallelism.clamp(2, 8))
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("threads cannot be started: {error}")))?;
    let result = runtime.block_on(Box::pin(future));
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        super::Cli::command().debug_assert();
    }
}
