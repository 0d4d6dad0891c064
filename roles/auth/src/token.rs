//! Tokens: JSON Web Tokens signed with HMAC-SHA256, whose `sub` is the user.
//!
//! No other algorithm is accepted, `none` included. `exp` and `nbf` count where they are there, with a leeway
//! of a few seconds for clocks that differ. What goim calls mid is here the user in decimal.

use std::time::Duration;

use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use protocol::limits::TOKEN_BYTES_MAX;
use protocol::{Code, Identifier as _, UserId};
use serde::{Deserialize, Serialize};

use crate::keys::Secret;

/// How far the clocks of who makes and who checks a token may differ.
const LEEWAY_SECONDS: u64 = 5;
const HOW_TO_GET_ONE: &str = "get one with: anser token new --user alice";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// The user.
    pub sub: String,
    /// When it ends, in seconds since 1970; it never does where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// When it was made, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Names this token among all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// What a client is told.
    pub code: Code,
    /// What is wrong, and what to do.
    pub message: String,
}

impl TokenError {
    pub(crate) fn none() -> Self {
        Self { code: Code::Unauthenticated, message: format!("no token was given: {HOW_TO_GET_ONE}") }
    }

    fn invalid(reason: impl AsRef<str>) -> Self {
        let message = format!("the token is not valid, {}: {HOW_TO_GET_ONE}", reason.as_ref());
        Self { code: Code::TokenInvalid, message }
    }

    fn expired() -> Self {
        let message = format!("the token's time is over: {HOW_TO_GET_ONE}");
        Self { code: Code::TokenExpired, message }
    }
}

/// Makes and checks the tokens of one key.
#[derive(Clone)]
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// The tokens that are signed with this key.
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["sub"]);
        Self {
            signing: EncodingKey::from_secret(key.reveal().as_bytes()),
            checking: DecodingKey::from_secret(key.reveal().as_bytes()),
            validation,
        }
    }

    /// Makes a token for a user that ends after `time_to_live`, or never.
    ///
    /// # Errors
    /// `TokenInvalid` where the library cannot sign.
    pub fn issue(
        &self,
        user: &UserId,
        time_to_live: Option<Duration>,
    ) -> Result<(String, TokenClaims), TokenError> {
        let now = runtime::clock::now_ms() / 1000;
        let claims = TokenClaims {
            sub: user.as_str().to_owned(),
            exp: time_to_live.map(|time_to_live| now.saturating_add(time_to_live.as_secs())),
            iat: Some(now),
            jti: Some(format!("{:016x}", rand::random::<u64>())),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .map_err(|error| TokenError::invalid(format!("it could not be signed ({error})")))?;
        Ok((token, claims))
    }

    /// Tells whose token it is, and what else it says.
    ///
    /// # Errors
    /// `Unauthenticated` where it is empty, else `TokenExpired` or `TokenInvalid`.
    pub fn check(&self, token: &str) -> Result<(UserId, TokenClaims), TokenError> {
        if token.is_empty() {
            return Err(TokenError::none());
        }
        if token.len() > TOKEN_BYTES_MAX {
            let reason = format!("it has {} bytes of at most {TOKEN_BYTES_MAX}", token.len());
            return Err(TokenError::invalid(reason));
        }
        let claims = jsonwebtoken::decode::<TokenClaims>(token, &self.checking, &self.validation)
            .map_err(|error| refusal(&error))?
            .claims;
        let user = UserId::new(&claims.sub)
            .map_err(|error| TokenError::invalid(format!("its sub is not a user ({error})")))?;
        Ok((user, claims))
    }
}

/// What a token says, whoever signed it; `None` where it cannot be read.
#[must_use]
pub fn unchecked_claims(token: &str) -> Option<TokenClaims> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
}

fn refusal(error: &JwtError) -> TokenError {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::expired(),
        ErrorKind::InvalidSignature => TokenError::invalid("it is signed with another key"),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            TokenError::invalid("it is signed by another algorithm than HS256")
        }
        ErrorKind::ImmatureSignature => TokenError::invalid("its time (nbf) has not come"),
        ErrorKind::MissingRequiredClaim(claim) => TokenError::invalid(format!("it has no {claim}")),
        ErrorKind::InvalidClaimFormat(claim) => {
            TokenError::invalid(format!("its {claim} has the wrong type"))
        }
        ErrorKind::InvalidAudience => TokenError::invalid("it is for another audience (aud)"),
        ErrorKind::Json(_) => TokenError::invalid("it has no sub, or a claim of the wrong type"),
        _ => TokenError::invalid("it is no json web token"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new("one key"))
    }

    fn signed(claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &tokens().signing).unwrap()
    }

    fn alice() -> UserId {
        UserId::new("alice").unwrap()
    }

    fn now() -> u64 {
        runtime::clock::now_ms() / 1000
    }

    #[test]
    fn a_token_names_its_user_until_it_ends() {
        let (token, claims) = tokens().issue(&alice(), Some(Duration::from_secs(60))).unwrap();
        let (user, read) = tokens().check(&token).unwrap();
        assert_eq!(user, alice());
        assert_eq!(read, claims);
        assert!(read.exp.unwrap() >= now() + 59);
        let (endless, _) = tokens().issue(&alice(), None).unwrap();
        assert_eq!(tokens().check(&endless).unwrap().1.exp, None);
    }

    #[test]
    fn a_token_of_the_businesss_own_making_needs_only_sub() {
        assert_eq!(tokens().check(&signed(&json!({"sub": "alice"}))).unwrap().0, alice());
    }

    #[test]
    fn a_token_whose_time_is_over_is_refused_as_expired() {
        let ended = |seconds_ago| signed(&json!({"sub": "alice", "exp": now() - seconds_ago}));
        let error = tokens().check(&ended(60)).unwrap_err();
        assert_eq!(error.code, Code::TokenExpired);
        assert!(error.message.contains("anser token new --user alice"), "{error}");
        assert!(tokens().check(&ended(1)).is_ok(), "clocks may differ by a few seconds");
    }

    #[test]
    fn a_forged_token_is_refused_with_its_reason() {
        let (token, _) = Tokens::new(&Secret::new("another key")).issue(&alice(), None).unwrap();
        let error = tokens().check(&token).unwrap_err();
        assert_eq!(error.code, Code::TokenInvalid);
        assert!(error.message.contains("signed with another key"), "{error}");

        let mut tampered: Vec<String> =
            signed(&json!({"sub": "alice"})).split('.').map(str::to_owned).collect();
        tampered[1] = signed(&json!({"sub": "bob"})).split('.').nth(1).unwrap().to_owned();
        assert!(tokens().check(&tampered.join(".")).is_err());

        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", tampered[1]);
        assert_eq!(tokens().check(&unsigned).unwrap_err().code, Code::TokenInvalid);
        let stronger =
            jsonwebtoken::encode(&Header::new(Algorithm::HS512), &json!({"sub": "alice"}), &tokens().signing);
        let error = tokens().check(&stronger.unwrap()).unwrap_err();
        assert!(error.message.contains("another algorithm"), "{error}");
    }

    #[test]
    fn claims_that_name_no_user_are_refused() {
        for (claims, reason) in [
            (json!({}), "wrong type"),
            (json!({"sub": ""}), "not a user"),
            (json!({"sub": "0"}), "not a user"),
            (json!({"sub": "a\u{7}"}), "not a user"),
            (json!({"sub": "x".repeat(65)}), "not a user"),
            (json!({"sub": 42}), "wrong type"),
            (json!({"sub": "alice", "exp": "soon"}), "wrong type"),
            (json!({"sub": "alice", "nbf": now() + 60}), "has not come"),
            (json!({"sub": "alice", "aud": "others"}), "another audience"),
        ] {
            let error = tokens().check(&signed(&claims)).unwrap_err();
            assert_eq!(error.code, Code::TokenInvalid, "{claims}");
            assert!(error.message.contains(reason), "{claims}: {error}");
        }
    }

    #[test]
    fn an_absent_and_an_oversized_token_are_refused() {
        assert_eq!(tokens().check("").unwrap_err().code, Code::Unauthenticated);
        assert_eq!(tokens().check(&"x".repeat(TOKEN_BYTES_MAX + 1)).unwrap_err().code, Code::TokenInvalid);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_harm(text in any::<String>()) {
            prop_assert!(tokens().check(&text).is_err());
            let _ = unchecked_claims(&text);
        }

        #[test]
        fn three_parts_of_anything_are_refused(parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 3)) {
            prop_assert!(tokens().check(&parts.join(".")).is_err());
        }
    }
}
