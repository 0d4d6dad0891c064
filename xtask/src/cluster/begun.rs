//! What an `up` that is still at work has begun, so that nothing of it stays when it is interrupted.
//!
//! An interrupted command (Ctrl-C, a closed terminal, a kill) cannot end anything itself. So `up` writes down what it
//! is about to start, and a guard in a session of its own ends that once `up` is gone before its end.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::program::{self, Program};
use crate::process::{Done, Failure};

const FILE: &str = "begun";
/// How often the guard looks whether `up` is there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a script may take to end what it began, and what it waits for to end.
const SCRIPT_END_MAX: Duration = Duration::from_secs(60);
/// How long a process may take to end in order.
const END_MAX: Duration = Duration::from_secs(15);

/// What was begun: who began it, and what.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The pid of `up` and when that began.
    owner: (u32, String),
    /// Scripts at work, each with its pid and when it began.
    scripts: Vec<(u32, String)>,
    /// Programs: folder and name.
    programs: Vec<(String, String)>,
    #[serde(skip)]
    folder: Option<Folder>,
}

impl Begun {
    /// Begins to write down, and sets a guard over it.
    ///
    /// # Errors
    /// The guard cannot be started.
    pub(crate) fn new(folder: &Folder) -> Done<Self> {
        let owner = std::process::id();
        let begun = Self {
            owner: (owner, program::began(owner).unwrap_or_default()),
            folder: Some(folder.clone()),
            ..Self::default()
        };
        begun.keep()?;
        begun.set_guard(folder)?;
        Ok(begun)
    }

    fn set_guard(&self, folder: &Folder) -> Done {
        let cannot = |error: std::io::Error| Failure(format!("the guard of `up` cannot be started: {error}"));
        let own = std::env::current_exe().map_err(cannot)?;
        let line = [
            own.display().to_string(),
            "cluster".to_owned(),
            "guard".to_owned(),
            "--dir".to_owned(),
            folder.path.display().to_string(),
            self.owner.0.to_string(),
            self.owner.1.clone(),
        ];
        let guard =
            program::detached(&line).stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(cannot)?;
        program::reap(guard);
        Ok(())
    }

    /// Writes down programs that are about to be started.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn programs<'of>(&mut self, programs: impl IntoIterator<Item = &'of Program>) -> Done {
        let folder = |program: &Program| program.folder.display().to_string();
        self.programs.extend(programs.into_iter().map(|program| (folder(program), program.name.clone())));
        self.keep()
    }

    /// Writes down a script that is at work.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn script(&mut self, pid: u32) -> Done {
        self.scripts.push((pid, program::began(pid).unwrap_or_default()));
        self.keep()
    }

    fn keep(&self) -> Done {
        let text = serde_json::to_string(self).map_err(|error| Failure(error.to_string()))?;
        self.folder.as_ref().map_or(Ok(()), |folder| folder.write(FILE, &text))
    }

    /// Nothing has to be ended any more.
    pub(crate) fn done(self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_file(folder.file(FILE));
        }
    }

    /// Ends all that was begun, the last first.
    fn end(&self) -> Done {
        for (pid, began) in &self.scripts {
            if program::began(*pid).as_ref() == Some(began) {
                // Its own end takes along what it started; what it waits for, such as an installation, comes to
                // its end alone.
                program::send(*pid, "TERM");
                let end = Instant::now() + SCRIPT_END_MAX;
                while !program::session(*pid).is_empty() && Instant::now() < end {
                    thread::sleep(LOOK_EVERY);
                }
                for left in program::session(*pid) {
                    program::send(left, "KILL");
                }
            }
        }
        let programs = self.programs.iter().rev();
        let programs: Vec<Program> =
            programs.map(|(folder, name)| Program { name: name.clone(), folder: folder.into() }).collect();
        program::end_all(&programs, END_MAX).map(|_| ())
    }
}

/// Watches over an `up`: waits until it is gone, and ends what it has begun if it has not come to its end.
///
/// # Errors
/// Something cannot be ended.
pub(crate) fn guard(folder: &Folder, owner: u32, began: &str) -> Done {
    while program::began(owner).as_deref() == Some(began) {
        thread::sleep(LOOK_EVERY);
    }
    // An `up` that was started meanwhile waits until this is done.
    let lock = folder.lock()?;
    let Ok(text) = fs::read_to_string(folder.file(FILE)) else { return Ok(()) };
    let begun: Begun = serde_json::from_str(&text).map_err(|error| Failure(error.to_string()))?;
    if begun.owner != (owner, began.to_owned()) {
        return Ok(());
    }
    note("`cluster up` was interrupted: ending what it began");
    begun.end()?;
    let _ = fs::remove_file(folder.file(FILE));
    note("ended; what was stored is kept");
    drop(lock);
    Ok(())
}

/// Says something to a terminal that may be gone.
fn note(what: &str) {
    let _ = writeln!(std::io::stderr(), "==> {what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::program::tests::{Scratch, shell};

    /// A process that has ended, as an owner.
    fn gone() -> (u32, String) {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let owner = (child.id(), program::began(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        owner
    }

    fn cluster(scratch: &Scratch, owner: (u32, String)) -> (Folder, Begun, Program) {
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        let program = scratch.program("one");
        program.start(&shell("exec sleep 60"), &scratch.0.join("log")).unwrap();
        let mut begun = Begun { owner, folder: Some(folder.clone()), ..Begun::default() };
        begun.programs([&program]).unwrap();
        (folder, begun, program)
    }

    #[test]
    fn what_an_interrupted_up_began_is_ended() {
        let scratch = Scratch::new("interrupted");
        let owner = gone();
        let (folder, mut begun, program) = cluster(&scratch, owner.clone());
        let script = scratch.program("script");
        begun.script(script.start(&shell("exec sleep 60"), &scratch.0.join("log")).unwrap()).unwrap();
        let at = Instant::now();
        guard(&folder, owner.0, &owner.1).unwrap();
        assert_eq!((program.pid(), script.pid()), (None, None));
        assert!(at.elapsed() < SCRIPT_END_MAX, "the script was not asked to end");
        assert!(!folder.file(FILE).exists());
    }

    #[test]
    fn what_an_up_has_finished_or_another_one_began_is_left() {
        let scratch = Scratch::new("finished");
        let (owner, other) = (gone(), gone());
        let (folder, begun, program) = cluster(&scratch, other);
        guard(&folder, owner.0, &owner.1).unwrap();
        assert!(program.pid().is_some());
        let other = begun.owner.clone();
        begun.done();
        guard(&folder, other.0, &other.1).unwrap();
        assert!(program.pid().is_some());
    }
}
