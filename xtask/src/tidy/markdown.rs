//! Rules for the documents: links lead somewhere, and the map shows what there is.

use super::{File, Finding, Tree};

/// A document that points to nothing is worse than none.
pub(super) fn link(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.with_extensions(&["md"]) {
        let mut in_code = false;
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            for target in targets(line).filter(|target| !in_code && !exists(tree, file, target)) {
                let what = format!("`{target}` does not exist: correct the link or add the file");
                findings.push(Finding::new(file, number, what));
            }
        }
    }
    findings
}

/// The map in ARCHITECTURE.md names every folder of clients, roles and libs: who looks for a thing looks
/// there first.
pub(super) fn map(tree: &Tree) -> Vec<Finding> {
    let Some(map) = tree.file("ARCHITECTURE.md") else {
        let file = "ARCHITECTURE.md".to_owned();
        return vec![Finding {
            file,
            line: 1,
            what: "is missing: it holds the map of the folders".to_owned(),
        }];
    };
    let has_row = |folder: &str| {
        let row = format!("{folder}/");
        map.lines().any(|(_, line)| line.split_whitespace().next() == Some(row.as_str()))
    };
    let above = ["clients", "roles", "libs"];
    let folders =
        above.iter().flat_map(|above| tree.folders_in(above).into_iter().map(move |folder| (above, folder)));
    let missing = folders.filter(|(_, folder)| !has_row(folder));
    let what =
        |(above, folder)| format!("the map has no row `{folder}/` under `{above}/`: add it with a line");
    missing.map(|missing| Finding::new(map, 1, what(missing))).collect()
}

/// What the links and pictures of a line point to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// Tells whether the target of a link is a file or folder of the project; what is not ours is not looked at.
fn exists(tree: &Tree, file: &File, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or(target);
    if path.is_empty() || path.contains(':') {
        return true;
    }
    let mut parts: Vec<&str> = file.folder().split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: [usize; 0] = [];

    fn links(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("docs/guide.md", text), ("docs/screenshot.png", ""), ("README.md", "")]);
        link(&tree).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        assert_eq!(links("[a](../README.md) [b](nowhere.md)"), [1]);
        assert_eq!(links("text\n![picture](missing.png \"title\")"), [2]);
        assert_eq!(links("[a](../../README.md/x)"), [1]);
    }

    #[test]
    fn links_that_lead_somewhere_are_left_alone() {
        assert_eq!(links("[a](../README.md#tests) ![b](screenshot.png) [c](../docs) [d](#here)"), NOWHERE);
        assert_eq!(links("[a](https://example.invalid/x) [b](mailto:x@example.invalid)"), NOWHERE);
        assert_eq!(links("```\n[a](nowhere.md)\n```"), NOWHERE);
    }

    #[test]
    fn a_folder_without_its_row_is_found() {
        let files = [("roles/proxy/src/lib.rs", ""), ("libs/protocol/src/lib.rs", "")];
        let of = |text| {
            let mut files = files.to_vec();
            files.push(("ARCHITECTURE.md", text));
            map(&Tree::of(&files)).len()
        };
        assert_eq!(of("roles/\n  proxy/   holds the connections\nlibs/\n  protocol/  frames"), 0);
        assert_eq!(of("roles/\n  proxy/   holds the connections"), 1);
        assert_eq!(map(&Tree::of(&files)).len(), 1);
    }
}
