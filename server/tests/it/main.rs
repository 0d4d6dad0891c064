//! The system tests: the built binary, started as a user starts it and spoken to over its sockets.
//!
//! A file is named for what the users of that part would call it. What is asserted is what they would
//! notice: bytes, answers, closed connections, what is there after a crash. Nothing here looks inside.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on ends with a panic")]

mod blocks;
mod cli;
mod contents;
mod conversations;
mod devices;
mod goim;
mod goim_api;
mod goim_client;
mod goim_faults;
mod goim_push;
mod groups;
mod history;
mod hostile;
mod hostile_slow;
mod model;
mod offline;
mod presence;
mod processes;
#[allow(dead_code, reason = "other tests that share it need the rest")]
#[path = "../../../libs/backends/tests/it/product.rs"]
mod product;
mod protocol;
mod protocol_live;
mod protocol_resume;
mod protocol_rooms;
mod recall;
mod receipts;
mod restart;
mod restart_kill;
mod security;
mod security_origin;
mod super_groups;
mod support;
mod users_api;
