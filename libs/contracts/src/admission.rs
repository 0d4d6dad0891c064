//! Who may call: what a caller shows with every call, and what the callee makes of it.
//!
//! A caller shows the shared secret and its wire version. Without TLS the secret goes over the network as it is, so
//! it keeps strangers out of a network that is trusted, and no more.

use std::fmt;

use subtle::ConstantTimeEq as _;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

use crate::Error;
use crate::error::Kind;
use crate::status;

/// The version of what processes say to each other. Version n talks with n − 1 and n + 1.
pub const WIRE_VERSION: u32 = 1;

const SECRET: HeaderName = HeaderName::from_static("anser-secret");
const VERSION: HeaderName = HeaderName::from_static("anser-wire");
/// Bytes of a secret: it goes with every call.
const SECRET_BYTES_MAX: usize = 256;

/// What the processes of one system share and nobody else knows. It is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(HeaderValue);

impl Secret {
    /// Takes a secret.
    ///
    /// # Errors
    /// `Internal` where it is empty, longer than 256 bytes, or has other than printable ASCII characters.
    pub fn new(text: &str) -> crate::Result<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let value = HeaderValue::from_str(text).ok();
        match value.filter(|_| printable && (1..=SECRET_BYTES_MAX).contains(&text.len())) {
            Some(mut value) => {
                value.set_sensitive(true);
                Ok(Self(value))
            }
            None => Err(Error::new(
                Kind::Internal,
                format!(
                    "the secret between processes has to be 1 to {SECRET_BYTES_MAX} printable characters"
                ),
            )),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// What a process shows, and demands of who calls it.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The same in all processes of a system; `None`: everybody who reaches the port is let in.
    pub secret: Option<Secret>,
    /// [`WIRE_VERSION`], unless a process of another version is tried.
    pub wire_version: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self { secret: None, wire_version: WIRE_VERSION }
    }
}

impl Admission {
    /// Shows this secret.
    #[must_use]
    pub fn with_secret(secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::default() }
    }

    /// Writes what is shown to a call's metadata.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        if let Some(secret) = &self.secret {
            headers.insert(SECRET, secret.0.clone());
        }
        headers.insert(VERSION, HeaderValue::from(self.wire_version));
    }

    /// Looks at what a caller shows.
    #[allow(clippy::result_large_err, reason = "what an interceptor of tonic answers")]
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Status> {
        if let Some(secret) = &self.secret {
            let shown = headers.get(SECRET).map_or(&[][..], HeaderValue::as_bytes);
            if !bool::from(shown.ct_eq(secret.0.as_bytes())) {
                let what = if shown.is_empty() { "shows no secret" } else { "shows another secret" };
                let message = format!("the caller {what}: give all processes of a system the same one");
                return Err(status::of_error(&Error::new(Kind::Internal, message)));
            }
        }
        let shown = headers.get(VERSION).and_then(|version| version.to_str().ok()?.parse().ok());
        self.check_version(shown.unwrap_or(0)).map_err(|error| status::of_error(&error))
    }

    /// Tells whether both sides understand each other.
    pub(crate) fn check_version(&self, other: u32) -> crate::Result<()> {
        let own = self.wire_version;
        if own.abs_diff(other) <= 1 {
            return Ok(());
        }
        let message = format!(
            "wire version {own} does not talk with wire version {other}: upgrade by one version at a time"
        );
        Err(Error::new(Kind::Internal, message))
    }
}
