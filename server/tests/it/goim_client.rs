//! A stock goim client, run unchanged: goim's own load client, built from its Go module.
//!
//! Its code is not part of this project. It is fetched through the ordinary module proxy; where that does not
//! hand it out, `ANSER_GOIM_CLIENT` may name a binary of it. What it says on the wire is also written out here,
//! so that the bytes are held to even where its program cannot be had.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::support::goim_wire::{Frame, Goim, Wire};
use crate::support::http::post;
use crate::support::number;
use crate::support::server::{Setup, Shared};

static SERVER: Shared = Shared::new();

/// What goim's load client says, as it says it: version 1 in its auth, and 0 in every heartbeat.
#[tokio::test]
async fn the_bytes_of_goims_load_client_are_understood() {
    let server = SERVER.get();
    let mid = number();
    let mut client = Goim::open(&server, Wire::Tcp).await;
    let auth = format!(
        r#"{{"mid":{mid},"key":"","room_id":"test://1","platform":"ios","accepts":[1000,1001,1002]}}"#
    );
    client.send(7, 0, auth.as_bytes()).await;
    assert_eq!(client.next().await, Frame::new(8, 0, b""));
    for sequence in 1..5 {
        client.send_frame(&Frame { version: 0, ..Frame::new(2, sequence, b"") }).await;
        let reply = client.next().await;
        assert_eq!((reply.operation, reply.sequence, reply.body.len()), (3, sequence, 4));
    }
    post(server.api, &format!("/goim/push/mids?operation=1001&mids={mid}"), b"{\"test\":1}").await;
    client.assert_push(1001, b"{\"test\":1}").await;
    post(server.api, "/goim/push/room?operation=1002&type=test&room=1", b"room").await;
    client.assert_push(1002, b"room").await;
}

/// What goim's page says: no key, a space behind every comma.
#[tokio::test]
async fn the_bytes_of_goims_page_are_understood() {
    let server = SERVER.get();
    let mut client = Goim::open(&server, Wire::WebSocket).await;
    let auth = r#"{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001,1002]}"#;
    client.send(7, 1, auth.as_bytes()).await;
    assert_eq!(client.next().await, Frame::new(8, 1, b""));
    let reply = client.ask(2, 1, b"").await;
    assert_eq!((reply.operation, reply.sequence, reply.body.len()), (3, 1, 4));
    post(server.api, "/goim/push/room?operation=1000&type=live&room=1000", b"hello page").await;
    client.assert_push(1000, b"hello page").await;
    assert_eq!(client.wrapped_count, 1);
}

#[tokio::test]
async fn goims_load_client_runs_unchanged() {
    let Some(program) = load_client() else { return };
    let server = Setup::dev().start();
    let count = 60;
    let first = 700_000;
    let mut client = Running::start(&program, first, count, &server.tcp.to_string());
    // Each of its connections waits up to two minutes before it begins: a few are enough.
    let started = Instant::now();
    let (mut alive, mut down) = (0, 0);
    while alive < 3 || down < 10 {
        assert!(started.elapsed() < Duration::from_secs(90), "alive:{alive} down:{down}");
        let target = format!("/goim/push/mids?operation=1000{}", mids(first, count));
        assert_eq!(post(server.api, &target, b"{\"test\":1}").await.json()["code"], 0);
        post(server.api, "/goim/push/room?operation=1001&type=test&room=1", b"{\"test\":1}").await;
        if let Some(counts) = client.counts() {
            assert!(counts.0 >= alive, "its connections do not come back once they were there: {counts:?}");
            (alive, down) = counts;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("goim's load client: alive:{alive} down:{down}");
}

fn mids(first: u64, count: u64) -> String {
    (first..first + count).map(|mid| format!("&mids={mid}")).collect()
}

/// The load client, ended with the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it as its first line of comment says: first user, how many, server.
    fn start(program: &Path, first: u64, count: u64, server: &str) -> Self {
        let arguments = [first.to_string(), count.to_string(), server.to_owned()];
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.try_send(line);
            }
        });
        Self { child, lines }
    }

    /// The latest of its lines `… alive:3 down:17 down/s:3`, if there is one.
    fn counts(&mut self) -> Option<(u64, u64)> {
        assert!(self.child.try_wait().unwrap().is_none(), "the client has ended");
        let line = self.lines.try_iter().last()?;
        let field = |name: &str| line.split(name).nth(1)?.split(' ').next()?.parse().ok();
        Some((field("alive:")?, field("down:")?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The load client's program; `None`, and said so, where it cannot be had here.
fn load_client() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("ANSER_GOIM_CLIENT") {
        return Some(PathBuf::from(program));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("goim-client");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("go.mod"), "module goimclient\n\ngo 1.20\n").unwrap();
    let package = "github.com/Terry-Mao/goim/benchmarks/client";
    let latest = format!("{package}@latest");
    let steps = [vec!["get", &latest], vec!["build", "-o", "client", package]];
    let failed = steps.iter().find_map(|arguments| go(&folder, arguments).err());
    let Some(reason) = failed else { return Some(folder.join("client")) };
    println!("goim's load client was not run, since it cannot be built here:\n{reason}");
    None
}

/// Runs go with everything that it writes kept below the folder.
fn go(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("go")
        .args(arguments)
        .current_dir(folder)
        .env("GOCACHE", folder.join("cache"))
        .env("GOMODCACHE", folder.join("modules"))
        .env("GOFLAGS", "-mod=mod -modcacherw -buildvcs=false")
        .output()
        .map_err(|error| format!("go cannot be started: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
