//! `cluster up`: starts what does not run, from the products to the proxies' doors.
//!
//! Each step waits for the one before, and each process until it serves. Where one does not, the error shows the end
//! of its log; what serves goes on, so that the next `up` has less to do. An interrupted `up` leaves nothing of its
//! own behind (see `begun`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::begun::Begun;
use super::folder::{Folder, Process, Record};
use super::picture::{Addresses, START_ORDER, places};
use super::probe::{self, Question};
use super::product::{PRODUCTS, Part, check_port, choose_ports};
use super::program::{self, Program};
use crate::dev;
use crate::process::{self, Done, Failure, failure, say};

/// How long a process of ours may take until it serves, on a machine that starts many at once.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long the products may take until all serve, once their scripts say that they do.
const SERVED_MAX: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a process that does not serve has for its orderly end.
const END_MAX: Duration = Duration::from_secs(5);
/// Where the URLs of the products stand, for our processes.
const CONFIG: &str = "cluster.toml";

/// Which part of the cluster is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Only {
    /// Databases, Redis, Kafka and ZooKeeper alone.
    Products,
}

/// Starts what does not run.
///
/// # Errors
/// Something cannot be built, installed or started, or does not serve in time.
pub(crate) fn run(root: &Path, named: &Path, anser: Option<&Path>, only: Option<Only>) -> Done {
    let began = Instant::now();
    let folder = Folder::make(named)?;
    let lock = folder.lock()?;
    if runs(&folder, only)? {
        say(&format!("the cluster in {} runs", folder.path.display()));
        return summary(&folder);
    }
    // First what may take minutes or fail, while nothing runs yet.
    let anser = if only.is_none() { Some(binary(root, anser)?) } else { None };
    let mut begun = Begun::new(&folder)?;
    let started = start(root, &folder, anser.as_deref(), &mut begun);
    begun.done();
    drop(lock);
    started.map_err(|Failure(why)| {
        let (up, down) = (folder.command("up"), folder.command("down"));
        Failure(format!(
            "{why}\nwhat serves goes on: `{up}` starts what is missing once that is mended, `{down}` ends all"
        ))
    })?;
    say(&format!("the cluster in {} runs; it took {:.0?}", folder.path.display(), began.elapsed()));
    summary(&folder)
}

/// Whether there is nothing to start.
fn runs(folder: &Folder, only: Option<Only>) -> Done<bool> {
    let serves = |part: &Part| {
        part.address(&folder.path).is_some_and(|address| probe::serves(part.question, &address))
    };
    let of_products = folder.parts().iter().all(|part| part.program.pid().is_some() && serves(part));
    if only == Some(Only::Products) {
        return Ok(of_products);
    }
    let record = folder.record()?;
    let ready = |process: &Process| {
        folder.program(&process.name).pid().is_some() && probe::serves(Question::Readyz, &process.api)
    };
    Ok(of_products && record.processes.len() == places().len() && record.processes.iter().all(ready))
}

/// The binary that was named, or one that is built.
///
/// # Errors
/// It cannot be built, or is none.
pub(crate) fn binary(root: &Path, named: Option<&Path>) -> Done<PathBuf> {
    let Some(named) = named else {
        return dev::build(root, false);
    };
    match std::fs::canonicalize(named) {
        Ok(path) if path.is_file() => Ok(path),
        Ok(path) => failure(format!("{} is no program: name one with --anser", path.display())),
        Err(error) => failure(format!("{} cannot be opened: {error}", named.display())),
    }
}

fn start(root: &Path, folder: &Folder, anser: Option<&Path>, begun: &mut Begun) -> Done {
    products(root, folder, begun)?;
    let Some(anser) = anser else { return Ok(()) };
    let sections: Vec<String> =
        PRODUCTS.into_iter().map(|product| product.section(&folder.path)).collect::<Done<_>>()?;
    folder.write(CONFIG, &sections.join("\n"))?;
    let record = Record { processes: processes(root, folder, anser)? };
    folder.keep(&record)?;
    migrate(folder, anser)?;
    for role in START_ORDER {
        let of_role: Vec<&Process> = record.processes.iter().filter(|process| process.role == role).collect();
        start_role(folder, role, &of_role, begun)?;
    }
    Ok(())
}

/// Starts the products that do not run, all at once.
fn products(root: &Path, folder: &Folder, begun: &mut Begun) -> Done {
    let mut scripts = Vec::new();
    let mut failed = Vec::new();
    for product in PRODUCTS {
        let parts = product.parts(&folder.path);
        let missing: Vec<_> = parts.iter().filter(|part| part.program.pid().is_none()).collect();
        if missing.is_empty() {
            continue;
        }
        let names: Vec<&str> = missing.iter().map(|part| part.program.name.as_str()).collect();
        say(&format!("starting {}", names.join(" ")));
        let mut begin = || {
            missing.iter().try_for_each(|part| part.check_ports(&folder.path))?;
            begun.programs(missing.iter().map(|part| &part.program))?;
            let script = product.start(root, &folder.path)?;
            begun.script(script.id())?;
            Ok(script)
        };
        match begin() {
            Ok(script) => scripts.push((product, script)),
            Err(Failure(why)) => failed.push(why),
        }
    }
    // One that fails does not keep the others from being waited for.
    for (product, script) in scripts {
        if let Err(Failure(why)) = product.finish("started", script) {
            failed.push(why);
        }
    }
    if failed.is_empty() { wait_until_served(folder) } else { failure(failed.join("\n")) }
}

/// Waits until every program of the products serves, those that ran before among them.
fn wait_until_served(folder: &Folder) -> Done {
    let end = Instant::now() + SERVED_MAX;
    for part in folder.parts() {
        let address = part.address(&folder.path).unwrap_or_default();
        while !probe::serves(part.question, &address) {
            if Instant::now() >= end {
                let name = &part.program.name;
                let paused = if part.program.is_paused() { " (it is paused)" } else { "" };
                return failure(format!(
                    "{name} runs{paused}, but does not serve at {address}: see {}, or end it with `{}`",
                    part.program.folder.join(format!("{name}.log")).display(),
                    folder.command(&format!("kill {name}"))
                ));
            }
            thread::sleep(ASK_EVERY);
        }
    }
    Ok(())
}

/// What is kept of our processes: where each listens and how it is started.
fn processes(root: &Path, folder: &Folder, anser: &Path) -> Done<Vec<Process>> {
    let places = places();
    let mut chosen = choose_ports(root, &folder.path, &places)?.into_iter();
    let mut next = || chosen.next().unwrap_or_default();
    let config = folder.file(CONFIG);
    let process = |place: &super::picture::Place| {
        let (peers, api) = (next(), next());
        let clients = (place.ports().len() > 2).then(|| (next(), next()));
        let addresses = Addresses { peers, api, clients };
        let mut command = vec![anser.display().to_string()];
        command.extend(place.arguments(&folder.path, &config, &addresses));
        let Addresses { peers, api, clients } = addresses;
        let (tcp, ws) = clients.unzip();
        Process { name: place.name.clone(), role: place.role.to_owned(), tcp, ws, api, peers, command }
    };
    Ok(places.iter().map(process).collect())
}

fn migrate(folder: &Folder, anser: &Path) -> Done {
    say("bringing the store's tables up to date");
    let log = folder.log("migrate");
    let cannot = |error: std::io::Error| Failure(format!("cannot run `anser migrate up`: {error}"));
    let out = std::fs::File::create(&log).map_err(cannot)?;
    let mut migrate = process::program(anser);
    migrate.args(["migrate", "up", "--config"]).arg(folder.file(CONFIG));
    migrate.stdin(Stdio::null()).stderr(out.try_clone().map_err(cannot)?).stdout(out);
    let status = migrate.status().map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    failure(format!("`anser migrate up` failed ({status}); {}", folder.log_end("migrate")))
}

fn start_role(folder: &Folder, role: &str, processes: &[&Process], begun: &mut Begun) -> Done {
    let missing: Vec<&Process> =
        processes.iter().copied().filter(|process| folder.program(&process.name).pid().is_none()).collect();
    if !missing.is_empty() {
        say(&format!("starting {role}"));
    }
    let programs: Vec<Program> = missing.iter().map(|process| folder.program(&process.name)).collect();
    begun.programs(&programs)?;
    for process in &missing {
        launch(folder, process)?;
    }
    let ready = wait_until_ready(folder, processes);
    if ready.is_err() {
        // A process that does not serve would only be in the way of the next try.
        let deaf: Vec<Program> = missing
            .iter()
            .filter(|process| !probe::serves(Question::Readyz, &process.api))
            .map(|process| folder.program(&process.name))
            .collect();
        program::end_all(&deaf, END_MAX)?;
    }
    ready
}

/// Starts one of our processes, which does not run.
///
/// # Errors
/// A port of it is taken, or it cannot be started.
pub(crate) fn launch(folder: &Folder, process: &Process) -> Done {
    let Process { name, tcp, ws, api, peers, .. } = process;
    let ports = [("peers", Some(peers)), ("api", Some(api)), ("tcp", tcp.as_ref()), ("ws", ws.as_ref())];
    for (listener, address) in ports {
        address.map_or(Ok(()), |address| check_port(&format!("{name} ({listener})"), address))?;
    }
    folder.program(name).start(&process.command, &folder.log(name)).map(|_| ())
}

/// Waits until all of these serve.
///
/// # Errors
/// One has ended, or does not serve in time.
pub(crate) fn wait_until_ready(folder: &Folder, processes: &[&Process]) -> Done {
    let end = Instant::now() + READY_MAX;
    for process in processes {
        let Process { name, api, .. } = process;
        let program = folder.program(name);
        while !probe::serves(Question::Readyz, api) {
            if program.pid().is_none() {
                return failure(format!("{name} has ended; {}", folder.log_end(name)));
            }
            if Instant::now() >= end {
                return failure(format!(
                    "{name} runs but is not ready after {} s{}; {}",
                    READY_MAX.as_secs(),
                    hint(&program, api),
                    folder.log_end(name)
                ));
            }
            thread::sleep(ASK_EVERY);
        }
        // Its port may be answered by another: then it has ended by now.
        if program.pid().is_none() {
            return failure(format!("{name} has ended; {}", folder.log_end(name)));
        }
    }
    Ok(())
}

fn hint(program: &Program, api: &str) -> String {
    if program.is_paused() {
        let pid = program.pid().unwrap_or_default();
        return format!(": it is paused, and goes on with `kill -CONT {pid}`");
    }
    probe::get(api, "/readyz?verbose").map_or_else(
        || format!(": http://{api}/readyz does not answer"),
        |(_, body)| format!(": http://{api}/readyz says {}", body.trim()),
    )
}

/// Says where people begin.
fn summary(folder: &Folder) -> Done {
    for process in folder.record()?.processes {
        if let (Some(tcp), Some(ws)) = (process.tcp, process.ws) {
            say(&format!(
                "{}: chat page http://{ws}/  TCP {tcp}  server API http://{}",
                process.name, process.api
            ));
        }
    }
    say(&format!("look at it with `{}`, end it with `{}`", folder.command("status"), folder.command("down")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cluster::program::tests::{Scratch, shell};

    fn process(api: &str, script: &str) -> Process {
        Process {
            name: "im-1".to_owned(),
            role: "im".to_owned(),
            tcp: None,
            ws: None,
            api: api.to_owned(),
            peers: "127.0.0.1:1".to_owned(),
            command: shell(script),
        }
    }

    #[test]
    fn a_process_that_ends_at_once_fails_with_what_it_said() {
        let scratch = Scratch::new("ends");
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        let process = process("127.0.0.1:1", "echo no disk is left; exit 1");
        let mut begun = Begun::default();
        let Failure(why) = start_role(&folder, "im", &[&process], &mut begun).unwrap_err();
        assert!(why.contains("im-1 has ended") && why.contains("no disk is left"), "{why}");
    }

    #[test]
    fn a_process_is_not_started_where_somebody_listens() {
        let scratch = Scratch::new("listens");
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let Failure(why) = launch(&folder, &process(&address, "exec sleep 60")).unwrap_err();
        assert!(why.contains(&address) && why.contains("im-1 (api)"), "{why}");
        assert_eq!(folder.program("im-1").pid(), None);
    }

    #[test]
    fn a_cluster_without_processes_is_not_taken_for_one_that_runs() {
        let scratch = Scratch::new("empty");
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        assert!(!runs(&folder, None).unwrap());
        assert!(!runs(&folder, Some(Only::Products)).unwrap());
    }

    #[test]
    fn a_binary_that_is_not_there_is_named() {
        let Failure(why) = binary(Path::new("."), Some(Path::new("nowhere/anser"))).unwrap_err();
        assert!(why.contains("nowhere/anser"), "{why}");
    }
}
