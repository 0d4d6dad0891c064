//! Browsers: only the page's own origin may open a WebSocket or call the API.

use crate::support::http::{get, request};
use crate::support::server::{Setup, Shared};
use crate::support::websocket::WebSocket;

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn a_page_of_another_origin_may_not_open_a_websocket() {
    let server = SERVER.get();
    let port = server.ws.port();
    let foreign = [
        "http://evil.example".to_owned(),
        format!("https://evil.example:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
        format!("http://127.0.0.1.evil.example:{port}"),
        "null".to_owned(),
        "file://".to_owned(),
    ];
    for origin in &foreign {
        for subprotocol in [None, Some("anser.v1.json"), Some("anser.v1.pb")] {
            let mut headers = vec![("Origin", origin.as_str())];
            headers.extend(subprotocol.map(|name| ("Sec-WebSocket-Protocol", name)));
            let refused = WebSocket::handshake(server.ws, "/sub", &headers).await;
            assert_eq!(refused.err().expect("a refusal").status, 403, "{origin}");
        }
    }
}

#[tokio::test]
async fn the_page_itself_and_programs_without_an_origin_may() {
    let server = SERVER.get();
    let own = format!("http://{}", server.ws);
    let headers = [("Origin", own.as_str())];
    assert!(WebSocket::handshake(server.ws, "/sub", &headers).await.is_ok());
    assert!(WebSocket::handshake(server.ws, "/sub", &[]).await.is_ok());
}

#[tokio::test]
async fn an_origin_that_is_set_may() {
    let server = Setup::dev().set("web.allowed_origins=https://chat.example").start();
    let headers = [("Origin", "https://chat.example")];
    assert!(WebSocket::handshake(server.ws, "/sub", &headers).await.is_ok());
    let headers = [("Origin", "https://other.example")];
    assert!(WebSocket::handshake(server.ws, "/sub", &headers).await.is_err());
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_call_the_api() {
    let server = SERVER.get();
    let call = br#"{"to":{"all":true},"op":1,"text":"x"}"#;
    for target in ["/v1/push", "/goim/push/all?operation=1"] {
        let headers = [("Origin", "http://evil.example")];
        let response = request(server.api, "POST", target, &headers, call).await;
        assert_eq!(response.status, 403, "{target}: {}", response.text());
        assert_eq!(response.header("access-control-allow-origin"), None);
        let response = request(server.api, "OPTIONS", target, &headers, b"").await;
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn the_page_is_served_beside_the_websocket_and_tells_browsers_to_be_strict() {
    let server = SERVER.get();
    let page = get(server.ws, "/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().to_lowercase().contains("<!doctype html>"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("content-security-policy").is_some());
    assert_eq!(get(server.ws, "/nothing-here").await.status, 404);
    for target in ["/../Cargo.toml", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/.."] {
        assert!(matches!(get(server.ws, target).await.status, 400 | 404), "{target}");
    }
}
