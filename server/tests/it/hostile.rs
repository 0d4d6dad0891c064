//! Bad input on every listener: the process stays up, each gets its answer, others notice nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::chat::{CARRIERS, Carrier, JsonChat, live, message, say, text_of};
use crate::support::goim_wire::{Frame, Goim, Link, Wire};
use crate::support::http::{get, read_response, request};
use crate::support::server::{Server, Setup, Shared};
use crate::support::websocket::{BINARY, CLOSE, CONTINUATION, PING, TEXT, WebSocket, frame, head};
use crate::support::{seed, unique, within};

static SERVER: Shared = Shared::new();

/// Two people who chat while something bad goes on.
struct Bystanders {
    alice: anser_client::Connection,
    bob: anser_client::Connection,
    bob_name: String,
}

impl Bystanders {
    async fn meet(server: &Server) -> Self {
        let bob_name = unique("bystander");
        let alice = live(server, Carrier::Json, &unique("bystander"), "d").await;
        let bob = live(server, Carrier::Tcp, &bob_name, "d").await;
        Self { alice, bob, bob_name }
    }

    /// A message goes through, and promptly.
    async fn notice_nothing(&mut self) {
        let started = Instant::now();
        let text = unique("all is well");
        say(&mut self.alice, &self.bob_name, &text).await;
        assert_eq!(text_of(&message(&mut self.bob).await), text);
        assert!(started.elapsed() < Duration::from_secs(1), "it took {:?}", started.elapsed());
    }
}

/// Sends bytes and reads until the server closes, at most for a while.
async fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut stream = within("a connection", TcpStream::connect(address)).await.unwrap();
    // The server may close in the middle of it.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut sink = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut sink)).await;
}

#[tokio::test]
async fn random_bytes_hurt_nobody() {
    let server = SERVER.get();
    let mut random = StdRng::seed_from_u64(seed("random bytes"));
    let mut bystanders = Bystanders::meet(&server).await;
    for round in 0..60 {
        let mut bytes = vec![0; random.random_range(1..3000)];
        random.fill_bytes(&mut bytes);
        // Some look like the beginning of what is expected, so that they come further in.
        match round % 4 {
            0 => bytes.splice(0..0, Frame::new(7, 1, b"{}").bytes()).for_each(drop),
            1 => bytes.splice(0..0, *b"GET /sub HTTP/1.1\r\nHost: x\r\n").for_each(drop),
            _ => {}
        }
        for address in [server.tcp, server.ws, server.api] {
            throw(address, &bytes).await;
        }
    }
    bystanders.notice_nothing().await;
}

#[tokio::test]
async fn random_frames_after_auth_hurt_nobody() {
    let server = SERVER.get();
    let mut random = StdRng::seed_from_u64(seed("random frames"));
    let mut bystanders = Bystanders::meet(&server).await;
    for _ in 0..100 {
        let mut bytes = Frame::new(7, 1, b"{\"accepts\":[1]}").bytes();
        for _ in 0..20 {
            let mut body = vec![0; random.random_range(0..200)];
            random.fill_bytes(&mut body);
            let operation = random.random_range(-5..220);
            bytes.extend(Frame::new(operation, random.random(), &body).bytes());
        }
        throw(server.tcp, &bytes).await;
        for subprotocol in [None, Some("anser.v1.pb"), Some("anser.v1.json")] {
            let mut socket = WebSocket::connect(server.ws, subprotocol).await;
            for _ in 0..5 {
                let mut payload = vec![0; random.random_range(0..200)];
                random.fill_bytes(&mut payload);
                socket.send_bytes(&frame(random.random(), &payload, random.random_bool(0.9))).await;
            }
        }
    }
    bystanders.notice_nothing().await;
}

#[tokio::test]
async fn every_cut_of_a_good_conversation_hurts_nobody() {
    let server = SERVER.get();
    let mut bystanders = Bystanders::meet(&server).await;
    let conversation: Vec<u8> =
        [Frame::new(7, 1, b"{\"mid\":0}"), Frame::new(12, 2, b"live://cut"), Frame::new(2, 3, b"")]
            .iter()
            .flat_map(Frame::bytes)
            .collect();
    for cut in 0..conversation.len() {
        throw(server.tcp, &conversation[..cut]).await;
    }
    bystanders.notice_nothing().await;
}

/// What ends a WebSocket connection, and with which close code.
#[tokio::test]
async fn websocket_frames_that_break_the_rules_are_closed_with_their_code() {
    let server = SERVER.get();
    let ping = vec![b'x'; 126];
    let broken: [(&str, Vec<u8>, u16); 14] = [
        ("unmasked", frame(0x80 | TEXT, b"{}", false), 1002),
        ("unmasked ping", frame(0x80 | PING, b"", false), 1002),
        ("reserved bit 1", frame(0xc0 | TEXT, b"{}", true), 1002),
        ("reserved bit 2", frame(0xa0 | TEXT, b"{}", true), 1002),
        ("reserved bit 3", frame(0x90 | BINARY, b"{}", true), 1002),
        ("unknown opcode 3", frame(0x83, b"{}", true), 1002),
        ("unknown opcode 11", frame(0x8b, b"", true), 1002),
        ("fragmented ping", frame(PING, b"", true), 1002),
        ("long ping", frame(0x80 | PING, &ping, true), 1002),
        ("continuation of nothing", frame(0x80 | CONTINUATION, b"{}", true), 1002),
        (
            "message within a message",
            [frame(TEXT, b"{", true), frame(0x80 | TEXT, b"}", true)].concat(),
            1002,
        ),
        ("text that is not UTF-8", frame(0x80 | TEXT, b"{\"seq\":\"\xff\xfe\"}", true), 1007),
        ("half a close code", frame(0x80 | CLOSE, b"\x03", true), 1002),
        ("a length over the limit", head(0x80 | TEXT, 1 << 40, true), 1009),
    ];
    for subprotocol in [None, Some("anser.v1.json"), Some("anser.v1.pb")] {
        for (what, bytes, code) in &broken {
            let mut socket = WebSocket::connect(server.ws, subprotocol).await;
            socket.send_bytes(bytes).await;
            assert_eq!(socket.closed().await, Some(*code), "{what} with {subprotocol:?}");
        }
    }
    Bystanders::meet(&server).await.notice_nothing().await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_closed_before_it_is_there() {
    let server = SERVER.get();
    // Only the head comes: a server that waited for the rest would hold what it claims.
    for length in [65 * 1024, 1 << 20, i32::MAX] {
        let mut client = Goim::open(&server, Wire::Tcp).await;
        client.send_bytes(&length.to_be_bytes()).await;
        client.send_bytes(&[0, 16, 0, 1]).await;
        client.assert_closed().await;
    }
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    chat.socket.send_bytes(&head(0x80 | TEXT, 1 << 20, true)).await;
    let code = chat.socket.closed().await;
    assert!(matches!(code, Some(1009 | 4508)), "{code:?}");
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    chat.socket.send_bytes(&frame(TEXT, b"{", true)).await;
    for _ in 0..40 {
        chat.socket.send_bytes(&frame(CONTINUATION, &[b' '; 4096], true)).await;
    }
    let code = chat.socket.closed().await;
    assert!(matches!(code, Some(1009 | 4508)), "fragments add up: {code:?}");
}

#[tokio::test]
async fn headers_of_10_megabytes_are_refused_and_not_kept() {
    let server = Setup::dev().start();
    let before = server.resident_bytes();
    for address in [server.ws, server.api] {
        for line in [&b"X-Long: "[..], b"Cookie: a=b\r\nX-Many: 1\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET /sub HTTP/1.1\r\nHost: x\r\n").await;
            let block = line.repeat(64 * 1024 / line.len());
            let mut sent = 0;
            while sent < 10 * 1024 * 1024 {
                match tokio::time::timeout(Duration::from_secs(5), stream.write_all(&block)).await {
                    Ok(Ok(())) => sent += block.len(),
                    // Closed, or no longer read: both end it.
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            assert!(sent < 10 * 1024 * 1024, "{address} took {sent} bytes of headers");
            let answer = within("an answer or the end", read_response(&mut stream)).await;
            assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)));
        }
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "memory grew by {grown} bytes");
    Bystanders::meet(&server).await.notice_nothing().await;
}

#[tokio::test]
async fn half_open_handshakes_are_cut_and_others_come_in() {
    let server = Setup::dev().set("auth.time_limit=2s").start();
    let mut bystanders = Bystanders::meet(&server).await;
    let started = Instant::now();
    let mut half_open = Vec::new();
    for count in 0..500 {
        let mut stream = TcpStream::connect(server.ws).await.unwrap();
        let part: &[u8] = match count % 4 {
            0 => b"",
            1 => b"G",
            2 => b"GET /sub HTTP/1.1\r\nHost: x\r\nUpgrade: webso",
            _ => b"GET /sub HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        };
        stream.write_all(part).await.unwrap();
        half_open.push(stream);
        if count % 100 == 0 {
            bystanders.notice_nothing().await;
        }
    }
    // A newcomer does not wait for them.
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    chat.ask("heartbeat", json!({})).await;
    for mut stream in half_open {
        let mut answer = Vec::new();
        let _ = within("the end of a half-open handshake", stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "cut after {:?}", started.elapsed());
    bystanders.notice_nothing().await;
}

#[tokio::test]
async fn half_sent_calls_of_the_api_do_not_keep_others_waiting() {
    let server = SERVER.get();
    let mut half_sent = Vec::new();
    for count in 0..300 {
        let mut stream = TcpStream::connect(server.api).await.unwrap();
        let part: &[u8] = match count % 3 {
            0 => b"",
            1 => b"POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le",
            _ => b"POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\n{\"to\":",
        };
        stream.write_all(part).await.unwrap();
        half_sent.push(stream);
    }
    let started = Instant::now();
    assert_eq!(get(server.api, "/readyz").await.status, 200);
    let call = json!({"to": {"users": ["nobody"]}, "op": 1, "text": "x"}).to_string();
    assert_eq!(request(server.api, "POST", "/v1/push", &[], call.as_bytes()).await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(1), "it took {:?}", started.elapsed());
    Bystanders::meet(&server).await.notice_nothing().await;
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let server = SERVER.get();
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("GET", &[]),
        ("GET", &[("Upgrade", "websocket")]),
        ("GET", &[("Upgrade", "websocket"), ("Connection", "Upgrade")]),
        ("POST", &[("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]),
        ("GET", &[("Upgrade", "h2c"), ("Sec-WebSocket-Version", "13")]),
        ("GET", &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Key", "x")]),
    ];
    for (method, headers) in cases {
        let response = request(server.ws, method, "/sub", headers, b"").await;
        assert_eq!(response.status / 100, 4, "{method} {headers:?}: {response:?}");
    }
    for raw in ["\r\n\r\n", "GET /sub\r\n\r\n", "GET /sub HTTP/9.9\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n"] {
        throw(server.ws, raw.as_bytes()).await;
        throw(server.api, raw.as_bytes()).await;
    }
    assert_eq!(get(server.ws, "/").await.status, 200);
}

#[tokio::test]
async fn frames_of_another_protocol_on_the_wrong_port_are_closed() {
    let server = SERVER.get();
    let mut bystanders = Bystanders::meet(&server).await;
    // HTTP on the TCP listener: the header length is not 16.
    let mut client = Goim::open(&server, Wire::Tcp).await;
    client.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.assert_closed().await;
    throw(server.ws, &Frame::new(7, 1, b"{}").bytes()).await;
    throw(server.api, &Frame::new(7, 1, b"{}").bytes()).await;
    bystanders.notice_nothing().await;
}

#[tokio::test]
async fn requests_in_one_burst_are_all_answered_and_others_are_not_held_up() {
    let server = SERVER.get();
    let mut bystanders = Bystanders::meet(&server).await;
    let mut client = Goim::connect(&server, Wire::Tcp, &json!({})).await;
    let burst: Vec<u8> = (0..20_000).flat_map(|sequence| Frame::new(77, sequence, b"x").bytes()).collect();
    let Goim { link: Link::Tcp { stream, .. }, .. } = client else { unreachable!() };
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move { writer.write_all(&burst).await.map(|()| writer) });
    bystanders.notice_nothing().await;
    let mut replies = vec![0; 20_000 * 16];
    within("all the answers", reader.read_exact(&mut replies)).await.unwrap();
    for (sequence, reply) in (0_i32..).zip(replies.chunks(16)) {
        assert_eq!(reply, Frame::new(77, sequence, b"").bytes());
    }
    drop(writing.await.unwrap());
    client = Goim::connect(&server, Wire::Tcp, &json!({})).await;
    client.room_count().await;
    bystanders.notice_nothing().await;
}

#[tokio::test]
async fn deep_and_wide_json_is_answered() {
    let server = SERVER.get();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    let deep = format!("{{\"seq\":1,\"send\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let wide = format!("{{\"seq\":1,{}\"x\":1}}", "\"y\":[1,2,3],".repeat(4_000));
    let number = "{\"seq\":1e400,\"heartbeat\":{}}".to_owned();
    let nested =
        format!("{{\"seq\":1,\"x\":{}1{},\"heartbeat\":{{}}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    for text in [deep, wide, number, nested] {
        chat.send_text(&text).await;
        let reply = chat.next().await.expect("an answer");
        assert!(reply.get("error").is_some() || reply.get("heartbeat").is_some(), "{reply}");
    }
    chat.ask("heartbeat", json!({})).await;
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let server = Setup::dev().start();
    let mut bystanders = Bystanders::meet(&server).await;
    let storm = async |rounds: usize| {
        for round in 0..rounds {
            let carrier = CARRIERS[round % 3];
            drop(live(&server, carrier, "storm", &format!("d{}", round % 7)).await);
            drop(Goim::in_room(&server, Wire::Tcp, "live://storm").await);
            drop(WebSocket::connect(server.ws, None).await);
        }
    };
    storm(100).await;
    let before = server.resident_bytes();
    storm(400).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 24 * 1024 * 1024, "memory grew by {grown} bytes");
    bystanders.notice_nothing().await;
}
