//! What auth's values are on the wire.

use crate::auth::{Claims, Credentials, Wire};
use crate::convert::user_if_any;
use crate::{Error, Result, wire};

impl From<&Credentials> for wire::Credentials {
    fn from(credentials: &Credentials) -> Self {
        Self {
            goim: credentials.wire == Wire::Goim,
            token: credentials.token.clone(),
            claimed: credentials.claimed.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<wire::Credentials> for Credentials {
    type Error = Error;

    fn try_from(credentials: wire::Credentials) -> Result<Self> {
        let wire::Credentials { goim, token, claimed } = credentials;
        let wire = if goim { Wire::Goim } else { Wire::Anser };
        Ok(Self { wire, token, claimed: user_if_any(claimed.as_deref())? })
    }
}

impl From<Claims> for wire::Claims {
    fn from(claims: Claims) -> Self {
        Self { user: claims.user.map(|user| user.to_string()), expires_at_ms: claims.expires_at_ms }
    }
}

impl TryFrom<wire::Claims> for Claims {
    type Error = Error;

    fn try_from(claims: wire::Claims) -> Result<Self> {
        Ok(Self { user: user_if_any(claims.user.as_deref())?, expires_at_ms: claims.expires_at_ms })
    }
}
