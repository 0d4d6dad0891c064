//! One HTTP request on a connection of its own, written by hand so that it can also be wrong.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header, its name in lowercase.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// Asks with these headers beside Host, Connection and Content-Length.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    within(&format!("{method} {target}"), async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer and close before it has read a body that it does not want.
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        read_response(&mut stream).await.expect("an HTTP answer")
    })
    .await
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> Response {
    request(address, "GET", target, &[], b"").await
}

pub(crate) async fn post(address: SocketAddr, target: &str, body: &[u8]) -> Response {
    request(address, "POST", target, &[], body).await
}

/// Reads an answer up to the end of its body; `None` when the connection ended before its head was whole.
pub(crate) async fn read_response(stream: &mut TcpStream) -> Option<Response> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response { status, headers, body: bytes.split_off(head_end + 4) };
    if status == 101 {
        return Some(response);
    }
    let length: Option<usize> = response.header("content-length").and_then(|value| value.parse().ok());
    while length.is_none_or(|length| response.body.len() < length) {
        match stream.read_buf(&mut response.body).await {
            Ok(count) if count > 0 => {}
            _ => break,
        }
    }
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = joined(&response.body);
    }
    Some(response)
}

/// The body that came in chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line_end) = find(chunks, b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..line_end]).unwrap(), 16).unwrap();
        let start = line_end + 2;
        body.extend_from_slice(&chunks[start..start + length]);
        chunks = &chunks[start + length + 2..];
    }
    body
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
