//! Answers the contract: who shows these credentials?
//!
//! A token always counts and always wins. Without one, whom the client claims to be counts only where the
//! configuration says so.

use async_trait::async_trait;
use contracts::auth::{Auth, Claims, Credentials, Wire};
use contracts::{Error, Result};
use protocol::Code;

use crate::Config;
use crate::token::{TokenError, Tokens};

pub(crate) struct Service {
    tokens: Tokens,
    trust_everybody: bool,
    goim_trust_mid: bool,
}

impl Service {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tokens: Tokens::new(&config.token_key),
            trust_everybody: config.trust_everybody,
            goim_trust_mid: config.goim_trust_mid,
        }
    }

    fn without_token(&self, credentials: Credentials) -> Result<Claims> {
        let trusted = match credentials.wire {
            Wire::Anser => self.trust_everybody,
            Wire::Goim => self.trust_everybody || self.goim_trust_mid,
        };
        match (credentials.wire, credentials.claimed) {
            (Wire::Goim, claimed) => Ok(Claims { user: claimed.filter(|_| trusted), expires_at_ms: None }),
            (Wire::Anser, Some(user)) if trusted => Ok(Claims { user: Some(user), expires_at_ms: None }),
            (Wire::Anser, None) if trusted => Err(Error::refused(
                Code::Unauthenticated,
                "neither a user nor a token was given: name a user",
            )),
            (Wire::Anser, _) => Err(refused(TokenError::none())),
        }
    }
}

#[async_trait]
impl Auth for Service {
    async fn check(&self, credentials: Credentials) -> Result<Claims> {
        let result = if credentials.token.is_empty() {
            self.without_token(credentials)
        } else {
            self.tokens.check(&credentials.token).map_err(refused).map(|(user, claims)| Claims {
                user: Some(user),
                expires_at_ms: claims.exp.map(|seconds| seconds.saturating_mul(1000)),
            })
        };
        let outcome = match &result {
            Ok(_) => "accepted",
            Err(error) => error.code().name(),
        };
        metrics::counter!("anser_auth_checks_total", "outcome" => outcome).increment(1);
        result
    }
}

fn refused(error: TokenError) -> Error {
    Error::refused(error.code, error.message)
}

#[cfg(test)]
mod tests {
    use protocol::{Identifier as _, UserId};

    use super::*;
    use crate::keys::Secret;

    fn user(text: &str) -> UserId {
        UserId::new(text).unwrap()
    }

    fn config() -> Config {
        Config { token_key: Secret::new("key"), ..Config::default() }
    }

    async fn check(
        config: &Config,
        wire: Wire,
        token: &str,
        claimed: Option<&str>,
    ) -> Result<Option<UserId>> {
        let credentials = Credentials { wire, token: token.to_owned(), claimed: claimed.map(user) };
        Service::new(config).check(credentials).await.map(|claims| claims.user)
    }

    fn token_of(name: &str) -> String {
        Tokens::new(&Secret::new("key")).issue(&user(name), None).unwrap().0
    }

    #[tokio::test]
    async fn who_an_anser_client_claims_to_be_counts_in_development_only() {
        let development = Config { trust_everybody: true, ..config() };
        let answer = check(&development, Wire::Anser, "", Some("alice")).await;
        assert_eq!(answer.unwrap(), Some(user("alice")));
        let nobody = check(&development, Wire::Anser, "", None).await.unwrap_err();
        assert_eq!(nobody.code(), Code::Unauthenticated);

        let trusting_mids = Config { goim_trust_mid: true, ..config() };
        for config in [config(), trusting_mids] {
            let refused = check(&config, Wire::Anser, "", Some("alice")).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated);
            assert!(refused.to_string().contains("anser token new"), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_token_wins_over_any_claim_and_a_bad_one_is_refused_even_in_development() {
        for config in [config(), Config { trust_everybody: true, ..config() }] {
            for wire in [Wire::Anser, Wire::Goim] {
                let answer = check(&config, wire, &token_of("alice"), Some("bob")).await;
                assert_eq!(answer.unwrap(), Some(user("alice")));
                let refused = check(&config, wire, "nonsense", Some("bob")).await.unwrap_err();
                assert_eq!(refused.code(), Code::TokenInvalid);
            }
        }
    }

    #[tokio::test]
    async fn a_goim_client_without_token_is_anonymous_unless_its_mid_is_trusted() {
        assert_eq!(check(&config(), Wire::Goim, "", Some("42")).await.unwrap(), None);
        let development = Config { trust_everybody: true, ..config() };
        let trusting_mids = Config { goim_trust_mid: true, ..config() };
        for config in [development, trusting_mids] {
            assert_eq!(check(&config, Wire::Goim, "", Some("42")).await.unwrap(), Some(user("42")));
            assert_eq!(check(&config, Wire::Goim, "", None).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn without_a_key_auth_does_not_start() {
        assert!(crate::start(Config::default(), crate::Deps {}).is_err());
        assert!(crate::start(config(), crate::Deps {}).is_ok());
    }
}
