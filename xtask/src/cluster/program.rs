//! A program that goes on when the command that started it has ended: started in a session of its own, known by its
//! pid and by when it began, so that no signal ever reaches another one that was given its pid.
//!
//! The folder of a program holds `NAME.pid` and `NAME.began`, written alike by this and by the products' scripts.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{self, Done, Failure, failure};

/// How often it is looked whether a program is gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a killed program may take to be gone; a disk that hangs holds it longer.
const KILLED_MAX: Duration = Duration::from_secs(10);

/// A program that was started, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// Where its files are.
    pub(crate) folder: PathBuf,
}

impl Program {
    /// The pid of the program while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = self.read("pid")?.parse().ok()?;
        let began_at = self.read("began")?;
        (began(pid)? == began_at).then_some(pid)
    }

    fn read(&self, extension: &str) -> Option<String> {
        let text = fs::read_to_string(self.file(extension)).ok()?;
        Some(text.trim().to_owned())
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    /// Whether it runs and was stopped by a signal, or by a debugger.
    pub(crate) fn is_paused(&self) -> bool {
        self.pid().and_then(state).is_some_and(|state| matches!(state, 'T' | 't'))
    }

    /// Starts a command line as this program; what it writes is added to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self, line: &[String], log: &Path) -> Done<u32> {
        let cannot = |error: std::io::Error| Failure(format!("cannot start {}: {error}", self.name));
        let out = OpenOptions::new().create(true).append(true).open(log).map_err(cannot)?;
        let error_out = out.try_clone().map_err(cannot)?;
        let mut command = detached(line);
        // What the calling shell happens to set is no part of the cluster: `start` must do what `up` did.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANSER_") {
                command.env_remove(&name);
            }
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(out).stderr(error_out);
        let child = command.spawn().map_err(cannot)?;
        let pid = child.id();
        fs::write(self.file("pid"), format!("{pid}\n")).map_err(cannot)?;
        fs::write(self.file("began"), format!("{}\n", began(pid).unwrap_or_default())).map_err(cannot)?;
        reap(child);
        Ok(pid)
    }

    /// Sends a signal to the program; tells whether it ran.
    pub(crate) fn signal(&self, signal: &str) -> bool {
        self.pid().is_some_and(|pid| send(pid, signal))
    }

    /// Waits until it is gone; tells whether it is.
    pub(crate) fn is_gone_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.pid().is_some() {
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// It is not gone in time.
    pub(crate) fn kill(&self) -> Done {
        self.signal("KILL");
        if self.is_gone_within(KILLED_MAX) {
            return Ok(());
        }
        failure(format!(
            "{} was killed and is still there: its disk may hang, see `ps -o pid,stat,wchan`",
            self.name
        ))
    }
}

/// A command line in a session of its own, out of reach of the terminal's Ctrl-C.
pub(crate) fn detached(line: &[String]) -> Command {
    let mut command = process::program("setsid");
    command.args(line);
    command
}

/// Looks at the end of a program where this process lives to see it.
pub(crate) fn reap(mut child: Child) {
    thread::spawn(move || child.wait());
}

/// Asks all of them to end, kills those that do not in time, and hands back the names of those.
///
/// # Errors
/// One cannot even be killed.
pub(crate) fn end_all(programs: &[Program], limit: Duration) -> Done<Vec<String>> {
    for program in programs {
        program.signal("TERM");
        // One that is paused hears it only then.
        program.signal("CONT");
    }
    let end = Instant::now() + limit;
    let mut killed = Vec::new();
    for program in programs {
        if !program.is_gone_within(end.saturating_duration_since(Instant::now())) {
            program.kill()?;
            killed.push(program.name.clone());
        }
    }
    Ok(killed)
}

/// Sends a signal; tells whether it could be sent.
pub(crate) fn send(pid: u32, signal: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).arg(pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    kill.status().is_ok_and(|status| status.success())
}

/// When a process began, in ticks since the machine did; nothing for one that has ended. With the pid it names one
/// process for good.
pub(crate) fn began(pid: u32) -> Option<String> {
    // The state is the third field of the line, the time the 22nd.
    let fields = fields(pid)?;
    (!matches!(fields.first()?.as_str(), "Z" | "X")).then(|| fields.get(19).cloned())?
}

/// The processes of a session, by the pid of the one that began it.
pub(crate) fn session(leader: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let leader = leader.to_string();
    // The session is the sixth field of the line.
    let belongs = |pid: &u32| {
        fields(*pid).is_some_and(|fields| fields.get(3) == Some(&leader)) && began(*pid).is_some()
    };
    pids.filter(belongs).collect()
}

fn state(pid: u32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// What `/proc` says of a process after its name, which stands in brackets and may itself contain any.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder of its own for a test, removed at its end with the program in it.
    pub(crate) struct Scratch(pub(crate) PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("anser-xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        pub(crate) fn program(&self, name: &str) -> Program {
            Program { name: name.to_owned(), folder: self.0.clone() }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
                if let Some(name) = entry.file_name().to_string_lossy().strip_suffix(".pid") {
                    self.program(name).kill().unwrap();
                }
            }
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub(crate) fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn wait_until(what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end, "it does not become true");
            thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn the_pid_is_the_programs_own_and_its_session_another() {
        let scratch = Scratch::new("pid");
        let program = scratch.program("one");
        let log = scratch.0.join("log");
        let pid = program.start(&shell("echo $$; exec sleep 60"), &log).unwrap();
        assert_eq!(program.pid(), Some(pid));
        wait_until(|| fs::read_to_string(&log).unwrap().trim() == pid.to_string());
        assert_eq!(session(pid), [pid]);
        assert!(program.signal("KILL"));
        assert!(program.is_gone_within(Duration::from_secs(20)));
        assert!(!program.signal("KILL"));
    }

    #[test]
    fn another_process_with_its_pid_is_not_taken_for_it() {
        let scratch = Scratch::new("stranger");
        let program = scratch.program("one");
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(program.file("pid"), stranger.id().to_string()).unwrap();
        fs::write(program.file("began"), "1").unwrap();
        let taken_for_it = (program.pid(), program.signal("KILL"));
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert_eq!(taken_for_it, (None, false));
    }

    #[test]
    fn a_program_that_ignores_the_request_is_killed_at_its_deadline() {
        let scratch = Scratch::new("deaf");
        let (deaf, good) = (scratch.program("deaf"), scratch.program("good"));
        let log = scratch.0.join("log");
        deaf.start(&shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done"), &log).unwrap();
        good.start(&shell("exec sleep 60"), &log).unwrap();
        wait_until(|| fs::read_to_string(&log).unwrap().contains("deaf"));
        let killed = end_all(&[good.clone(), deaf.clone()], Duration::from_millis(300)).unwrap();
        assert_eq!(killed, ["deaf"]);
        assert_eq!((deaf.pid(), good.pid()), (None, None));
    }

    #[test]
    fn a_paused_program_is_seen_and_ends() {
        let scratch = Scratch::new("paused");
        let program = scratch.program("one");
        program.start(&shell("exec sleep 60"), &scratch.0.join("log")).unwrap();
        assert!(program.signal("STOP"));
        wait_until(|| program.is_paused());
        assert_eq!(end_all(std::slice::from_ref(&program), Duration::from_secs(20)).unwrap(), [""; 0]);
    }
}
