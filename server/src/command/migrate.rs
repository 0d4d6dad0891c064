//! `anser migrate`: brings the tables of a database to the version that this build works with.

use backends::store::mysql::{self, Version};
use clap::{Parser, Subcommand};
use serde_json::json;

use super::failure::Failure;
use super::output::line;
use crate::config::SettingsArgs;

/// Brings the tables of the database in store.url to the version that this build works with.
///
/// It needs a user who may create tables; the server itself does not. `embedded:` stores have no tables.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Applies the versions that the database does not have.
    Up {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Prints the statements that would be applied, and changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Prints {"applied":[{"version":…,"name":…}]}; with --dry-run {"missing":[{…,"sql":…}]}.
        #[arg(long)]
        json: bool,
    },
    /// Says which versions there are and which the database has.
    Status {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Prints {"versions":[{"version":…,"name":…,"applied":…}]}.
        #[arg(long)]
        json: bool,
    },
}

/// Carries it out and prints.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Up { settings, dry_run: true, json } => {
            let missing = mysql::migrate_dry_run(&url(&settings)?).await.map_err(|error| failed(&error))?;
            if json {
                return line(
                    &json!({ "missing": missing.iter().map(with_sql).collect::<Vec<_>>() }).to_string(),
                );
            }
            if missing.is_empty() {
                return line("nothing is missing");
            }
            missing.iter().try_for_each(|version| {
                line(&format!("-- version {}: {}", version.version, version.name))?;
                line(version.sql.trim_end())
            })
        }
        Action::Up { settings, dry_run: false, json } => {
            let applied = mysql::migrate_up(&url(&settings)?).await.map_err(|error| failed(&error))?;
            if json {
                return line(
                    &json!({ "applied": applied.iter().map(in_json).collect::<Vec<_>>() }).to_string(),
                );
            }
            if applied.is_empty() {
                return line("nothing is missing");
            }
            applied.iter().try_for_each(|version| {
                line(&format!("applied version {}: {}", version.version, version.name))
            })
        }
        Action::Status { settings, json } => {
            let versions = mysql::migrate_status(&url(&settings)?).await.map_err(|error| failed(&error))?;
            if json {
                let versions: Vec<_> = versions.iter().map(in_json).collect();
                return line(&json!({ "versions": versions }).to_string());
            }
            versions.iter().try_for_each(|version| {
                let state = if version.applied { "applied" } else { "missing: run `anser migrate up`" };
                line(&format!("version {} {:<10} {state}", version.version, version.name))
            })
        }
    }
}

/// The database in store.url.
fn url(settings: &SettingsArgs) -> Result<String, Failure> {
    let settings = settings.settings_or_failure()?;
    let url = settings.text("store.url");
    if !url.starts_with("mysql:") {
        let message =
            "store.url names no database with tables: set it to mysql://user:password@host:port/database";
        return Err(Failure::configuration(message.to_owned()));
    }
    Ok(url.to_owned())
}

fn in_json(version: &Version) -> serde_json::Value {
    json!({ "version": version.version, "name": version.name, "applied": version.applied })
}

fn with_sql(version: &Version) -> serde_json::Value {
    json!({ "version": version.version, "name": version.name, "sql": version.sql })
}

fn failed(error: &backends::Error) -> Failure {
    Failure::failed(error.to_string())
}
