//! `cargo xtask tidy`: the project's own rules as a test.
//!
//! The order of the project (what may depend on what, where a thing is found, how it is named) holds only
//! where a machine looks at it. Each rule is one function with its reason; its tests show that it fails when
//! the rule is broken. What rustfmt and clippy can check is left to them.

mod dependencies;
mod files;
mod markdown;
mod roles;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::process::{Done, Failure, failure};

/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 7] = [".git", "target", "node_modules", "dist", "build", "anser-data", "anser-cluster"];

/// A rule: what it is called in a finding, and what looks for it.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

const RULES: [Rule; 11] = [
    ("direction", dependencies::direction),
    ("lint-table", dependencies::lint_table),
    ("sdk-alone", dependencies::sdk_alone),
    ("one-composer", roles::one_composer),
    ("length", files::length),
    ("module-page", files::module_page),
    ("name", files::name),
    ("package-name", files::package_name),
    ("word", words::banned),
    ("link", markdown::link),
    ("map", markdown::map),
];

/// Looks at every file and prints what breaks a rule.
///
/// # Errors
/// A rule is broken, or the files cannot be read.
pub(crate) fn run(root: &Path) -> Done {
    let tree = Tree::read(root)?;
    let mut finding_count = 0;
    for (name, rule) in RULES {
        for finding in rule(&tree) {
            println!("{}:{}: {name}: {}", finding.file, finding.line, finding.what);
            finding_count += 1;
        }
    }
    if finding_count == 0 {
        Ok(())
    } else {
        failure(format!("{finding_count} places break the project's rules"))
    }
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    /// What is wrong and what to do.
    what: String,
}

impl Finding {
    fn new(file: &File, line: usize, what: impl fmt::Display) -> Self {
        Self { file: file.path.clone(), line, what: what.to_string() }
    }
}

/// A file of the project.
struct File {
    /// From the project's root, with `/` between the folders.
    path: String,
    /// Empty where the file is not text.
    text: String,
}

impl File {
    /// The folder that the file lies in, empty for the root.
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The file's own name.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// What follows the last point of the name, empty without one.
    fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The lines with their numbers, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The first line that `found` holds for, or 1.
    fn line_of(&self, found: impl Fn(&str) -> bool) -> usize {
        self.lines().find(|(_, line)| found(line)).map_or(1, |(number, _)| number)
    }
}

/// Every file that was written by hand.
struct Tree {
    files: Vec<File>,
}

impl Tree {
    fn read(root: &Path) -> Done<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let cannot =
                |error: std::io::Error| Failure(format!("{} cannot be read: {error}", folder.display()));
            for entry in fs::read_dir(&folder).map_err(cannot)? {
                let entry = entry.map_err(cannot)?;
                let kind = entry.file_type().map_err(cannot)?;
                if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    let relative =
                        path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                    // A file that went away in between is somebody's editor at work.
                    let Ok(bytes) = fs::read(&path) else { continue };
                    files.push(File { path: relative, text: String::from_utf8(bytes).unwrap_or_default() });
                }
            }
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { files })
    }

    fn with_extensions<'tree>(&'tree self, extensions: &'tree [&str]) -> impl Iterator<Item = &'tree File> {
        self.files.iter().filter(|file| extensions.contains(&file.extension()))
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The folders that lie directly in a folder, each once.
    fn folders_in(&self, folder: &str) -> Vec<&str> {
        let inside = self.files.iter().filter_map(|file| file.path.strip_prefix(folder)?.strip_prefix('/'));
        let mut folders: Vec<&str> = inside.filter_map(|path| Some(path.split_once('/')?.0)).collect();
        folders.dedup();
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Tree {
        /// A project of a few files, given as path and text.
        pub(super) fn of(files: &[(&str, &str)]) -> Self {
            let file =
                |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
            Self { files: files.iter().map(file).collect() }
        }
    }

    #[test]
    fn a_file_knows_its_folder_name_and_extension() {
        let tree = Tree::of(&[("roles/proxy/src/lib.rs", ""), ("LICENSE-MIT", "")]);
        let parts: Vec<_> =
            tree.files.iter().map(|file| (file.folder(), file.name(), file.extension())).collect();
        assert_eq!(parts, [("roles/proxy/src", "lib.rs", "rs"), ("", "LICENSE-MIT", "")]);
        assert_eq!(tree.folders_in("roles"), ["proxy"]);
    }

    #[test]
    fn what_was_built_or_installed_is_not_read() {
        let tree = Tree::read(&crate::root()).unwrap();
        assert!(tree.file("xtask/src/tidy/mod.rs").is_some());
        assert!(tree.files.iter().all(|file| !file.path.contains("node_modules/")));
    }
}
