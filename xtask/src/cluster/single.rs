//! One process of the cluster: `kill`, `stop` and `start` it by its name, on the addresses that it had.

use std::path::Path;
use std::time::Duration;

use super::folder::{Folder, Member};
use super::probe;
use super::product::Part;
use super::program::Program;
use super::up::{launch, wait_until_ready};
use crate::process::{Done, failure, say};

/// How long a process may take for its orderly end.
const END_MAX: Duration = Duration::from_secs(30);

impl Member {
    fn program(&self, folder: &Folder) -> Program {
        match self {
            Self::Own(process) => folder.program(&process.name),
            Self::Product(part) => part.program.clone(),
        }
    }
}

/// Kills a process with signal 9 and waits until it is gone.
///
/// # Errors
/// There is none of that name, or it does not run.
pub(crate) fn kill(named: &Path, name: &str) -> Done {
    let folder = Folder::open(named)?;
    let program = folder.member(name)?.program(&folder);
    let Some(pid) = program.pid() else {
        return failure(format!(
            "{name} does not run: `{}` starts it",
            folder.command(&format!("start {name}"))
        ));
    };
    program.kill()?;
    say(&format!("{name} (pid {pid}) is killed"));
    Ok(())
}

/// Asks a process to end, and waits until it has.
///
/// # Errors
/// There is none of that name, or it does not end in time.
pub(crate) fn stop(named: &Path, name: &str) -> Done {
    let folder = Folder::open(named)?;
    let program = folder.member(name)?.program(&folder);
    let Some(pid) = program.pid() else {
        say(&format!("{name} does not run"));
        return Ok(());
    };
    program.signal("TERM");
    // One that is paused hears it only then.
    program.signal("CONT");
    if program.is_gone_within(END_MAX) {
        say(&format!("{name} (pid {pid}) is stopped"));
        return Ok(());
    }
    failure(format!(
        "{name} (pid {pid}) still runs {} s after SIGTERM: `{}` ends it at once",
        END_MAX.as_secs(),
        folder.command(&format!("kill {name}"))
    ))
}

/// Starts a process as `up` did, or as another version of the binary, and waits until it serves.
///
/// # Errors
/// There is none of that name, a port of it is taken, or it does not serve in time.
pub(crate) fn start(root: &Path, named: &Path, name: &str, anser: Option<&Path>) -> Done {
    let folder = Folder::open(named)?;
    let member = folder.member(name)?;
    if let Some(pid) = member.program(&folder).pid() {
        say(&format!("{name} (pid {pid}) runs already"));
    }
    match member {
        Member::Own(mut process) => {
            let lock = folder.lock()?;
            if folder.program(name).pid().is_none() {
                if let Some(anser) = anser {
                    process.command[0] = super::up::binary(root, Some(anser))?.display().to_string();
                    let mut record = folder.record()?;
                    let kept = record.processes.iter_mut().filter(|kept| kept.name == name);
                    kept.for_each(|kept| kept.command.clone_from(&process.command));
                    folder.keep(&record)?;
                }
                launch(&folder, &process)?;
            }
            // Others may be started while this one comes up.
            drop(lock);
            wait_until_ready(&folder, &[&process])?;
        }
        Member::Product(part) => start_part(root, &folder, &part)?,
    }
    let pid = folder.member(name)?.program(&folder).pid().unwrap_or_default();
    say(&format!("{name} (pid {pid}) is ready"));
    Ok(())
}

fn start_part(root: &Path, folder: &Folder, part: &Part) -> Done {
    let name = part.program.name.as_str();
    let Some(address) = part.address(&folder.path) else {
        return failure(format!("{name} was never started: `{}` does", folder.command("up")));
    };
    if part.program.pid().is_none() {
        part.check_ports(&folder.path)?;
        let script = part.product.script(root, &folder.path, "restart", &[name])?;
        part.product.finish("started", script)?;
    }
    if probe::serves(part.question, &address) {
        return Ok(());
    }
    failure(format!(
        "{name} runs, but does not serve: it may wait for the others of its kind; `{}` starts all that is missing",
        folder.command("up")
    ))
}
