//! logic as the proxies and the business's servers see it, with the other roles recorded.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod contract;
mod fakes;
mod goim;
mod push;
