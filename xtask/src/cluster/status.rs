//! `cluster status`: every process, whether it serves, and where it is reached; as a table, or as JSON for scripts.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;

use serde::Serialize;

use super::folder::{Folder, Process};
use super::picture::READING_ORDER;
use super::probe::{self, Question};
use super::product::Part;
use super::program::Program;
use crate::process::{Done, Failure};

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It serves.
    Ready,
    /// It is there, and does not serve: it comes up, is paused, or misses others.
    Running,
    /// It is not there.
    Stopped,
}

/// What is said of a process.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    name: String,
    /// Its role, or its product.
    role: String,
    /// None where it is stopped.
    pid: Option<u32>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ws: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    /// Of a product's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(Serialize)]
struct Status {
    processes: Vec<Row>,
}

/// Prints how the cluster is.
///
/// # Errors
/// There is no cluster.
pub(crate) fn run(named: &Path, as_json: bool) -> Done {
    let folder = Folder::open(named)?;
    let processes = rows(&folder)?;
    if as_json {
        let text =
            serde_json::to_string(&Status { processes }).map_err(|error| Failure(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", table(&processes));
    }
    Ok(())
}

/// Looks at all processes at once: one that hangs holds up none of the others.
fn rows(folder: &Folder) -> Done<Vec<Row>> {
    let record = folder.record()?;
    let parts = folder.parts();
    let of_role = |role: &'static str| record.processes.iter().filter(move |process| process.role == role);
    Ok(thread::scope(|scope| {
        let own = READING_ORDER
            .into_iter()
            .flat_map(of_role)
            .map(|process| scope.spawn(|| of_own(folder, process)));
        let of_products = parts.iter().map(|part| scope.spawn(|| of_part(folder, part)));
        let looking: Vec<_> = own.chain(of_products).collect();
        looking.into_iter().filter_map(|row| row.join().ok()).collect()
    }))
}

fn of_own(folder: &Folder, process: &Process) -> Row {
    let (pid, state) = look(&folder.program(&process.name), Question::Readyz, Some(&process.api));
    Row {
        name: process.name.clone(),
        role: process.role.clone(),
        pid,
        state,
        tcp: process.tcp.clone(),
        ws: process.ws.clone(),
        api: Some(process.api.clone()),
        address: None,
    }
}

fn of_part(folder: &Folder, part: &Part) -> Row {
    let address = part.address(&folder.path);
    let (pid, state) = look(&part.program, part.question, address.as_deref());
    let (name, role) = (part.program.name.clone(), part.kind.to_owned());
    Row { name, role, pid, state, tcp: None, ws: None, api: None, address }
}

fn look(program: &Program, question: Question, address: Option<&str>) -> (Option<u32>, State) {
    let pid = program.pid();
    let state = match (pid, address) {
        (None, _) => State::Stopped,
        (Some(_), Some(address)) if probe::serves(question, address) => State::Ready,
        (Some(_), _) => State::Running,
    };
    (pid, state)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<12} {:<8} {:>8}  reached at\n", "name", "state", "pid");
    for row in rows {
        let state = match row.state {
            State::Ready => "ready",
            State::Running => "running",
            State::Stopped => "stopped",
        };
        let pid = row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let listeners = [("tcp ", &row.tcp), ("ws ", &row.ws), ("api ", &row.api), ("", &row.address)];
        let reached: Vec<String> = listeners
            .into_iter()
            .filter_map(|(what, address)| address.as_ref().map(|address| format!("{what}{address}")))
            .collect();
        let _ = writeln!(text, "{:<12} {state:<8} {pid:>8}  {}", row.name, reached.join("  "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::cluster::folder::Record;
    use crate::cluster::program::tests::{Scratch, shell};

    fn process(name: &str, role: &str, api: &str, clients: bool) -> Process {
        let at = |port: u16| clients.then(|| format!("127.0.0.1:{port}"));
        Process {
            name: name.to_owned(),
            role: role.to_owned(),
            tcp: at(1),
            ws: at(2),
            api: api.to_owned(),
            peers: "127.0.0.1:9".to_owned(),
            command: Vec::new(),
        }
    }

    /// Says 200 to whoever asks, for as long as the test runs.
    fn ready_server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            }
        });
        address
    }

    #[test]
    fn every_process_is_told_with_its_state_and_addresses() {
        let scratch = Scratch::new("status");
        let folder = Folder::make(&scratch.0.join("c")).unwrap();
        let api = ready_server();
        let processes = vec![
            process("auth-1", "auth", &api, false),
            process("im-1", "im", "127.0.0.1:1", false),
            process("proxy-1", "proxy", &api, true),
        ];
        folder.keep(&Record { processes }).unwrap();
        let start = |name| folder.program(name).start(&shell("exec sleep 60"), &folder.log(name)).unwrap();
        let (proxy, im) = (start("proxy-1"), start("im-1"));
        std::fs::create_dir(folder.file("redis")).unwrap();
        std::fs::write(folder.file("redis/ports"), "sentinel-1=26000\n").unwrap();

        let rows = rows(&folder).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&Status { processes: rows }).unwrap()).unwrap();
        let named = |name: &str| {
            let rows = json["processes"].as_array().unwrap();
            rows.iter().find(|row| row["name"] == name).unwrap().clone()
        };
        assert_eq!(
            named("proxy-1"),
            serde_json::json!({"name": "proxy-1", "role": "proxy", "pid": proxy, "state": "ready",
                "tcp": "127.0.0.1:1", "ws": "127.0.0.1:2", "api": api})
        );
        assert_eq!(
            named("im-1"),
            serde_json::json!({"name": "im-1", "role": "im", "pid": im, "state": "running", "api": "127.0.0.1:1"})
        );
        // Somebody answers at its address, but it is not there.
        assert_eq!(
            named("auth-1"),
            serde_json::json!({"name": "auth-1", "role": "auth", "pid": null, "state": "stopped", "api": api})
        );
        assert_eq!(
            named("sentinel-1"),
            serde_json::json!({"name": "sentinel-1", "role": "sentinel", "pid": null, "state": "stopped",
                "address": "127.0.0.1:26000"})
        );
        assert_eq!(json["processes"][0]["name"], "proxy-1");
        assert_eq!(json["processes"].as_array().unwrap().len(), 3 + 13);
        for name in ["proxy-1", "im-1"] {
            folder.program(name).kill().unwrap();
        }
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let row = Row {
            name: "proxy-1".to_owned(),
            role: "proxy".to_owned(),
            pid: Some(7),
            state: State::Ready,
            tcp: Some("127.0.0.1:1".to_owned()),
            ws: Some("127.0.0.1:2".to_owned()),
            api: Some("127.0.0.1:3".to_owned()),
            address: None,
        };
        let text = table(&[row]);
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "proxy-1      ready           7  tcp 127.0.0.1:1  ws 127.0.0.1:2  api 127.0.0.1:3"
        );
    }
}
