//! `anser token`: makes and reads the tokens that clients show.

use std::path::Path;
use std::time::Duration;

use auth::keys::Secret;
use auth::token::{TokenClaims, Tokens, unchecked_claims};
use clap::{Parser, Subcommand};
use protocol::{Identifier as _, UserId};
use serde_json::json;

use super::failure::Failure;
use super::output::{line, printable};
use crate::config::SettingsArgs;

/// Makes and reads tokens with the key in the data folder.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a token that says who a user is, and prints it.
    New {
        /// Whose token it is.
        #[arg(long)]
        user: String,
        /// How long it is good: 12h, 30d, or never ending with "never".
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time_to_live)]
        ttl: TimeToLive,
        /// Prints {"token":…,"user":…,"expires":…}, the time in seconds since 1970.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Says what a token says, and whether this server takes it; the exit code is 5 where it does not.
    Inspect {
        /// The token.
        token: String,
        /// Prints {"valid":…,"reason":…,"claims":…}.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// How long a token is good; `None`: for ever.
#[derive(Debug, Clone, Copy)]
struct TimeToLive(Option<Duration>);

fn time_to_live(text: &str) -> Result<TimeToLive, String> {
    match runtime::config::parse_duration(text) {
        _ if text == "never" => Ok(TimeToLive(None)),
        Some(time) if time >= Duration::from_secs(1) => Ok(TimeToLive(Some(time))),
        _ => Err("give a time of at least a second, such as 12h or 30d, or never".to_owned()),
    }
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::New { user, ttl, json, settings } => {
            let user = UserId::new(&user).map_err(|error| Failure::usage(error.to_string()))?;
            new(&user, ttl.0, json, &key(&settings)?)
        }
        Action::Inspect { token, json, settings } => inspect(token.trim(), json, &key(&settings)?),
    }
}

fn key(settings: &SettingsArgs) -> Result<Secret, Failure> {
    let settings = settings.settings_or_failure()?;
    auth::keys::token_key(Path::new(settings.text("data.folder"))).map_err(|error| {
        Failure::failed(error.to_string())
            .next("the key is made when the server starts first: anser serve (with the same --data)")
    })
}

fn new(user: &UserId, time_to_live: Option<Duration>, json: bool, key: &Secret) -> Result<(), Failure> {
    let (token, claims) =
        Tokens::new(key).issue(user, time_to_live).map_err(|error| Failure::failed(error.to_string()))?;
    if json {
        return line(&json!({"token": token, "user": claims.sub, "expires": claims.exp}).to_string());
    }
    line(&token)
}

fn inspect(token: &str, json: bool, key: &Secret) -> Result<(), Failure> {
    let refusal = Tokens::new(key).check(token).err();
    let claims = unchecked_claims(token);
    if json {
        let reason = refusal.as_ref().map(ToString::to_string);
        line(&json!({"valid": refusal.is_none(), "reason": reason, "claims": claims}).to_string())?;
    } else if let Some(claims) = &claims {
        line(&described(claims, runtime::clock::now_ms() / 1000))?;
    }
    match refusal {
        None if json => Ok(()),
        None => line("valid   yes"),
        Some(error) => Err(Failure::denied(error.to_string())),
    }
}

fn described(claims: &TokenClaims, now: u64) -> String {
    let when = |time: Option<u64>| match time {
        None => "-".to_owned(),
        Some(time) if time > now => format!("{time} (in {})", rough(time - now)),
        Some(time) => format!("{time} ({} ago)", rough(now - time)),
    };
    let id = claims.jti.as_deref().unwrap_or("-");
    format!(
        "user    {}\nid      {}\nmade    {}\nends    {}",
        printable(&claims.sub),
        printable(id),
        when(claims.iat),
        claims.exp.map_or_else(|| "never".to_owned(), |time| when(Some(time))),
    )
}

/// A number of seconds in its largest unit.
fn rough(seconds: u64) -> String {
    let units = [("days", 86_400), ("hours", 3_600), ("minutes", 60)];
    match units.iter().find(|(_, length)| seconds >= 2 * length) {
        Some((unit, length)) => format!("{} {unit}", seconds / length),
        None => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_described_with_its_times() {
        let claims = TokenClaims {
            sub: "alice\u{1b}".to_owned(),
            exp: Some(1_000_000 + 30 * 86_400),
            iat: Some(1_000_000 - 120),
            jti: None,
        };
        let text = described(&claims, 1_000_000);
        assert!(text.contains("user    alice\\u{1b}"), "{text}");
        assert!(text.contains("(in 30 days)") && text.contains("(2 minutes ago)"), "{text}");
        assert!(described(&TokenClaims { exp: None, ..claims }, 1_000_000).contains("ends    never"));
    }

    #[test]
    fn a_time_to_live_is_a_time_or_never() {
        assert_eq!(time_to_live("12h").unwrap().0, Some(Duration::from_secs(43_200)));
        assert_eq!(time_to_live("never").unwrap().0, None);
        for text in ["0s", "", "12", "-1d", "forever"] {
            assert!(time_to_live(text).is_err(), "{text}");
        }
    }
}
