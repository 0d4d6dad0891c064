//! Settings in a TOML file: a section is a table, a key a line in it.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::settings::Settings;
use super::{Origin, Problem, Table, unknown, value};

struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn problem(&self, span: &Range<usize>, message: String) -> Problem {
        Problem { place: format!("{}:{}", self.path.display(), self.line(span)), message }
    }
}

/// Puts the file's values into the settings, or says what is wrong with them.
pub(super) fn read(
    table: &Table,
    path: &Path,
    text: &str,
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    let place = Place { path, text };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            problems.push(place.problem(&span, format!("not toml: {}", error.message())));
            return;
        }
    };
    for (section, content) in document.get_ref() {
        let name = section.get_ref();
        match content.get_ref() {
            DeValue::Table(keys) if is_section(table, name) => {
                read_section(table, &place, name, keys, settings, problems);
            }
            DeValue::Table(_) => {
                let sections = table.keys.iter().filter_map(|key| key.name.split('.').next());
                let message = unknown("section", name, sections.map(str::to_owned));
                problems.push(place.problem(&section.span(), message));
            }
            _ => {
                let message = format!("{} stands outside any section", value::shown(name));
                problems.push(place.problem(&section.span(), message));
            }
        }
    }
}

fn is_section(table: &Table, name: &str) -> bool {
    table.keys.iter().any(|key| key.name.split('.').next() == Some(name))
}

fn read_section(
    table: &Table,
    place: &Place<'_>,
    section: &str,
    keys: &DeTable<'_>,
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    for (name, content) in keys {
        let full_name = format!("{section}.{}", name.get_ref());
        match table.key(&full_name) {
            None => problems.push(place.problem(&name.span(), table.unknown(&full_name))),
            Some(key) => match key.kind.read(content.get_ref()) {
                Ok(value) => {
                    let line = place.line(&name.span());
                    settings.put(key.name, value, Origin::File { path: place.path.to_owned(), line });
                }
                Err(expected) => {
                    problems.push(place.problem(&content.span(), format!("{full_name}: {expected}")));
                }
            },
        }
    }
}
