//! Installs what a command needs and the machine does not have, without asking.
//!
//! System packages come from apt-get, as root or through sudo. What apt-get does not have in a version that
//! serves goes below `target/tools`, which belongs to this working copy alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::process::{self, Done, Failure, failure, find, program, put_first_in_path, say};

/// The oldest Node that runs the page's build and the tests: 20 brought the test runner's present form.
const NODE_MAJOR_MIN: u32 = 20;
/// The Node that is fetched where the system's is older, and an npm that runs on it. Debian's own npm finds
/// its parts only through Debian's own Node.
const NODE_PACKAGES: [&str; 2] = ["node@22", "npm@10"];
/// The cargo-deny that `deny.toml` is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// The names that Chromium has, the first one found is taken.
const CHROMIUM_NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Installs everything that any command needs.
///
/// # Errors
/// Something that is missing cannot be installed here; the words say what to do.
pub(crate) fn everything(root: &Path) -> Done {
    node(root)?;
    chromium()?;
    cargo_deny(root)?;
    npm_packages(root, "clients/js-sdk")?;
    npm_packages(root, "clients/web")
}

/// Makes sure of Node and npm, and that what is run after this finds them.
///
/// # Errors
/// There is no Node of a version that serves, and none can be installed.
pub(crate) fn node(root: &Path) -> Done {
    let fetched = tools(root).join("node/node_modules/.bin");
    if node_serves() && find("npm").is_some() {
        return Ok(());
    }
    if fetched.join("node").exists() {
        return put_first_in_path(&fetched);
    }
    if find("node").is_none() {
        apt_get("nodejs")?;
    }
    if find("npm").is_none() {
        apt_get("npm")?;
    }
    if node_serves() {
        return Ok(());
    }
    say(&format!("fetching {}, since the system's Node is older than {NODE_MAJOR_MIN}", NODE_PACKAGES[0]));
    let mut npm = program("npm");
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"]);
    npm.arg(tools(root).join("node")).args(NODE_PACKAGES);
    process::run(&mut npm)?;
    put_first_in_path(&fetched)?;
    if node_serves() {
        Ok(())
    } else {
        failure(format!("Node {NODE_MAJOR_MIN} or later is needed: install it from nodejs.org"))
    }
}

/// Tells whether the Node in `PATH` is there and young enough.
fn node_serves() -> bool {
    let version = process::output(program("node").arg("--version"));
    version.is_some_and(|version| major(&version).is_some_and(|major| major >= NODE_MAJOR_MIN))
}

/// The first number of a version such as `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

/// Makes sure of Chromium and hands back where it is; the variable `CHROMIUM` may name another one.
///
/// # Errors
/// There is none and it cannot be installed.
pub(crate) fn chromium() -> Done<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Ok(named.into());
    }
    let installed = || CHROMIUM_NAMES.into_iter().find_map(find);
    if let Some(chromium) = installed() {
        return Ok(chromium);
    }
    apt_get("chromium")?;
    installed()
        .ok_or_else(|| Failure("apt-get installed chromium, but no such program is in PATH".to_owned()))
}

/// Makes sure of cargo-deny in the version that `deny.toml` is written for, and hands back where it is.
///
/// # Errors
/// It cannot be built.
pub(crate) fn cargo_deny(root: &Path) -> Done<PathBuf> {
    let own = tools(root).join("bin/cargo-deny");
    for candidate in [Some(own.clone()), find("cargo-deny")].into_iter().flatten() {
        let version = process::output(program(&candidate).arg("--version")).unwrap_or_default();
        if version.split_whitespace().last() == Some(CARGO_DENY_VERSION) {
            return Ok(candidate);
        }
    }
    say(&format!("building cargo-deny {CARGO_DENY_VERSION}; once, it takes some minutes"));
    let started = Instant::now();
    let mut install = process::cargo(root);
    install.args(["install", "--locked", "--force", "cargo-deny", "--version", CARGO_DENY_VERSION, "--root"]);
    // Its own target folder would be a temporary one, thrown away when the build is interrupted.
    install.arg(tools(root)).arg("--target-dir").arg(tools(root).join("build"));
    process::run(&mut install)?;
    let _ = std::fs::remove_dir_all(tools(root).join("build"));
    say(&format!("cargo-deny was built in {} s", started.elapsed().as_secs()));
    Ok(own)
}

/// Installs the npm packages of a folder, unless they are there as its lock file names them.
///
/// # Errors
/// The folder has no lock file, or npm fails.
pub(crate) fn npm_packages(root: &Path, folder: &str) -> Done {
    let folder_path = root.join(folder);
    let lock = folder_path.join("package-lock.json");
    // npm writes this file last, so a broken installation leaves none or an older one.
    let installed = folder_path.join("node_modules/.package-lock.json");
    if !lock.is_file() {
        return failure(format!(
            "{folder}/package-lock.json is missing: run `npm install` there and keep the file"
        ));
    }
    if modified(&installed) >= modified(&lock) {
        return Ok(());
    }
    say(&format!("npm ci in {folder}"));
    process::run(npm(root, folder).args(["ci", "--no-audit", "--no-fund"]))
}

/// `npm` in a folder of the project.
pub(crate) fn npm(root: &Path, folder: &str) -> Command {
    let mut npm = program("npm");
    npm.current_dir(root.join(folder));
    npm
}

/// When a file was last written; none for a file that is not there, which sorts before all others.
fn modified(file: &Path) -> Option<std::time::SystemTime> {
    file.metadata().ok()?.modified().ok()
}

fn tools(root: &Path) -> PathBuf {
    root.join("target/tools")
}

/// Installs a package of the system.
fn apt_get(package: &str) -> Done {
    if find("apt-get").is_none() {
        return failure(format!(
            "{package} is missing and there is no apt-get here: install it and run this again"
        ));
    }
    let Some(mut update) = as_root("apt-get") else {
        return failure(format!(
            "{package} is missing: run `apt-get install {package}` as root, or run this again as root or \
             with a sudo that does not ask for a password"
        ));
    };
    say(&format!("installing {package} by apt-get"));
    // A list that cannot be refreshed is no reason to stop: the package may be in the lists that are here.
    if let Err(Failure(why)) = process::run(update.args(["update", "--quiet"])) {
        say(&format!("{why}; going on with the lists that are here"));
    }
    let Some(mut install) = as_root("apt-get") else { return failure("sudo went away") };
    process::run(install.args(["install", "--yes", "--quiet", "--no-install-recommends", package]))
}

/// A program as root: as it is, or through a sudo that asks for nothing.
fn as_root(name: &str) -> Option<Command> {
    let is_root = process::output(program("id").arg("-u")).is_some_and(|user| user.trim() == "0");
    let mut command = if is_root {
        program("env")
    } else {
        let mut sudo = program("sudo");
        let may = sudo.args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if !may.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut sudo = program("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", name]);
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_a_version_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("garbage"), None);
    }

    #[test]
    fn a_file_that_is_not_there_is_older_than_any() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(modified(Path::new("nowhere")) < modified(&here));
    }
}
