//! `anser config`: what the settings are, whether they are right, and which there are.

use clap::{Parser, Subcommand};
use runtime::config::{Settings, Value};
use serde_json::json;

use super::failure::Failure;
use super::output::line;
use crate::config::{SettingsArgs, TABLE};

/// Checks, prints and documents the settings.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Says whether the settings are right, and if not, all that is wrong; the exit code is 3 then.
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Prints {"ok":…,"problems":[{"place":…,"message":…}]}.
        #[arg(long)]
        json: bool,
    },
    /// Prints the settings in force as a file, each that is no default with where it comes from. Passwords in
    /// URLs are left out.
    Print {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Prints every key with its documentation and default, commented out.
        #[arg(long, conflicts_with = "json")]
        default: bool,
        /// Prints an object of all keys, each with value and origin.
        #[arg(long)]
        json: bool,
    },
    /// Prints the documentation of all keys, in Markdown.
    Docs {
        /// Prints an array of all keys.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Check { settings, json } => check(&settings, json),
        Action::Print { default: true, .. } => line(TABLE.default_file().trim_end()),
        Action::Print { settings, json: true, .. } => line(&in_json(&settings.settings_or_failure()?)),
        Action::Print { settings, .. } => line(settings.settings_or_failure()?.to_toml().trim_end()),
        Action::Docs { json: true } => line(&docs_in_json()),
        Action::Docs { json: false } => line(TABLE.to_markdown().trim_end()),
    }
}

fn check(settings: &SettingsArgs, json: bool) -> Result<(), Failure> {
    match settings.settings() {
        Ok(_) if json => line(&json!({"ok": true, "problems": []}).to_string()),
        Ok(_) => line("the settings are right"),
        Err(problems) if json => {
            let list: Vec<_> = problems
                .0
                .iter()
                .map(|problem| json!({"place": problem.place, "message": problem.message}))
                .collect();
            line(&json!({"ok": false, "problems": list}).to_string())?;
            Err(Failure::configuration("the settings are wrong"))
        }
        Err(problems) => Err(Failure::configuration(problems.to_string())),
    }
}

fn in_json(settings: &Settings) -> String {
    let mut keys = serde_json::Map::new();
    for key in TABLE.keys {
        if let Some((value, origin)) = settings.get(key.name) {
            let value = match value {
                Value::Bool(value) => json!(value),
                Value::Integer(number) => json!(number),
                Value::Float(number) => json!(number),
                Value::Strings(texts) => json!(texts),
                other => json!(key.kind.written(other).trim_matches('"')),
            };
            keys.insert(key.name.to_owned(), json!({"value": value, "origin": origin.to_string()}));
        }
    }
    format!("{:#}", serde_json::Value::Object(keys))
}

fn docs_in_json() -> String {
    let keys: Vec<_> = TABLE
        .keys
        .iter()
        .map(|key| {
            json!({
                "name": key.name,
                "variable": key.variable(TABLE.prefix),
                "kind": key.kind.to_string(),
                "takes": key.kind.expected(),
                "default": key.default,
                "doc": key.doc,
            })
        })
        .collect();
    format!("{:#}", json!(keys))
}
