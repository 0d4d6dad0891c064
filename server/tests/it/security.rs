//! Who is let in: tokens, keys, listeners off loopback, files that nobody else reads.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::chat::{CARRIERS, JsonChat, device, hello, open};
use crate::support::goim_wire::{Goim, WIRES, Wire};
use crate::support::http::{get, request};
use crate::support::server::{Server, Setup, binary, wait};
use crate::support::websocket::CLOSE;
use crate::support::{number, unique, within};

/// What `anser token new` prints for a user.
fn token(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .args(["token", "new", "--data"])
        .arg(server.data())
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = said.split_whitespace().last().unwrap_or_default().to_owned();
    assert_eq!(token.split('.').count(), 3, "a token has three parts: {said:?}");
    token
}

/// Connects and asks to be let in: the whole answer.
async fn auth(server: &Server, auth: Value) -> (JsonChat, Value) {
    let mut chat = JsonChat::open(server).await;
    let reply = chat.request("auth", auth).await;
    (chat, reply)
}

#[tokio::test]
async fn a_token_says_who_it_is_whatever_else_is_claimed() {
    let server = Setup::strict().start();
    let token = token(&server, &["--user", "alice"]);
    let (_chat, reply) = auth(&server, json!({"token": token, "user": "bob", "device": "d"})).await;
    assert_eq!(reply["auth"]["user"], "alice", "{reply}");
    for carrier in CARRIERS {
        let hello = protocol::client::Auth { token: token.clone(), ..hello("", "d", None) };
        assert_eq!(device(&server, carrier, hello).await.1.user, "alice");
    }
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_nobody_is_let_in() {
    let server = Setup::strict().start();
    let good = token(&server, &["--user", "alice"]);
    let other_server = Setup::strict().start();
    let foreign = token(&other_server, &["--user", "alice"]);
    let mut forged: Vec<&str> = good.split('.').collect();
    // {"sub":"mallory"} under alice's signature.
    forged[1] = "eyJzdWIiOiJtYWxsb3J5In0";
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", good.split('.').nth(1).unwrap());
    let cases = [
        (json!({"user": "alice"}), 40100),
        (json!({"user": "alice", "token": ""}), 40100),
        (json!({"token": "nonsense"}), 40102),
        (json!({"token": foreign}), 40102),
        (json!({"token": forged.join(".")}), 40102),
        (json!({"token": unsigned}), 40102),
        (json!({"token": format!("{good}x")}), 40102),
        (json!({"token": "x".repeat(20_000)}), 40102),
    ];
    for (request, expected) in cases {
        let (mut chat, reply) = auth(&server, request).await;
        assert_eq!(reply["error"]["number"], expected, "{reply}");
        assert_eq!(reply["error"]["retryable"], false);
        assert_eq!(close_code(&mut chat).await, Some(4501));
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused() {
    let server = Setup::strict().start();
    let token = token(&server, &["--user", "alice", "--ttl", "1s"]);
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    loop {
        let (_chat, reply) = auth(&server, json!({"token": token})).await;
        if reply.get("auth").is_none() {
            assert_eq!(reply["error"]["number"], 40101, "{reply}");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "a token for a second is still good");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The close code that ends the connection; everything before it is skipped.
async fn close_code(chat: &mut JsonChat) -> Option<u16> {
    while let Some(frame) = chat.socket.next().await {
        if frame.opcode == CLOSE {
            return Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        }
    }
    None
}

#[tokio::test]
async fn a_goim_client_without_a_token_is_nobody() {
    let server = Setup::strict().start();
    let key = api_key(&server);
    let mid = number();
    for wire in WIRES {
        let name = unique("key");
        let mut client = Goim::user(&server, wire, mid, &name, &[1000]).await;
        let push = async |target: String| {
            let headers = [("Authorization", format!("Bearer {key}"))];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let response = request(server.api, "POST", &target, &headers, b"x").await;
            assert_eq!(response.json()["code"], 0, "{}", response.text());
        };
        push(format!("/goim/push/mids?operation=1000&mids={mid}")).await;
        push(format!("/goim/push/keys?operation=1000&keys={name}")).await;
        client.assert_push(1000, b"x").await;
        client.ask(2, 5, b"").await;
    }
}

#[tokio::test]
async fn a_goim_client_with_a_token_is_its_user() {
    let server = Setup::strict().start();
    let (token, key) = (token(&server, &["--user", "4711"]), api_key(&server));
    let auth = json!({"mid": 4711, "token": token, "accepts": [1000]});
    let mut client = Goim::connect(&server, Wire::Tcp, &auth).await;
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str())];
    request(server.api, "POST", "/goim/push/mids?operation=1000&mids=4711", &headers, b"x").await;
    client.assert_push(1000, b"x").await;
    for wire in WIRES {
        let mut refused = Goim::open(&server, wire).await;
        refused.send(7, 1, json!({"mid": 4711, "token": "nonsense"}).to_string().as_bytes()).await;
        refused.assert_closed().await;
    }
}

#[tokio::test]
async fn a_goim_clients_mid_is_trusted_where_it_is_said_so() {
    let server = Setup::strict().set("goim.trust_mid=true").start();
    let bearer = format!("Bearer {}", api_key(&server));
    let mid = number();
    let mut client = Goim::user(&server, Wire::WebSocket, mid, "", &[1000]).await;
    let target = format!("/goim/push/mids?operation=1000&mids={mid}");
    request(server.api, "POST", &target, &[("Authorization", &bearer)], b"x").await;
    client.assert_push(1000, b"x").await;
    // An Anser client's claim is still none.
    let mut connection = open(&server, CARRIERS[0]).await;
    assert!(within("the answer", connection.auth(hello("alice", "d", None))).await.is_err());
}

/// The key of the server API, from the folder that only its owner reads.
fn api_key(server: &Server) -> String {
    let path = server.data().join("api-key");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .trim()
        .to_owned()
}

#[tokio::test]
async fn the_server_api_wants_its_key() {
    let server = Setup::strict().start();
    let bearer = format!("Bearer {}", api_key(&server));
    let call = br#"{"to":{"users":["alice"]},"op":1,"text":"x"}"#;
    let calls = [
        ("POST", "/v1/push", &call[..]),
        ("POST", "/goim/push/all?operation=1", b"x"),
        ("GET", "/goim/online/total", b""),
        ("GET", "/goim/nodes/instances", b""),
    ];
    for (method, target, body) in calls {
        let wrong =
            ["", "Bearer wrong", "Bearer ", "Basic abc", &bearer.to_uppercase(), &format!("{bearer}x")];
        for header in wrong {
            let headers = [("Authorization", header)];
            let headers = if header.is_empty() { &headers[..0] } else { &headers[..] };
            let response = request(server.api, method, target, headers, body).await;
            assert_eq!(response.status, 401, "{method} {target} with {header:?}: {}", response.text());
        }
        let response = request(server.api, method, target, &[("Authorization", &bearer)], body).await;
        assert_eq!(response.status, 200, "{method} {target}: {}", response.text());
    }
    for target in ["/livez", "/readyz"] {
        assert_eq!(get(server.api, target).await.status, 200, "{target} needs no key");
    }
}

#[tokio::test]
async fn goims_api_may_be_opened_on_loopback_alone() {
    let server = Setup::strict().set("goim.allow_anonymous=true").start();
    assert_eq!(get(server.api, "/goim/online/total").await.status, 200);
    let call = br#"{"to":{"users":["alice"]},"op":1,"text":"x"}"#;
    assert_eq!(request(server.api, "POST", "/v1/push", &[], call).await.status, 401);
}

#[tokio::test]
async fn keys_are_made_once_and_nobody_else_reads_them() {
    let mut server = Setup::strict().same_ports().start();
    let token = token(&server, &["--user", "alice"]);
    let key = api_key(&server);
    assert_eq!(mode(&server.data()), 0o700);
    let mut file_count = 0;
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().contains("key") {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            file_count += 1;
        }
    }
    assert!(file_count >= 2, "a key for tokens and one for the API");
    let said = server.printed.join("\n");
    assert!(said.contains("anser token new --user alice"), "it says how to get a token: {said}");
    assert!(!said.contains(&key) && !server.log().contains(&key), "the key itself is not printed");
    server.kill();
    server.start_again();
    assert_eq!(api_key(&server), key);
    let (_chat, reply) = auth(&server, json!({"token": token})).await;
    assert_eq!(reply["auth"]["user"], "alice");
    assert!(!server.log().contains(&token), "a token is not logged");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn dev_says_loudly_that_it_trusts_everybody() {
    let server = Setup::dev().start();
    let said = format!("{}\n{}", server.printed.join("\n"), server.log()).to_lowercase();
    assert!(said.contains("--dev") && said.contains("trust"), "{said}");
}

/// Tries to serve with these arguments; it must refuse at once.
fn refused(arguments: &[&str]) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data").arg(folder.path().join("data"));
    for listener in ["tcp", "ws", "api"] {
        command.args(["--set", &format!("listen.{listener}=127.0.0.1:0")]);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = wait(&mut child, Duration::from_secs(20));
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success(), "{arguments:?} were taken: {said}");
    assert!(!said.contains("anser is ready"), "{said}");
    said
}

#[test]
fn a_listener_off_loopback_is_refused_with_the_reason() {
    for listener in ["tcp", "ws", "api"] {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let setting = format!("listen.{listener}={address}");
            let said = refused(&["--set", &setting]);
            assert!(said.contains(&format!("listen.{listener}")), "{said}");
            assert!(said.contains("auth.public"), "it says what to set: {said}");
            let said = refused(&["--dev", "--set", &setting]);
            assert!(said.contains("--dev"), "{said}");
            let said = refused(&["--dev", "--set", &setting, "--set", "auth.public=true"]);
            assert!(said.contains("--dev"), "{said}");
        }
    }
}

#[test]
fn other_loopback_addresses_and_a_public_listener_that_is_wanted_are_taken() {
    drop(Setup::strict().set("listen.tcp=127.0.0.2:0").start());
    drop(Setup::strict().set("auth.public=true").set("listen.tcp=0.0.0.0:0").start());
}
