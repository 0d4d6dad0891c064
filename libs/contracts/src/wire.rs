//! The messages and services of `proto/*.proto`.

#![allow(missing_docs, reason = "the documentation is in the protos")]
#![allow(clippy::all, clippy::pedantic, unused_qualifications, unreachable_pub, reason = "generated")]

tonic::include_proto!("anser.contracts.v1");
