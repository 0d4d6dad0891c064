//! Settings as text for people: a file with all values, and the documentation of all keys.

use std::fmt::Write as _;

use super::{Key, Origin, Settings, Table};

const COLUMNS_MAX: usize = 100;

impl Settings {
    /// The values as a file that has the same effect, each with where it comes from; passwords in URLs are
    /// left out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut page = String::new();
        sections(
            self.table(),
            &mut page,
            |section, page| {
                let _ = writeln!(page, "[{section}]");
            },
            |key, page| {
                if let Some((value, origin)) = self.get(key.name) {
                    let written = key.kind.written(value);
                    let origin =
                        if *origin == Origin::Default { String::new() } else { format!("  # {origin}") };
                    let _ = writeln!(page, "{} = {written}{origin}", bare(key));
                }
            },
        );
        page
    }
}

impl Table {
    /// A file with every key, its documentation and its default, each line commented out.
    #[must_use]
    pub fn default_file(&self) -> String {
        let defaults = Settings::defaults(self);
        let mut page = String::new();
        sections(
            self,
            &mut page,
            |section, page| {
                let _ = writeln!(page, "[{section}]");
            },
            |key, page| {
                if let Some((value, _)) = defaults.get(key.name) {
                    for line in wrapped(key.doc) {
                        let _ = writeln!(page, "# {line}");
                    }
                    let _ = writeln!(page, "# {} = {}", bare(key), key.kind.written(value));
                }
            },
        );
        page
    }

    /// The documentation of all keys, as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let defaults = Settings::defaults(self);
        let mut page = String::new();
        sections(
            self,
            &mut page,
            |section, page| {
                let _ = writeln!(page, "## {section}\n\n| key | default | takes | what it does |");
                let _ = writeln!(page, "|---|---|---|---|");
            },
            |key, page| {
                if let Some((value, _)) = defaults.get(key.name) {
                    let (expected, written) = (key.kind.expected(), key.kind.written(value));
                    let doc = key.doc.replace('|', "\\|");
                    let _ = writeln!(
                        page,
                        "| `{}`<br>`{}` | `{written}` | {expected} | {doc} |",
                        key.name,
                        key.variable(self.prefix),
                    );
                }
            },
        );
        page
    }
}

/// A text in lines that are read without scrolling.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= COLUMNS_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn bare(key: &Key) -> &'static str {
    key.name.split_once('.').map_or(key.name, |(_, name)| name)
}

/// Goes through the keys, telling where a section begins; sections are parted by an empty line.
fn sections(
    table: &Table,
    page: &mut String,
    begin: impl Fn(&str, &mut String),
    line: impl Fn(&Key, &mut String),
) {
    let mut current = "";
    for key in table.keys {
        let section = key.name.split('.').next().unwrap_or_default();
        if section != current {
            if !current.is_empty() {
                page.push('\n');
            }
            begin(section, page);
            current = section;
        }
        line(key, page);
    }
}
