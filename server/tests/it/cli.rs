//! The commands that people type: push, sub, chat, token, config.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::support::chat::{Carrier, live, message, say, text_of};
use crate::support::goim_wire::{Goim, Wire};
use crate::support::server::{Server, Shared, binary};
use crate::support::{PATIENCE, unique};

static SERVER: Shared = Shared::new();

/// Runs a command to its end.
fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::TempDir::new().unwrap();
    Command::new(binary()).args(arguments).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap()
}

/// What a command that succeeds prints.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}{errors}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails says.
fn failed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{arguments:?} succeeded: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A command that goes on until it is ended.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.try_send(line);
            }
        });
        Self { input: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line, if one comes in time.
    fn line_within(&mut self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Waits for a line that contains all of these.
    fn wait_for(&mut self, wanted: &[&str]) -> String {
        let started = Instant::now();
        loop {
            match self.line_within(Duration::from_millis(100)) {
                Some(line) if wanted.iter().all(|text| line.contains(text)) => return line,
                Some(line) => self.seen.push(line),
                None => {}
            }
            assert!(started.elapsed() < PATIENCE, "no line with {wanted:?} but {:?}", self.seen);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ws(server: &Server) -> String {
    format!("ws://{}/sub", server.ws)
}

fn api(server: &Server) -> String {
    format!("http://{}", server.api)
}

#[test]
fn help_names_every_command() {
    let help = printed(&["--help"]);
    for command in ["serve", "chat", "push", "sub", "token", "config"] {
        assert!(help.contains(command), "{help}");
        assert!(printed(&[command, "--help"]).contains("Usage"), "{command}");
    }
    assert!(printed(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(failed(&["serv"]).contains("serve"), "the nearest command is named");
}

#[tokio::test]
async fn a_line_typed_into_chat_is_sent_and_the_answer_is_shown() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut other = live(&server, Carrier::Json, &bob, "d").await;
    let (url, token_free) = (ws(&server), ["chat", "--as", &alice, "--to", &bob, "--url"]);
    let mut chat = Running::start(&[&token_free[..], &[url.as_str()]].concat());
    chat.type_line("hello from a terminal");
    let received = message(&mut other).await;
    assert_eq!((received.sender.as_str(), text_of(&received)), (alice.as_str(), "hello from a terminal"));
    say(&mut other, &alice, "hello back").await;
    let line = chat.wait_for(&["hello back"]);
    assert!(line.contains(&bob), "{line}");
}

#[tokio::test]
async fn what_is_pushed_is_shown_by_sub() {
    let server = SERVER.get();
    let user = unique("user");
    let room = unique("live://cli");
    let (ws, api) = (ws(&server), api(&server));
    let mut sub = Running::start(&["sub", "--as", &user, "--room", &room, "--url", &ws]);
    // A push made while it is still connecting may be lost: it is made again until one is seen.
    let started = Instant::now();
    let seen = loop {
        let said = printed(&["push", "--op", "1000", "--api", &api, "user", &user, "hello user"]);
        if let Some(line) = sub.line_within(Duration::from_millis(200)) {
            assert!(said.contains("queued"), "{said}");
            break line;
        }
        assert!(started.elapsed() < PATIENCE, "sub shows nothing; the last push: {said}");
    };
    assert!(seen.contains("hello user"), "{seen}");
    printed(&["push", "room", &room, "hello room", "--op", "1001", "--api", &api]);
    let line = sub.wait_for(&["hello room"]);
    assert!(line.contains(&room), "{line}");
    assert!(printed(&["push", "--api", &api, "user", "nobody-there", "x"]).contains("offline"));
}

#[tokio::test]
async fn push_reaches_a_goim_client() {
    let server = SERVER.get();
    let key = unique("key");
    let mut client = Goim::user(&server, Wire::WebSocket, 0, &key, &[1000]).await;
    let api = api(&server);
    let said = printed(&["push", "--api", &api, "connection", &key, "by key"]);
    assert!(said.contains("queued"), "{said}");
    client.assert_push(1000, b"by key").await;
}

#[test]
fn a_server_that_is_not_there_is_named() {
    for arguments in [
        &["push", "--api", "http://127.0.0.1:9", "user", "u", "x"][..],
        &["sub", "--as", "u", "--url", "tcp://[::1"],
        &["chat", "--as", "u", "--to", "v", "--url", "http://127.0.0.1:9"],
    ] {
        let said = failed(arguments);
        assert!(said.contains("127.0.0.1:9") || said.contains("[::1"), "{said}");
    }
}

#[test]
fn a_token_needs_the_keys_of_a_server() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("nothing-here");
    let said = failed(&["token", "new", "--user", "alice", "--data", path.to_str().unwrap()]);
    assert!(said.contains("nothing-here"), "{said}");
    assert!(!path.exists(), "asking for a token makes no folder");
}

#[test]
fn a_token_is_made_and_inspected() {
    let server = SERVER.get();
    let data = server.data();
    let data = data.to_str().unwrap();
    let token = printed(&["token", "new", "--user", "alice", "--data", data]);
    let token = token.trim();
    let said = printed(&["token", "inspect", token, "--data", data]);
    assert!(said.contains("alice") && !said.contains(token), "{said}");
    let said = failed(&["token", "inspect", &format!("{token}x"), "--data", data]);
    assert!(!said.contains(token), "{said}");
    assert!(failed(&["token", "new", "--user", "0", "--data", data]).contains("\"0\""));
}

#[test]
fn config_print_check_and_docs_know_every_key() {
    let table = printed(&["config", "print"]);
    for section in ["[listen]", "[auth]", "[proxy]", "[goim]"] {
        assert!(table.contains(section), "{section} is missing in {table}");
    }
    let docs = printed(&["config", "docs"]);
    for key in ["listen.tcp", "listen.ws", "listen.api", "auth.public", "goim.trust_mid", "ANSER_LISTEN__TCP"]
    {
        assert!(docs.contains(key), "{key} is missing in {docs}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("anser.toml");
    std::fs::write(&file, &table).unwrap();
    // What was printed is a file that can be used.
    printed(&["config", "check", "--config", file.to_str().unwrap()]);
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("anser.toml");
    std::fs::write(&file, "[listen]\ntcp = \"127.0.0.1:3101\"\nweb = \"127.0.0.1:3102\"\n\n[listn]\nx = 1\n")
        .unwrap();
    let path = file.to_str().unwrap();
    for arguments in [&["config", "check", "--config", path][..], &["serve", "--config", path]] {
        let said = failed(arguments);
        assert!(said.contains("anser.toml:3"), "file and line: {said}");
        assert!(said.contains("listen.web") && said.contains("listen.ws"), "{said}");
    }
    let said = failed(&["serve", "--set", "listen.tpc=127.0.0.1:0"]);
    assert!(said.contains("listen.tpc") && said.contains("listen.tcp"), "{said}");
    let said = failed(&["serve", "--set", "listen.tcp=nowhere"]);
    assert!(said.contains("listen.tcp") && said.contains("nowhere"), "{said}");
}

#[test]
fn the_environment_sets_keys() {
    let output = Command::new(binary())
        .args(["config", "print"])
        .env("ANSER_LISTEN__TCP", "127.0.0.1:4101")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("127.0.0.1:4101"));
    let output = Command::new(binary())
        .args(["config", "check"])
        .env("ANSER_LISTEN__TPC", "127.0.0.1:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("ANSER_LISTEN__T"), "{said}");
}
