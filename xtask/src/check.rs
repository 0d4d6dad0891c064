//! `cargo xtask check`: what can be said of the sources without running them.
//!
//! Format, the project's own rules (`tidy`), licences and sources of dependencies, known advisories, lints.

use std::path::Path;
use std::time::Duration;

use crate::process::{self, Done, Failure, program, say};
use crate::{install, tidy};

/// How long the fetch of the advisories may stay silent: without a network it must not hold the checks.
const FETCH_SILENCE_MAX: Duration = Duration::from_secs(60);

/// A check: what it is called, and what runs it from the project's root.
type Check = (&'static str, fn(&Path) -> Done);

/// The checks, the cheapest first.
const CHECKS: [Check; 5] = [
    ("format", format),
    ("tidy", tidy::run),
    ("dependencies", dependencies),
    ("advisories", advisories),
    ("lints", lints),
];

/// Runs every check and stops at the first one that fails.
///
/// # Errors
/// A check failed.
pub(crate) fn run(root: &Path) -> Done {
    for (name, check) in CHECKS {
        say(name);
        check(root).map_err(|Failure(why)| Failure(format!("{name}: {why}")))?;
    }
    say("all checks passed");
    Ok(())
}

/// Checks that every file is formatted.
///
/// # Errors
/// One is not.
pub(crate) fn format(root: &Path) -> Done {
    let done = process::run(process::cargo(root).args(["fmt", "--all", "--check"]));
    done.map_err(|Failure(why)| Failure(format!("{why}; `cargo fmt --all` puts it right")))
}

/// Checks every target against the lints of `Cargo.toml` and `clippy.toml`.
///
/// # Errors
/// Something does not compile, or a lint warns.
pub(crate) fn lints(root: &Path) -> Done {
    let mut clippy = process::cargo(root);
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    process::run(&mut clippy)
}

/// Checks the dependencies against `deny.toml`: bans and doubles, licences, sources.
///
/// # Errors
/// cargo-deny cannot be had, or finds something.
pub(crate) fn dependencies(root: &Path) -> Done {
    let mut deny = program(install::cargo_deny(root)?);
    deny.current_dir(root).args(["--locked", "check", "bans", "licenses", "sources"]);
    process::run(&mut deny)
}

/// Checks the dependencies against the known advisories, where their database can be reached.
///
/// # Errors
/// cargo-deny cannot be had, or finds an advisory.
pub(crate) fn advisories(root: &Path) -> Done {
    let deny = install::cargo_deny(root)?;
    let mut fetch = program(&deny);
    // git fetches it and must not ask for a name where a proxy wants one.
    fetch.current_dir(root).env("GIT_TERMINAL_PROMPT", "0").args(["fetch", "db"]);
    if process::watch(&mut fetch, FETCH_SILENCE_MAX, |_| {}).is_err() {
        say("advisories were NOT checked: their database (github.com/rustsec/advisory-db) cannot be reached");
        return Ok(());
    }
    let mut check = program(&deny);
    process::run(check.current_dir(root).args(["--locked", "check", "--disable-fetch", "advisories"]))
}
