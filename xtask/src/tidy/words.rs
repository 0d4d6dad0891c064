//! A rule for words: nothing unfinished, no test switched off, no path of somebody's machine.

use super::{File, Finding, Tree};

/// A word that must not stand, put together from two parts so that this file may name it.
struct Banned {
    word: &'static str,
    /// Endings of the files in which it is looked for; empty for all.
    extensions: &'static [&'static str],
    /// Only where it is a word of its own.
    whole: bool,
    what: &'static str,
}

const SCRIPTS: &[&str] = &["ts", "tsx", "js", "mjs"];
const UNFINISHED: &str = "unfinished: finish it, or write what is missing into an issue";
const SWITCHED_OFF: &str = "a test that does not run proves nothing: make it pass or remove it";
const ALONE: &str = "hides every other test of the file: remove it";
const OWN_PATH: &str = "a path of one machine: take it from the environment or make it relative";

const BANNED: [Banned; 12] = [
    Banned { word: concat!("TO", "DO"), extensions: &[], whole: true, what: UNFINISHED },
    Banned { word: concat!("FIX", "ME"), extensions: &[], whole: true, what: UNFINISHED },
    Banned { word: concat!("XX", "X"), extensions: &[], whole: true, what: UNFINISHED },
    Banned { word: concat!("todo", "!("), extensions: &["rs"], whole: false, what: UNFINISHED },
    Banned { word: concat!("unimplemented", "!("), extensions: &["rs"], whole: false, what: UNFINISHED },
    Banned { word: concat!("#[ig", "nore"), extensions: &["rs"], whole: false, what: SWITCHED_OFF },
    Banned { word: concat!(".sk", "ip("), extensions: SCRIPTS, whole: false, what: SWITCHED_OFF },
    Banned { word: concat!(".on", "ly("), extensions: SCRIPTS, whole: false, what: ALONE },
    Banned { word: concat!("/ro", "ot/"), extensions: &[], whole: true, what: OWN_PATH },
    Banned { word: concat!("/ho", "me/"), extensions: &[], whole: true, what: OWN_PATH },
    Banned { word: concat!("/Us", "ers/"), extensions: &[], whole: true, what: OWN_PATH },
    Banned { word: concat!("/wo", "rk/"), extensions: &[], whole: true, what: OWN_PATH },
];

/// What is left for later is forgotten, a test that is off hides what broke, and a path of one machine works
/// on one machine.
pub(super) fn banned(tree: &Tree) -> Vec<Finding> {
    let written = tree.files.iter().filter(|file| !matches!(file.name(), "Cargo.lock" | "package-lock.json"));
    written.flat_map(|file| BANNED.iter().flat_map(|banned| find(file, banned))).collect()
}

fn find(file: &File, banned: &Banned) -> Vec<Finding> {
    if !banned.extensions.is_empty() && !banned.extensions.contains(&file.extension()) {
        return Vec::new();
    }
    let hit = file.lines().filter(|(_, line)| has(line, banned));
    hit.map(|(number, _)| Finding::new(file, number, format!("`{}`: {}", banned.word, banned.what))).collect()
}

fn has(line: &str, banned: &Banned) -> bool {
    line.match_indices(banned.word).any(|(at, word)| {
        let stands_alone = |beside: Option<char>| {
            beside.is_none_or(|beside| !beside.is_alphanumeric() && !matches!(beside, '_' | '-' | '.' | '}'))
        };
        let after = line[at + word.len()..].chars().next();
        // What follows a path is the rest of it.
        let ends = word.ends_with('/') || after.is_none_or(|after| !after.is_alphanumeric() && after != '_');
        !banned.whole || (stands_alone(line[..at].chars().next_back()) && ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: [usize; 0] = [];

    fn found(path: &str, text: &str) -> Vec<usize> {
        banned(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_banned_word_is_found() {
        for banned in &BANNED {
            let extension = banned.extensions.first().unwrap_or(&"md");
            assert_eq!(found(&format!("a.{extension}"), &format!("first\n  {}x", banned.word)).len(), {
                usize::from(!banned.whole || banned.word.ends_with('/'))
            });
            assert_eq!(found(&format!("a.{extension}"), &format!("first\n  {} ", banned.word)), [2]);
        }
    }

    #[test]
    fn a_word_inside_another_is_left_alone() {
        assert_eq!(found("a.sh", concat!("mktemp /tmp/a.", "XX", "XXXX")), NOWHERE);
        assert_eq!(found("a.md", concat!("https://example.invalid", "/ho", "me/page")), NOWHERE);
        assert_eq!(found("a.rs", "iterator.skip(1)"), NOWHERE);
        assert_eq!(found("package-lock.json", concat!("\"TO", "DO\"")), NOWHERE);
    }
}
