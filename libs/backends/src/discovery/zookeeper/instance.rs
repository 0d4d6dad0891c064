//! An instance as it stands in a node: JSON, readable by people.
//!
//! Keys that are not known are passed over, and those that may be absent are empty then, so that a process of the
//! version before or after reads it too.

use std::collections::BTreeMap;

use protocol::ServerId;
use serde::{Deserialize, Serialize};

use super::super::Instance;
use crate::{Error, Kind, Result};

/// Bytes of a node; ZooKeeper cuts the connection of whoever writes more than 1 MiB.
const NODE_BYTES_MAX: usize = 256 * 1024;

#[derive(Serialize, Deserialize)]
struct Written {
    server: String,
    #[serde(default)]
    addresses: BTreeMap<String, String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    since_ms: u64,
}

/// The bytes of a node.
///
/// # Errors
/// `Conflict` where they are too many.
pub(super) fn encode(instance: &Instance) -> Result<Vec<u8>> {
    let written = Written {
        server: instance.server.to_string(),
        addresses: instance.addresses.clone(),
        metadata: instance.metadata.clone(),
        since_ms: instance.since_ms,
    };
    let bytes = serde_json::to_vec(&written).map_err(|error| {
        Error::new(Kind::Corrupt, format!("{} cannot be written", instance.role)).caused_by(error)
    })?;
    if bytes.len() > NODE_BYTES_MAX {
        let message = format!("{} has {} bytes: {NODE_BYTES_MAX} at most", instance.role, bytes.len());
        return Err(Error::new(Kind::Conflict, message));
    }
    Ok(bytes)
}

/// The instance of a role that a node holds; `None` where it holds none.
pub(super) fn decode(role: &str, bytes: &[u8]) -> Option<Instance> {
    let Written { server, addresses, metadata, since_ms } = serde_json::from_slice(bytes).ok()?;
    Some(Instance {
        role: role.to_owned(),
        server: ServerId(server.as_str().into()),
        addresses,
        metadata,
        since_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_comes_back_and_other_versions_are_read() {
        let instance = Instance {
            role: "proxy".to_owned(),
            server: ServerId("a/1".into()),
            addresses: BTreeMap::from([("tcp".to_owned(), "127.0.0.1:1".to_owned())]),
            metadata: BTreeMap::from([("weight".to_owned(), "7".to_owned())]),
            since_ms: 5,
        };
        assert_eq!(decode("proxy", &encode(&instance).unwrap()), Some(instance));
        let other = decode("proxy", br#"{"server":"b","later":{"x":1}}"#).unwrap();
        assert_eq!((other.server.to_string().as_str(), other.since_ms), ("b", 0));
        for bytes in [&b""[..], b"{}", b"[1]", b"\xff", br#"{"server":7}"#] {
            assert_eq!(decode("proxy", bytes), None);
        }
    }
}
