//! Who may call the server API.
//!
//! | caller shows | what it may call |
//! |---|---|
//! | the API key | everything |
//! | another key | nothing but `/livez` and `/readyz` |
//! | no key, `--dev` | everything, by a name of this machine |
//! | no key, `goim.allow_anonymous` | `/goim/*`, by a name of this machine |
//! | no key | nothing but `/livez` and `/readyz` |
//!
//! A browser says where a page came from: one of another origin than the chat page's is refused whatever it
//! shows. Without a key the server must have been called by a name of this machine, so that no page whose own
//! name was made to point here is taken for the caller.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use protocol::Code;
use subtle::ConstantTimeEq as _;

/// What decides who may call.
pub(crate) struct Access {
    /// Opens everything.
    pub(crate) api_key: String,
    /// Where the API key is kept, to be named in refusals.
    pub(crate) api_key_file: String,
    /// Everybody may call everything.
    pub(crate) dev: bool,
    /// Everybody may call `/goim/*`.
    pub(crate) goim_anonymous: bool,
    /// Where the chat page is served, where it is.
    pub(crate) page: Option<SocketAddr>,
    /// Other origins whose pages may call.
    pub(crate) allowed_origins: Vec<String>,
}

/// Why a call is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Access {
    /// Tells whether a call may be made.
    pub(crate) fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(ORIGIN) && !self.allows_origin(headers) {
            let message = "pages of this origin may not call: name it in web.allowed_origins";
            return Err(Refusal { code: Code::NotAllowed, message: message.to_owned() });
        }
        if matches!(path, "/livez" | "/readyz") {
            return Ok(());
        }
        if headers.contains_key(AUTHORIZATION) {
            return if self.shows_key(headers) { Ok(()) } else { Err(self.unauthenticated("is wrong")) };
        }
        let open = self.dev || (self.goim_anonymous && path.starts_with("/goim/"));
        if open && text(headers, HOST).is_none_or(names_this_machine) {
            return Ok(());
        }
        Err(self.unauthenticated("is missing"))
    }

    fn unauthenticated(&self, how: &str) -> Refusal {
        let message = format!(
            "the api key {how}: send `Authorization: Bearer KEY`, KEY being the line in {}",
            self.api_key_file
        );
        Refusal { code: Code::Unauthenticated, message }
    }

    fn shows_key(&self, headers: &HeaderMap) -> bool {
        let Some((scheme, key)) = text(headers, AUTHORIZATION).and_then(|value| value.split_once(' ')) else {
            return false;
        };
        // The comparison takes as long for a key that is almost right as for any other of its length.
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(key.trim().as_bytes().ct_eq(self.api_key.as_bytes()))
    }

    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = text(headers, ORIGIN) else { return false };
        if self.allowed_origins.iter().any(|allowed| allowed == origin) {
            return true;
        }
        // The page's own origin: its port, and a name of this machine where only that reaches it, else the
        // name that this server was called by.
        let (Some(page), Some(authority)) = (self.page, origin.strip_prefix("http://")) else { return false };
        let (name, port) = name_and_port(authority);
        let own_name = if page.ip().is_loopback() {
            names_this_machine(name)
        } else {
            text(headers, HOST).is_some_and(|host| name_and_port(host).0.eq_ignore_ascii_case(name))
        };
        own_name && port == Some(page.port())
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn name_and_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, port.parse().ok())
        }
        _ => (authority, None),
    }
}

/// Tells whether a host, with or without its port, is a name of this machine that nobody else can give away.
fn names_this_machine(host: &str) -> bool {
    let (name, _) = name_and_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "the-key";

    fn access() -> Access {
        Access {
            api_key: KEY.to_owned(),
            api_key_file: "data/api-key".to_owned(),
            dev: false,
            goim_anonymous: false,
            page: Some("127.0.0.1:3102".parse().unwrap()),
            allowed_origins: vec!["https://chat.example".to_owned()],
        }
    }

    fn check(access: &Access, path: &str, headers: &[(HeaderName, &str)]) -> Result<(), Code> {
        let mut map = HeaderMap::new();
        map.insert(HOST, "127.0.0.1:3111".parse().unwrap());
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        access.check(path, &map).map_err(|refusal| refusal.code)
    }

    #[test]
    fn everything_but_liveness_wants_the_key() {
        let access = access();
        for path in ["/v1/push", "/goim/push/all", "/metrics", "/", "/readyz/x", "/LIVEZ"] {
            assert_eq!(check(&access, path, &[]), Err(Code::Unauthenticated), "{path}");
            assert_eq!(check(&access, path, &[(AUTHORIZATION, "Bearer the-key")]), Ok(()), "{path}");
        }
        assert_eq!(check(&access, "/livez", &[]), Ok(()));
        assert_eq!(check(&access, "/readyz", &[]), Ok(()));
    }

    #[test]
    fn another_key_is_refused_even_where_none_is_wanted() {
        let dev = Access { dev: true, ..access() };
        for value in ["Bearer the-kez", "Bearer", "Bearer ", "Basic the-key", "the-key", "Bearer the-key-2"] {
            for access in [&access(), &dev] {
                let answer = check(access, "/v1/push", &[(AUTHORIZATION, value)]);
                assert_eq!(answer, Err(Code::Unauthenticated), "{value}");
            }
        }
    }

    #[test]
    fn the_refusal_says_where_the_key_is_and_not_what_it_is() {
        let refusal = access().check("/v1/push", &HeaderMap::new()).unwrap_err();
        assert!(refusal.message.contains("data/api-key"), "{}", refusal.message);
        assert!(!refusal.message.contains(KEY));
    }

    #[test]
    fn in_development_no_key_is_wanted_from_who_calls_this_machine_by_its_own_name() {
        let dev = Access { dev: true, ..access() };
        for host in ["127.0.0.1:3111", "localhost:3111", "[::1]:3111", "127.0.0.1"] {
            assert_eq!(check(&dev, "/v1/push", &[(HOST, host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:3111", "127.0.0.1.evil.example", "10.0.0.1", ""] {
            assert_eq!(check(&dev, "/v1/push", &[(HOST, host)]), Err(Code::Unauthenticated), "{host}");
        }
    }

    #[test]
    fn goims_calls_may_be_opened_alone() {
        let open = Access { goim_anonymous: true, ..access() };
        assert_eq!(check(&open, "/goim/push/all", &[]), Ok(()));
        for path in ["/v1/push", "/metrics", "/goim", "/goimx/push/all"] {
            assert_eq!(check(&open, path, &[]), Err(Code::Unauthenticated), "{path}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused_whatever_they_show() {
        for access in [access(), Access { dev: true, ..access() }] {
            for origin in [
                "http://evil.example",
                "http://127.0.0.1:3103",
                "https://127.0.0.1:3102",
                "http://localhost:3111",
                "http://127.0.0.1.evil.example:3102",
                "null",
            ] {
                let headers = [(ORIGIN, origin), (AUTHORIZATION, "Bearer the-key")];
                assert_eq!(check(&access, "/v1/push", &headers), Err(Code::NotAllowed), "{origin}");
                assert_eq!(check(&access, "/readyz", &[(ORIGIN, origin)]), Err(Code::NotAllowed));
            }
        }
    }

    #[test]
    fn the_pages_own_origin_and_named_ones_may_call() {
        for origin in ["http://127.0.0.1:3102", "http://localhost:3102", "https://chat.example"] {
            let headers = [(ORIGIN, origin), (AUTHORIZATION, "bearer the-key")];
            assert_eq!(check(&access(), "/v1/push", &headers), Ok(()), "{origin}");
        }
        let headers = [(HOST, "evil.example:3111"), (ORIGIN, "http://evil.example:3102")];
        assert_eq!(check(&access(), "/livez", &headers), Err(Code::NotAllowed));
        let public = Access { page: Some("0.0.0.0:3102".parse().unwrap()), ..access() };
        let headers = [(HOST, "chat.test:3111"), (ORIGIN, "http://chat.test:3102")];
        assert_eq!(check(&public, "/livez", &headers), Ok(()));
        let headers = [(HOST, "chat.test:3111"), (ORIGIN, "http://evil.example:3102")];
        assert_eq!(check(&public, "/livez", &headers), Err(Code::NotAllowed));
    }
}
