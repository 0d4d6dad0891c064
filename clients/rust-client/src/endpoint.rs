//! Where a server listens and how it is spoken to there.

use protocol::codec::Encoding;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::Error;

/// What is connected to: `ws://host:port/path` or `tcp://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The goim frame with Anser's operations.
    Tcp,
    /// One of Anser's subprotocols; the url is the request's.
    WebSocket { url: String, encoding: Encoding },
}

impl Endpoint {
    /// Reads a url. The encoding counts for WebSocket; TCP always carries protobuf. A WebSocket url without
    /// a path means `/sub`.
    ///
    /// # Errors
    /// [`Error::Address`] names what is wrong with the url.
    pub fn new(url: &str, encoding: Encoding) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Address { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|error| refuse(&format!("{error}")))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        match scheme {
            "tcp" => {
                let port = uri.port_u16().ok_or_else(|| refuse("tcp:// needs a port, such as 3101"))?;
                Ok(Self { kind: Kind::Tcp, host, port })
            }
            "ws" => {
                let authority = uri.authority().map_or("", |authority| authority.as_str());
                let target = uri.path_and_query().map_or("/", |target| target.as_str());
                let target = if target == "/" { "/sub" } else { target };
                let url = format!("ws://{authority}{target}");
                let port = uri.port_u16().unwrap_or(80);
                Ok(Self { kind: Kind::WebSocket { url, encoding }, host, port })
            }
            "wss" => Err(refuse("TLS is not built into this client: put ws:// behind a TLS proxy")),
            _ => Err(refuse("give ws://host:port/sub or tcp://host:port")),
        }
    }

    /// Another address of the same kind, as a server names it when it goes away.
    pub(crate) fn redirected(&self, url: &str) -> Result<Self, Error> {
        let encoding = match self.kind {
            Kind::Tcp => Encoding::Protobuf,
            Kind::WebSocket { encoding, .. } => encoding,
        };
        let other = Self::new(url, encoding)?;
        if matches!(self.kind, Kind::Tcp) == matches!(other.kind, Kind::Tcp) {
            return Ok(other);
        }
        Err(Error::Address { url: url.to_owned(), reason: "it is of another kind than before".to_owned() })
    }

    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_both_kinds_are_read() {
        let tcp = Endpoint::new("tcp://[::1]:3101", Encoding::Json).unwrap();
        assert_eq!((tcp.kind.clone(), tcp.address()), (Kind::Tcp, "[::1]:3101".to_owned()));
        let ws = Endpoint::new("ws://localhost:3102", Encoding::Json).unwrap();
        assert_eq!(ws.address(), "localhost:3102");
        let url = "ws://localhost:3102/sub".to_owned();
        assert_eq!(ws.kind, Kind::WebSocket { url, encoding: Encoding::Json });
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_with_what_to_give() {
        for (url, words) in [
            ("http://localhost:3111", "give ws://"),
            ("wss://localhost/sub", "TLS"),
            ("tcp://localhost", "port"),
            ("localhost:3102", "ws://"),
            ("ws:///sub", ""),
        ] {
            let error = Endpoint::new(url, Encoding::Json).unwrap_err();
            assert!(!error.is_retryable());
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
