//! The HTTP side of the WebSocket port: the handshake at `/sub`, and the files of the page.
//!
//! hyper speaks HTTP; when the handshake is done the bare socket goes to the shard and the task ends, so that
//! nothing of HTTP stays in memory for a connection.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::hub::Admission;
use crate::shard::Shard;
use crate::transport::Carrier;
use crate::{Config, Page};

/// Bytes of all headers of a request.
const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// How long one HTTP connection may serve files of the page.
const HTTP_TIME_LIMIT: Duration = Duration::from_secs(60);
/// How long one may take to get what it has asked for when the doors are closed.
const HTTP_END_TIME_LIMIT: Duration = Duration::from_secs(1);
/// From RFC 6455 section 1.3.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The page loads only what comes from its own origin, and connects only there.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' data: https:; connect-src 'self' ws: wss:; \
                           frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// What a handshake is checked against.
pub(crate) struct Handshake {
    page: Page,
    time_limit: Duration,
    allowed_origins: Vec<String>,
    loopback: bool,
}

/// A request that is answered with a status and words.
type Refusal = (StatusCode, &'static str);

impl Handshake {
    pub(crate) fn new(config: &Config, page: Page) -> Self {
        Self {
            page,
            time_limit: config.auth_time_limit,
            allowed_origins: config.allowed_origins.clone(),
            loopback: config.ws.ip().is_loopback(),
        }
    }

    /// Serves one HTTP connection, until it is a WebSocket or over.
    pub(crate) async fn serve(
        self: Rc<Self>,
        shard: Weak<RefCell<Shard>>,
        stream: std::net::TcpStream,
        admission: Admission,
        mut open: watch::Receiver<()>,
    ) {
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let time_limit = self.time_limit;
        let admission = Rc::new(Cell::new(Some(admission)));
        let service = hyper::service::service_fn(|request| {
            let response = self.answer(request, &shard, &admission);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(time_limit)
            .max_buf_size(HEADERS_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // What a client does wrong here is its own matter; hyper has answered it as far as it could.
        tokio::select! {
            _ = tokio::time::timeout(HTTP_TIME_LIMIT, connection.as_mut()) => {}
            // Nothing is sent: it ends with the doors. A browser keeps connections that ask for nothing.
            _ = open.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(HTTP_END_TIME_LIMIT, connection).await;
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        shard: &Weak<RefCell<Shard>>,
        admission: &Rc<Cell<Option<Admission>>>,
    ) -> Response<Full<Bytes>> {
        let result = if request.uri().path() == "/sub" {
            self.upgrade(request, shard, admission)
        } else {
            self.file(&request)
        };
        result.unwrap_or_else(|(status, words)| refuse(status, words))
    }

    fn file(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "this port serves the page by GET\n"));
        }
        let path = request.uri().path();
        let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let file = (self.page)(name).ok_or((StatusCode::NOT_FOUND, "no such file; the page is at /\n"))?;
        let mut response = Response::new(Full::new(file.bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Ok(response)
    }

    fn upgrade(
        &self,
        mut request: Request<Incoming>,
        shard: &Weak<RefCell<Shard>>,
        admission: &Rc<Cell<Option<Admission>>>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (accept, protocol) = self.check(&request)?;
        let carrier = match protocol {
            Some("anser.v1.json") => Carrier::WebSocketJson,
            Some(_) => Carrier::WebSocketProtobuf,
            None => Carrier::WebSocketFrames,
        };
        let Some(admission) = admission.take() else {
            return Err((StatusCode::BAD_REQUEST, "this connection was upgraded already\n"));
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let shard = Weak::clone(shard);
        tokio::task::spawn_local(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
            let Ok(stream) = parts.io.into_inner().into_std() else { return };
            let Some(shard) = shard.upgrade() else { return };
            let stream = mio::net::TcpStream::from_std(stream);
            let mut shard = shard.borrow_mut();
            let _alarm = shard.alarm();
            shard.admit(stream, carrier, admission, &parts.read_buf, Instant::now());
            shard.wake();
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        Ok(response)
    }

    /// Checks a handshake (RFC 6455 section 4.2.1); answers the accept value and the subprotocol chosen.
    fn check(&self, request: &Request<Incoming>) -> Result<(HeaderValue, Option<&'static str>), Refusal> {
        let headers = request.headers();
        if request.method() != Method::GET || request.version() < Version::HTTP_11 {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "a WebSocket handshake is a GET of HTTP/1.1\n"));
        }
        if !has_token(headers, header::CONNECTION, "upgrade")
            || !has_token(headers, header::UPGRADE, "websocket")
        {
            return Err((StatusCode::UPGRADE_REQUIRED, "this path speaks WebSocket\n"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err((StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13\n"));
        }
        if !self.allows_origin(headers) {
            return Err((StatusCode::FORBIDDEN, "this origin is not in web.allowed_origins\n"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let key = key.filter(|key| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
        let key = key.ok_or((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes of base64\n"))?;
        let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
        let accept = HeaderValue::from_str(&BASE64_STANDARD.encode(digest))
            .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "the accept value is no header\n"))?;
        let chosen = ["anser.v1.json", "anser.v1.pb"]
            .into_iter()
            .find(|protocol| has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, protocol));
        Ok((accept, chosen))
    }

    /// A browser says where its page came from: this server's own page may connect, and those that were named.
    /// On a loopback listener the name must be one of this machine's, so that no other page can borrow it.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.allowed_origins.iter().any(|allowed| allowed == origin) {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host)
        });
        own && (!self.loopback || names_loopback(host))
    }
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn refuse(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn allows(config: &Config, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Handshake::new(config, Arc::new(|_| None)).allows_origin(&headers)
    }

    #[test]
    fn only_the_own_page_and_named_origins_may_connect() {
        let mut config = Config::default();
        assert!(allows(&config, "127.0.0.1:3102", None));
        assert!(allows(&config, "127.0.0.1:3102", Some("http://127.0.0.1:3102")));
        assert!(allows(&config, "localhost:3102", Some("http://localhost:3102")));
        assert!(!allows(&config, "127.0.0.1:3102", Some("http://evil.example")));
        assert!(!allows(&config, "127.0.0.1:3102", Some("null")));
        // A page whose name was made to point at this machine says its own name in both headers.
        assert!(!allows(&config, "evil.example:3102", Some("http://evil.example:3102")));
        config.allowed_origins = vec!["https://app.example".to_owned()];
        assert!(allows(&config, "127.0.0.1:3102", Some("https://app.example")));
        config.ws = "192.0.2.1:3102".parse().unwrap();
        assert!(allows(&config, "chat.example", Some("https://chat.example")));
    }
}
