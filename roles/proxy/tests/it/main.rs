//! A real proxy on real sockets, with logic and im replaced by what the tests can look into.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod fakes;
mod groups;
mod requests;
mod rooms;
mod stored;
mod watch;
mod websocket;
