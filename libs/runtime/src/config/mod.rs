//! Settings: one table of keys drives defaults, file, environment, command line and documentation.
//!
//! A value comes from the last of these that names its key: the table's default, the file, the environment,
//! the command line's assignments. Nothing is taken silently: an unknown key, a wrong type and a value out of
//! bounds are refused with the place they stand at and the nearest known name. Which keys there are is the
//! binary's matter; roles get plain structs and never see this module.

mod environment;
mod file;
mod page;
mod settings;
mod value;

use std::fmt;
use std::path::PathBuf;

pub use settings::Settings;
pub use value::{Kind, Value, parse_duration};

/// One setting: its line in the table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Section and name, such as `listen.tcp`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value where nobody names it, written as in the environment.
    pub default: &'static str,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

impl Key {
    /// The variable of the environment that sets this key, such as `ANSER_LISTEN__TCP`.
    #[must_use]
    pub fn variable(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.name.replace('.', "__").to_uppercase())
    }
}

/// All keys of a process, and what else its environment may hold under the same prefix.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The keys, grouped by section.
    pub keys: &'static [Key],
    /// What the names of its variables begin with, such as `ANSER_`.
    pub prefix: &'static str,
    /// Variables with the prefix that are no settings.
    pub other_variables: &'static [&'static str],
}

/// Where values may come from besides the table.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file: its name, for messages, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Variables of the environment; those without the table's prefix are skipped.
    pub environment: Vec<(String, String)>,
    /// Assignments of the command line, `key=value`, the last one counting.
    pub assignments: Vec<String>,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Problem {
    /// Where it stands: file and line, variable or assignment.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with the settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where a value comes from, in ascending order of precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// An assignment of the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment { variable } => formatter.write_str(variable),
            Self::CommandLine => formatter.write_str("command line"),
        }
    }
}

impl Table {
    /// Takes every key's value from the last source that names it.
    ///
    /// # Errors
    /// [`Problems`] names all that is wrong, each with its place.
    pub fn resolve(&self, sources: &Sources) -> Result<Settings, Problems> {
        let mut problems = Vec::new();
        let mut settings = Settings::defaults(self);
        if let Some((path, text)) = &sources.file {
            file::read(self, path, text, &mut settings, &mut problems);
        }
        environment::read(self, &sources.environment, &mut settings, &mut problems);
        for assignment in &sources.assignments {
            self.assign(assignment, &mut settings, &mut problems);
        }
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    fn assign(&self, assignment: &str, settings: &mut Settings, problems: &mut Vec<Problem>) {
        let Some((name, text)) = assignment.split_once('=') else {
            let place = format!("--set {}", value::shown(assignment));
            problems.push(Problem { place, message: "write it as key=value".to_owned() });
            return;
        };
        let name = name.trim();
        let place = format!("--set {}", value::shown(name));
        match self.key(name) {
            None => problems.push(Problem { place, message: self.unknown(name) }),
            Some(key) => match key.kind.parse(text) {
                Ok(value) => settings.put(key.name, value, Origin::CommandLine),
                Err(expected) => problems.push(Problem { place, message: expected }),
            },
        }
    }

    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.keys.iter().map(|key| key.name.to_owned());
        unknown("key", name, names)
    }
}

/// Says that a name is unknown, and which known one is nearest to it.
fn unknown(noun: &str, name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known
        .map(|candidate| (strsim::jaro_winkler(&candidate, name), candidate))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let name = value::shown(name);
    match nearest {
        Some((_, nearest)) => format!("unknown {noun} {name}: did you mean {nearest}?"),
        None => format!("unknown {noun} {name}: `anser config docs` lists all of them"),
    }
}

#[cfg(test)]
mod tests;
