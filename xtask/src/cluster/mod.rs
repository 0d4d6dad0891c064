//! `cargo xtask cluster`: the whole picture on one machine, one role a process, on real products.
//!
//! Two sites, every role at least twice, a pair of databases, Redis with its sentinels, three brokers, three servers
//! of ZooKeeper; everything on loopback, on free ports that stay the same, with all state below one folder. `up` starts
//! what does not run, `kill`, `stop` and `start` work on one process by its name, and nothing here is needed for the
//! processes to go on.

mod begun;
mod down;
mod folder;
mod picture;
mod probe;
mod product;
mod program;
mod single;
mod status;
mod up;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use self::folder::{FOLDER_DEFAULT, Folder};
use crate::process::Done;

/// What `cargo xtask cluster` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that holds the cluster's state.
    #[arg(long, global = true, value_name = "DIR", default_value = FOLDER_DEFAULT)]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts what does not run, and returns when all of it serves.
    Up {
        /// The binary of the processes; without it, one is built.
        #[arg(long, value_name = "PATH")]
        anser: Option<PathBuf>,
        /// Starts a part of it alone.
        #[arg(long)]
        only: Option<up::Only>,
    },
    /// Ends all of it, and keeps what is stored.
    Down {
        /// Removes the state folder too.
        #[arg(long)]
        remove: bool,
    },
    /// Says how every process is and where it is reached.
    Status {
        /// Prints JSON, and nothing else.
        #[arg(long)]
        json: bool,
    },
    /// Kills one process with signal 9.
    Kill {
        /// Such as proxy-1 or redis-2.
        name: String,
    },
    /// Asks one process to end, and waits until it has.
    Stop {
        /// Such as proxy-1 or redis-2.
        name: String,
    },
    /// Starts one process again, on the addresses that it had, and waits until it serves.
    Start {
        /// Such as proxy-1 or redis-2.
        name: String,
        /// Another version of the binary for this process of ours, kept for its next starts.
        #[arg(long, value_name = "PATH")]
        anser: Option<PathBuf>,
    },
    /// Ends what an interrupted `up` began.
    #[command(hide = true)]
    Guard {
        /// The pid of `up`.
        owner: u32,
        /// When that began.
        began: String,
    },
}

/// Runs a verb.
///
/// # Errors
/// It could not do what it should.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Done {
    let folder = arguments.dir.as_path();
    match &arguments.verb {
        Verb::Up { anser, only } => up::run(root, folder, anser.as_deref(), *only),
        Verb::Down { remove } => down::run(root, folder, *remove),
        Verb::Status { json } => status::run(folder, *json),
        Verb::Kill { name } => single::kill(folder, name),
        Verb::Stop { name } => single::stop(folder, name),
        Verb::Start { name, anser } => single::start(root, folder, name, anser.as_deref()),
        Verb::Guard { owner, began } => begun::guard(&Folder::open(folder)?, *owner, began),
    }
}
