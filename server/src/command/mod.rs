//! The commands of `anser`: one a file, each with its arguments and a `run`.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod config;
mod connection_notes;
mod event_text;
pub(crate) mod failure;
pub(crate) mod migrate;
pub(crate) mod output;
pub(crate) mod push;
pub(crate) mod serve;
pub(crate) mod sub;
pub(crate) mod token;
