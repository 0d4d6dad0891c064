//! The folder that holds a cluster's state, and what it keeps of the cluster: `cluster.json`.
//!
//! ```text
//! cluster.json    our processes: name, role, addresses, command line
//! cluster.toml    the URLs of the products, for the calling user's eyes alone
//! ports           which port was chosen for whom
//! NAME.pid        the pid of each of our processes
//! logs/NAME.log   what it wrote
//! NAME/           its data folder; keys/ is shared
//! mariadb/ …      one folder for each product, its script's own
//! begun           while `up` works: what it has begun
//! lock            held by whoever starts or ends something
//! ```

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::product::{PRODUCTS, Part, Product};
use super::program::Program;
use crate::process::{Done, Failure, failure, say};

/// Where the state is unless it is said otherwise.
pub(crate) const FOLDER_DEFAULT: &str = "anser-cluster";
/// How long a command waits for another one that works on the same cluster.
const LOCK_MAX: Duration = Duration::from_secs(120);
const LOCK_EVERY: Duration = Duration::from_millis(50);
/// Lines of a log that are shown when its process fails.
const LOG_LINE_COUNT: usize = 15;

/// A cluster's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// As the user named it, for commands that are shown.
    named: PathBuf,
}

/// What is kept of the cluster.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// In the order of their start.
    pub(crate) processes: Vec<Process>,
}

/// One of our processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) role: String,
    /// Of a proxy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ws: Option<String>,
    pub(crate) api: String,
    pub(crate) peers: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

/// A process of the cluster, ours or a product's.
pub(crate) enum Member {
    Own(Process),
    Product(Part),
}

impl Folder {
    /// Opens the folder of a cluster, which `up` has made.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn open(named: &Path) -> Done<Self> {
        let folder = Self::at(named);
        match &folder {
            Ok(folder) if folder.file("cluster.json").is_file() => {}
            _ => {
                return failure(format!(
                    "{} holds no cluster: start one with `{}`, or name its folder with --dir",
                    named.display(),
                    command("up", named)
                ));
            }
        }
        folder
    }

    /// Makes the folder of a cluster, or opens the one that is there.
    ///
    /// # Errors
    /// It cannot be made, or holds something else.
    pub(crate) fn make(named: &Path) -> Done<Self> {
        let cannot = |error: std::io::Error| Failure(format!("{} cannot be made: {error}", named.display()));
        // Keys and passwords are in it.
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot);
        make(named)?;
        let folder = Self::at(named)?;
        let is_empty = fs::read_dir(&folder.path).map_err(cannot)?.next().is_none();
        if !is_empty && !folder.file("cluster.json").is_file() {
            return failure(format!(
                "{} holds something that is no cluster: name an empty folder, or one that is not there, with --dir",
                named.display()
            ));
        }
        if is_empty {
            folder.keep(&Record::default())?;
        }
        make(&folder.file("keys"))?;
        make(&folder.file("logs"))?;
        Ok(folder)
    }

    fn at(named: &Path) -> Done<Self> {
        let path = fs::canonicalize(named)
            .map_err(|error| Failure(format!("{} cannot be opened: {error}", named.display())))?;
        if path.to_str().is_none() {
            return failure(format!("{} is no text: choose another name", path.display()));
        }
        Ok(Self { path, named: named.to_path_buf() })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How the user calls a verb on this cluster.
    pub(crate) fn command(&self, verb: &str) -> String {
        command(verb, &self.named)
    }

    /// What is kept of the cluster.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn record(&self) -> Done<Record> {
        let file = self.file("cluster.json");
        let cannot =
            |error: &dyn std::fmt::Display| Failure(format!("{} cannot be read: {error}", file.display()));
        let text = fs::read_to_string(&file).map_err(|error| cannot(&error))?;
        serde_json::from_str(&text).map_err(|error| cannot(&error))
    }

    /// Keeps what is known of the cluster, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(&self, record: &Record) -> Done {
        let text = serde_json::to_string_pretty(record).map_err(|error| Failure(error.to_string()))?;
        self.write("cluster.json", &format!("{text}\n"))
    }

    /// Writes a file that the calling user alone may read.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Done {
        let next = self.file(&format!("{name}.next"));
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&next)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&next, self.file(name))
        };
        write().map_err(|error| Failure(format!("{} cannot be written: {error}", self.file(name).display())))
    }

    /// Keeps other commands from starting or ending something, until the file is dropped.
    ///
    /// # Errors
    /// Another command works for too long.
    pub(crate) fn lock(&self) -> Done<File> {
        let path = self.file("lock");
        let cannot = |error: std::io::Error| Failure(format!("{} cannot be locked: {error}", path.display()));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(cannot)?;
        let began = Instant::now();
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
                Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_MAX => {
                    return failure(format!(
                        "another command works on the cluster in {} for {} s: wait for it, or end it",
                        self.path.display(),
                        LOCK_MAX.as_secs()
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    if !said {
                        say("another command works on this cluster: waiting for it");
                        said = true;
                    }
                    thread::sleep(LOCK_EVERY);
                }
            }
        }
    }

    /// The program of one of our processes.
    pub(crate) fn program(&self, name: &str) -> Program {
        Program { name: name.to_owned(), folder: self.path.clone() }
    }

    /// Where one of our processes writes what it does.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// The end of that, for a message.
    pub(crate) fn log_end(&self, name: &str) -> String {
        let log = self.log(name);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let mut shown = format!("the last lines of {}:", log.display());
        for line in &lines[lines.len().saturating_sub(LOG_LINE_COUNT)..] {
            let _ = write!(shown, "\n    {line}");
        }
        shown
    }

    /// The programs of all products.
    pub(crate) fn parts(&self) -> Vec<Part> {
        PRODUCTS.into_iter().flat_map(|product: Product| product.parts(&self.path)).collect()
    }

    /// Finds a process of the cluster by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn member(&self, name: &str) -> Done<Member> {
        let record = self.record()?;
        let names = |names: Vec<&str>| names.join(" ");
        if let Some(process) = record.processes.iter().find(|process| process.name == name) {
            return Ok(Member::Own(process.clone()));
        }
        let parts = self.parts();
        if let Some(part) = parts.iter().find(|part| part.program.name == name) {
            return Ok(Member::Product(part.clone()));
        }
        let own = record.processes.iter().map(|process| process.name.as_str());
        let all = own.chain(parts.iter().map(|part| part.program.name.as_str())).collect();
        failure(format!("the cluster has no process {name:?}: there are {}", names(all)))
    }
}

fn command(verb: &str, named: &Path) -> String {
    let folder = if named == Path::new(FOLDER_DEFAULT) {
        String::new()
    } else {
        format!(" --dir {}", named.display())
    };
    format!("cargo xtask cluster {verb}{folder}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cluster::program::tests::Scratch;

    #[test]
    fn a_folder_with_something_else_in_it_is_left_alone() {
        let scratch = Scratch::new("foreign");
        fs::write(scratch.0.join("thesis.txt"), "years of work").unwrap();
        assert!(Folder::make(&scratch.0).unwrap_err().0.contains("no cluster"));
        assert!(Folder::open(&scratch.0).unwrap_err().0.contains("cluster up --dir"));
        assert!(Folder::open(&scratch.0.join("nowhere")).unwrap_err().0.contains("holds no cluster"));
    }

    #[test]
    fn a_made_folder_is_private_and_keeps_what_is_known() {
        let scratch = Scratch::new("made");
        let named = scratch.0.join("cluster");
        let folder = Folder::make(&named).unwrap();
        let process = Process {
            name: "im-1".to_owned(),
            role: "im".to_owned(),
            tcp: None,
            ws: None,
            api: "127.0.0.1:1".to_owned(),
            peers: "127.0.0.1:2".to_owned(),
            command: vec!["anser".to_owned(), "serve".to_owned()],
        };
        let record = Record { processes: vec![process] };
        folder.keep(&record).unwrap();
        folder.write("cluster.toml", "secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&named), mode(&named.join("cluster.toml"))), (0o700, 0o600));
        let again = Folder::make(&named).unwrap();
        assert_eq!(again.record().unwrap(), record);
        assert!(matches!(again.member("im-1").unwrap(), Member::Own(_)));
        assert!(matches!(again.member("sentinel-3").unwrap(), Member::Product(_)));
        let why = again.member("comet-1").err().unwrap().0;
        assert!(why.contains("im-1 mariadb-1"), "{why}");
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        let scratch = Scratch::new("log");
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        let lines: Vec<String> = (1..=40).map(|number| format!("line {number}")).collect();
        fs::write(folder.log("im-1"), lines.join("\n")).unwrap();
        let shown = folder.log_end("im-1");
        assert!(
            shown.contains("line 40") && shown.contains("line 26") && !shown.contains("line 25"),
            "{shown}"
        );
        assert!(folder.log_end("im-2").ends_with("im-2.log:"));
    }
}
