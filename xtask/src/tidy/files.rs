//! Rules for files: how long, how they begin, how they are named.

use super::{File, Finding, Tree, dependencies};

/// Lines of a source file. Files stay near 500; beyond this one holds more than one noun.
const LINE_COUNT_MAX: usize = 600;
/// Names that say nothing: whatever does not fit elsewhere ends up there.
const EMPTY_NAMES: [&str; 8] =
    ["common", "util", "utils", "helper", "helpers", "manager", "managers", "misc"];
/// Packages that people install carry the product's name, not the folder's.
const INSTALLED: [(&str, &str); 2] =
    [("clients/rust-client", "anser-client"), ("clients/js-sdk", "anser-client")];

/// A file that does not fit a reader's head is split by noun before it grows further.
pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let sources = tree.with_extensions(&["rs", "ts", "tsx", "js", "mjs"]);
    let long = sources.map(|file| (file, file.lines().count())).filter(|(_, lines)| *lines > LINE_COUNT_MAX);
    let what = |lines| format!("{lines} lines, {LINE_COUNT_MAX} at most: split it by noun");
    long.map(|(file, lines)| Finding::new(file, LINE_COUNT_MAX + 1, what(lines))).collect()
}

/// A reader who opens a file learns first what it is, what it promises and what it leaves to whom.
pub(super) fn module_page(tree: &Tree) -> Vec<Finding> {
    let has_page = |file: &&File| file.text.trim_start().starts_with("//!");
    let without = tree.with_extensions(&["rs"]).filter(|file| !has_page(file));
    let what = "begin the file with `//!`: what it is, what it promises, what it leaves to whom";
    without.map(|file| Finding::new(file, 1, what)).collect()
}

/// A name says which noun lives there; these say that nobody knew.
pub(super) fn name(tree: &Tree) -> Vec<Finding> {
    let empty = |name: &str| name.split(['.', '_', '-']).any(|word| EMPTY_NAMES.contains(&word));
    let what = |name: &str| format!("`{name}` names no noun: call it by what it holds");
    let mut findings = Vec::new();
    for file in &tree.files {
        if let Some(part) = file.path.split('/').find(|part| empty(part)) {
            findings.push(Finding::new(file, 1, what(part)));
        }
        for (number, line) in file.lines().filter(|_| file.extension() == "rs") {
            let module =
                line.split_whitespace().skip_while(|word| word.starts_with("pub")).collect::<Vec<_>>();
            if let ["mod", module, ..] = module[..]
                && empty(module.trim_end_matches(';'))
            {
                findings.push(Finding::new(file, number, what(module.trim_end_matches(';'))));
            }
        }
    }
    findings
}

/// Who reads a manifest knows the folder, and the other way round.
pub(super) fn package_name(tree: &Tree) -> Vec<Finding> {
    let crates = dependencies::packages(tree)
        .into_iter()
        .map(|(file, manifest)| (file, dependencies::package_name(&manifest).unwrap_or_default().to_owned()));
    let npm = tree.files.iter().filter(|file| file.name() == "package.json").map(|file| {
        let manifest: serde_json::Value = serde_json::from_str(&file.text).unwrap_or_default();
        (file, manifest["name"].as_str().unwrap_or_default().to_owned())
    });
    let mut findings = Vec::new();
    for (file, name) in crates.chain(npm) {
        let folder = file.folder();
        let installed = INSTALLED.iter().find(|(installed, _)| *installed == folder);
        let expected =
            installed.map_or_else(|| folder.rsplit('/').next().unwrap_or(folder), |(_, name)| name);
        if name != expected {
            let line = file.line_of(|line| line.contains("name") && line.contains(&name));
            let what = format!("the package is named `{name}`: name it `{expected}`, like its folder");
            findings.push(Finding::new(file, line, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let lines = |count| "x\n".repeat(count);
        assert_eq!(length(&Tree::of(&[("a.rs", &lines(600)), ("a.md", &lines(700))])), []);
        let tree = Tree::of(&[("a.rs", &lines(601)), ("b.ts", &lines(700))]);
        let found: Vec<_> = length(&tree).into_iter().map(|finding| (finding.file, finding.line)).collect();
        assert_eq!(found, [("a.rs".to_owned(), 601), ("b.ts".to_owned(), 601)]);
    }

    #[test]
    fn a_module_without_its_page_is_found() {
        assert_eq!(module_page(&Tree::of(&[("a.rs", "\n//! What it is.\n"), ("b.ts", "let x")])), []);
        assert_eq!(module_page(&Tree::of(&[("a.rs", "use std::fs;\n//! Late.\n")])).len(), 1);
        assert_eq!(module_page(&Tree::of(&[("a.rs", "")])).len(), 1);
    }

    #[test]
    fn a_name_without_a_noun_is_found() {
        let found = |path, text| name(&Tree::of(&[(path, text)])).len();
        assert_eq!(found("roles/im/src/offline.rs", "mod inbox;\n// mod util"), 0);
        assert_eq!(found("roles/im/src/utils/x.rs", ""), 1);
        assert_eq!(found("clients/web/src/session-manager.ts", ""), 1);
        assert_eq!(found("roles/im/src/lib.rs", "pub(crate) mod helpers {"), 1);
        assert_eq!(found("roles/im/src/lib.rs", "mod misc;"), 1);
    }

    #[test]
    fn a_package_named_unlike_its_folder_is_found() {
        let found = |path, text| package_name(&Tree::of(&[(path, text)])).len();
        assert_eq!(found("roles/im/Cargo.toml", "[package]\nname = \"im\""), 0);
        assert_eq!(found("roles/im/Cargo.toml", "[package]\nname = \"chat\""), 1);
        assert_eq!(found("clients/rust-client/Cargo.toml", "[package]\nname = \"anser-client\""), 0);
        assert_eq!(found("clients/js-sdk/package.json", "{\"name\": \"anser-client\"}"), 0);
        assert_eq!(found("clients/web/package.json", "{\"name\": \"page\"}"), 1);
    }
}
