//! `cargo xtask dev`: from a fresh working copy to a running server with the chat page.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::process::{self, Done, Failure, failure, program, say};
use crate::{install, test};

/// What `cargo xtask dev` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Builds without optimizations: quicker to build, slower to run.
    #[arg(long)]
    debug: bool,
    /// What follows `--` is handed to `anser serve`.
    #[arg(last = true)]
    serve: Vec<String>,
}

/// Builds the page and the binary and turns into `anser serve --dev`.
///
/// # Errors
/// Something cannot be built or started.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Done {
    let anser = build(root, arguments.debug)?;
    say(&format!("{} serve --dev {}", anser.display(), arguments.serve.join(" ")));
    // The server takes this process's place: every signal and the exit code are its own.
    let error = program(&anser).current_dir(root).args(["serve", "--dev"]).args(&arguments.serve).exec();
    failure(format!("cannot start {}: {error}", anser.display()))
}

/// Builds the page and the binary, and hands back where that is. Where Node is missing and cannot be installed,
/// the binary is built with its plain page.
///
/// # Errors
/// Something cannot be built.
pub(crate) fn build(root: &Path, without_optimizations: bool) -> Done<PathBuf> {
    match install::node(root) {
        Ok(()) => {
            say("building the chat page");
            test::page(root)?;
        }
        Err(Failure(why)) => say(&format!("no chat page: {why}. Going on with the plain page")),
    }
    let profile = if without_optimizations { "debug" } else { "release" };
    say(&format!("building anser ({profile}); the first build takes some minutes"));
    let mut build = process::cargo(root);
    build.args(["build", "--package", "server"]);
    if !without_optimizations {
        build.arg("--release");
    }
    // The terminal is cargo's own here, so that it can draw its progress.
    let status = build.status().map_err(|error| Failure(format!("cannot start cargo: {error}")))?;
    if !status.success() {
        return failure("the build failed");
    }
    Ok(process::target(root)?.join(profile).join("anser"))
}
