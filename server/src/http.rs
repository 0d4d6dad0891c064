//! The listener of the server API: who may call, within which bounds, and what the process says of itself.
//!
//! What the calls do is the roles' matter; they hand over their routes. A caller needs the API key, but for
//! `/livez` and `/readyz`. Browsers' pages of other origins are refused, and no answer allows them to read it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use protocol::Code;
use runtime::lifecycle::Stop;
use runtime::telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::access::Access;
use crate::readiness::Readiness;

pub(crate) mod access;

/// Connections at once; one more is closed. Callers are servers with connection pools.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes of a request's head: a request line of 64 KiB, which a long list of receivers may need, and headers.
const HEAD_BYTES_MAX: usize = 80 * 1024;
/// How long a head may take to come, and how long a connection may be idle.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(20);
/// How long a call may take, its body included.
const CALL_TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long calls may go on after the stop.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait where the process has no descriptor left for a new connection.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// The routes of the roles; they come when the roles are there.
pub(crate) type RoleRoutes = Arc<OnceLock<Router>>;

#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    metrics: Metrics,
    roles: RoleRoutes,
}

/// All routes of the listener.
pub(crate) fn routes(
    access: Access,
    readiness: Arc<Readiness>,
    metrics: Metrics,
    roles: RoleRoutes,
) -> Router {
    Router::new()
        .route("/livez", get(async || Json(serde_json::json!({"live": true}))))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .fallback(call_role)
        .with_state(Shared { readiness, metrics, roles })
        .layer(from_fn_with_state(Arc::new(access), guard))
}

async fn readyz(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let verbose =
        query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")));
    let report = shared.readiness.report(verbose);
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn render_metrics(State(shared): State<Shared>) -> Response {
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], shared.metrics.render()).into_response()
}

async fn call_role(State(shared): State<Shared>, request: Request) -> Response {
    let Some(roles) = shared.roles.get() else {
        return refuse(Code::Overloaded, "the server is starting: try again");
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match TowerToHyperService::new(roles.clone()).call(request).await {
        // A role that knows no such call says so without words.
        Ok(response) if response.status() == StatusCode::NOT_FOUND && is_empty(&response) => {
            let path: String = path.chars().take(100).collect();
            refuse(Code::NotFound, &format!("there is no call {method} {path}"))
        }
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn is_empty(response: &Response) -> bool {
    use hyper::body::Body as _;
    response.body().is_end_stream()
}

/// Lets in who may call, and bounds how long a call takes.
async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let response = match access.check(path, request.headers()) {
        Err(refusal) => {
            let mut response = refuse(refusal.code, &refusal.message);
            if response.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
        Ok(()) => match tokio::time::timeout(CALL_TIME_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => refuse(Code::Timeout, "the call took too long: it may have been carried out"),
        },
    };
    let status = response.status().as_str().to_owned();
    metrics::counter!("anser_api_calls_total", "status" => status).increment(1);
    response
}

fn refuse(code: Code, message: &str) -> Response {
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(code.with(message))).into_response()
}

/// The bound listener.
pub(crate) struct Listener {
    listener: TcpListener,
    /// Where it is.
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds the listener; nobody is let in yet.
    pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Answers calls until the stop; the task ends when the last one is answered.
    pub(crate) fn serve(self, routes: Router, stop: Stop) -> JoinHandle<()> {
        tokio::spawn(accept(self.listener, routes, stop))
    }
}

async fn accept(listener: TcpListener, routes: Router, stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.triggered() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(target: "api", %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics::counter!("anser_api_connections_refused_total", "reason" => "full").increment(1);
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        tokio::spawn(async move {
            serve_connection(stream, routes, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(STOP_TIME_LIMIT, places.acquire_many(all)).await.is_err() {
        tracing::warn!(target: "api", "calls that did not end in time are cut off");
    }
}

async fn serve_connection(stream: TcpStream, routes: Router, stop: Stop) {
    // What is answered is small and waited for.
    let _ = stream.set_nodelay(true);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_LIMIT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(target: "api", %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::readiness::State as Part;

    async fn call(routes: &Router, uri: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(uri).header("host", "localhost").body(Body::empty()).unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    #[tokio::test]
    async fn the_process_says_how_it_is_from_start_to_stop() {
        let readiness = Arc::new(Readiness::new(["store"]));
        let access = Access {
            api_key: "key".to_owned(),
            api_key_file: String::new(),
            dev: true,
            goim_anonymous: false,
            page: Some(SocketAddr::from(([127, 0, 0, 1], 3102))),
            allowed_origins: Vec::new(),
        };
        let roles = RoleRoutes::default();
        let metrics = Metrics::start().unwrap();
        let routes = routes(access, Arc::clone(&readiness), metrics, Arc::clone(&roles));

        assert_eq!(call(&routes, "/livez").await, (StatusCode::OK, json!({"live": true})));
        let starting = json!({"ready": false, "parts": {"store": "starting"}});
        assert_eq!(call(&routes, "/readyz?verbose").await, (StatusCode::SERVICE_UNAVAILABLE, starting));
        let (status, body) = call(&routes, "/v1/hello").await;
        assert_eq!((status, &body["retryable"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));

        roles.set(Router::new().route("/v1/hello", get(async || Json("hello")))).unwrap();
        readiness.set("store", Part::Ready);
        assert_eq!(call(&routes, "/readyz").await, (StatusCode::OK, json!({"ready": true})));
        assert_eq!(call(&routes, "/v1/hello").await, (StatusCode::OK, json!("hello")));
        let (status, body) = call(&routes, "/v1/nothing").await;
        assert_eq!((status, &body["number"]), (StatusCode::NOT_FOUND, &json!(40400)));

        readiness.stop();
        assert_eq!(call(&routes, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(call(&routes, "/livez").await.0, StatusCode::OK);
    }
}
