//! Runs other programs: finds them, streams what they print while it is read, and ends the ones that hang.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may print nothing before it counts as hung. The longest silence of a good run is the
/// link of a release build or the loop of crashes in the system tests, a few minutes on a slow machine.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(20 * 60);
/// How often a running program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the outputs are read on after the program ended, where a process that it left behind holds them.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Lines that are read but not looked at; a reader waits when it is full.
const LINE_COUNT_MAX: usize = 1024;

/// The folders that programs are looked up in, where they differ from the ones this process was started with.
static PATH: OnceLock<OsString> = OnceLock::new();

/// Why a command did not do what it should, in words for the person who started it. Empty where they have
/// been said already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a command hands back.
pub(crate) type Done<T = ()> = Result<T, Failure>;

/// Makes a [`Failure`] of words.
pub(crate) fn failure<T>(why: impl Into<String>) -> Done<T> {
    Err(Failure(why.into()))
}

/// Says what is being done, so that a long step does not look like a hang.
pub(crate) fn say(what: &str) {
    println!("==> {what}");
}

/// The `cargo` that runs this program, so that every step uses one toolchain.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The folder that cargo builds into.
///
/// # Errors
/// cargo cannot say.
pub(crate) fn target(root: &Path) -> Done<PathBuf> {
    let metadata = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]));
    let metadata: Option<serde_json::Value> = metadata.and_then(|text| serde_json::from_str(&text).ok());
    let folder = metadata.as_ref().and_then(|metadata| metadata["target_directory"].as_str());
    folder.map_or_else(
        || failure("`cargo metadata` does not say where cargo builds"),
        |folder| Ok(folder.into()),
    )
}

/// A program that is looked up in the folders that [`put_first_in_path`] named, then in `PATH`.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", path());
    command
}

/// Lets every program that is started after this be looked up in a folder before all others. Only the first
/// call counts.
///
/// # Errors
/// The folder's name cannot stand in `PATH`.
pub(crate) fn put_first_in_path(folder: &Path) -> Done {
    let path = path();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    let joined =
        std::env::join_paths(folders).map_err(|error| Failure(format!("cannot extend PATH: {error}")))?;
    let _ = PATH.set(joined);
    Ok(())
}

fn path() -> OsString {
    PATH.get().cloned().or_else(|| std::env::var_os("PATH")).unwrap_or_default()
}

/// Finds a program in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_in(program, &path())
}

fn find_in(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// What a program prints on its standard output, or nothing where it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program to its end, showing what it prints.
///
/// # Errors
/// It cannot be started, hangs, or ends with a code other than 0.
pub(crate) fn run(command: &mut Command) -> Done {
    watch(command, SILENCE_MAX, |_| {})
}

/// Runs a program to its end, showing what it prints and giving each line of it to `on_line`.
///
/// # Errors
/// It cannot be started, prints nothing for `silence_max`, or ends with a code other than 0.
pub(crate) fn watch(command: &mut Command, silence_max: Duration, mut on_line: impl FnMut(&str)) -> Done {
    let name = name(command);
    // An empty input: nothing that a step runs may wait for a person.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Failure(format!("cannot start {name}: {error}")))?;
    let (sender, lines) = sync_channel(LINE_COUNT_MAX);
    if let Some(output) = child.stdout.take() {
        copy(output, io::stdout(), sender.clone());
    }
    if let Some(output) = child.stderr.take() {
        copy(output, io::stderr(), sender);
    }
    let status = wait(&mut child, &lines, silence_max, &mut on_line)
        .map_err(|Failure(why)| Failure(format!("{name} {why}")))?;
    if status.success() { Ok(()) } else { failure(format!("{name} failed: {status}")) }
}

fn wait(
    child: &mut Child,
    lines: &Receiver<String>,
    silence_max: Duration,
    on_line: &mut impl FnMut(&str),
) -> Done<ExitStatus> {
    let mut spoke_at = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                spoke_at = Instant::now();
                on_line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return child.wait().map_err(|error| Failure(format!("cannot be waited for: {error}")));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child.try_wait().ok().flatten().map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, at)) if at.elapsed() > DRAIN_MAX => return Ok(status),
            None if spoke_at.elapsed() > silence_max => {
                end_tree(child);
                return failure(format!(
                    "printed nothing for {} seconds and was ended",
                    silence_max.as_secs()
                ));
            }
            _ => {}
        }
    }
}

/// Copies what a program prints, whole lines at a time, and hands each line on.
fn copy(from: impl Read + Send + 'static, mut to: impl Write + Send + 'static, lines: SyncSender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            // The text is shown even where nobody counts any more.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            let _ = lines.send(without_colour(String::from_utf8_lossy(&line).trim_end()));
            line.clear();
        }
    });
}

/// The line without the codes that colour it in a terminal.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // ESC [ numbers letter
            let _ = characters.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Ends a program and all that it started: tests are grandchildren of `cargo test` and would live on.
fn end_tree(child: &mut Child) {
    let parents = parents();
    let mut doomed = vec![child.id()];
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        doomed.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(process, _)| *process));
        next += 1;
    }
    let mut kill = Command::new("kill");
    kill.arg("-9").args(doomed.iter().map(u32::to_string)).stderr(Stdio::null());
    let _ = kill.status();
    let _ = child.kill();
    let _ = child.wait();
}

/// Every process of the machine with its parent, read from `/proc`; empty where there is none.
fn parents() -> HashMap<u32, u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return HashMap::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The program's name stands in brackets and may itself contain any; the state and the parent
            // follow the last of them.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect()
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().take(3).map(|word| word.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_outputs_are_seen() {
        let mut seen = Vec::new();
        watch(&mut shell("echo one; echo two >&2"), SILENCE_MAX, |line| seen.push(line.to_owned())).unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_code_other_than_zero_is_a_failure() {
        let Failure(why) = run(&mut shell("exit 3")).unwrap_err();
        assert!(why.contains('3'), "{why}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let mut grandchild = String::new();
        let started = Instant::now();
        let hung = watch(&mut shell("sleep 60 & echo $!; wait"), Duration::from_millis(300), |line| {
            line.clone_into(&mut grandchild);
        });
        assert!(hung.unwrap_err().0.contains("printed nothing"));
        assert!(started.elapsed() < Duration::from_secs(20));
        let gone = || match fs::read_to_string(format!("/proc/{grandchild}/stat")) {
            // A killed process whose parent has not yet looked at it is a zombie.
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(20), "process {grandchild} lives on");
            thread::yield_now();
        }
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_step() {
        let mut left_behind = String::new();
        let started = Instant::now();
        watch(&mut shell("sleep 60 & echo $!"), SILENCE_MAX, |line| line.clone_into(&mut left_behind))
            .unwrap();
        assert!(started.elapsed() < Duration::from_secs(20));
        run(Command::new("kill").arg(left_behind)).unwrap();
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(
            without_colour("test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 3 passed"),
            "test result: ok. 3 passed"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        assert!(find("sh").is_some());
        assert_eq!(find_in("sh", OsStr::new("")), None);
    }
}
