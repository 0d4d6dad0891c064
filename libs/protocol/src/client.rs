//! The messages of `proto/client.proto`.

#![allow(missing_docs, reason = "the documentation is in client.proto")]
#![allow(clippy::all, clippy::pedantic, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/anser.v1.rs"));
