//! A rule for the binary: one module composes the roles.

use super::{File, Finding, Tree};

/// The one module of the server that may name several roles, and where its parts are.
const COMPOSER: &str = "server/src/compose.rs";
const COMPOSER_PARTS: &str = "server/src/compose/";

/// What roles know of each other is known in one place, so that it can be read in one place. Another file of
/// the server may name one role, for its configuration or its routes.
pub(super) fn one_composer(tree: &Tree) -> Vec<Finding> {
    let roles = tree.folders_in("roles");
    let sources = tree.with_extensions(&["rs"]);
    let composes = |file: &File| file.path == COMPOSER || file.path.starts_with(COMPOSER_PARTS);
    let others = sources.filter(|file| file.path.starts_with("server/src/") && !composes(file));
    others.filter_map(|file| second_role(file, &roles)).collect()
}

/// Finds the line where a file names a second role.
fn second_role(file: &File, roles: &[&str]) -> Option<Finding> {
    // A module of the file's own, such as the command `push`, hides the role of the same name.
    let own =
        |role: &str| file.lines().any(|(_, line)| code(line).trim_end().ends_with(&format!("mod {role};")));
    let foreign: Vec<&str> = roles.iter().copied().filter(|role| !own(role)).collect();
    let mut first = None;
    for (number, line) in file.lines() {
        let code = code(line);
        for role in foreign.iter().filter(|role| names(&code, role)) {
            match first {
                None => first = Some(*role),
                Some(first) if first != *role => {
                    let what = format!(
                        "names `{first}` and `{role}`: only {COMPOSER} sees two roles, move it there"
                    );
                    return Some(Finding::new(file, number, what));
                }
                Some(_) => {}
            }
        }
    }
    None
}

/// Tells whether code has a path that begins with a crate's name.
fn names(code: &str, krate: &str) -> bool {
    code.match_indices(krate).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + krate.len()..];
        let begins =
            before.is_none_or(|before| !before.is_alphanumeric() && !matches!(before, '_' | ':' | '.'));
        begins && (after.starts_with("::") || code.trim_end().ends_with(&format!("use {krate};")))
    })
}

/// The line without its strings and its comment.
fn code(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            '"' => in_string = !in_string,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(character),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: [usize; 0] = [];

    fn findings(path: &str, text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("roles/im/src/lib.rs", ""), ("roles/push/src/lib.rs", ""), (path, text)]);
        one_composer(&tree).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_second_role_of_a_file_is_found() {
        assert_eq!(findings("server/src/http.rs", "use im::Config;\nuse push::Config as Push;"), [2]);
        assert_eq!(findings("server/src/http.rs", "use im;\nlet x = push::start();"), [2]);
        assert_eq!(findings("server/src/http.rs", "use im::Config;\nuse im::Deps;"), NOWHERE);
    }

    #[test]
    fn the_composer_and_other_folders_may_name_all() {
        assert_eq!(findings("server/src/compose.rs", "use im::Config;\nuse push::Deps;"), NOWHERE);
        assert_eq!(findings("server/src/compose/roles.rs", "use im::Config;\nuse push::Deps;"), NOWHERE);
        assert_eq!(findings("server/tests/it/main.rs", "use im::Config;\nuse push::Deps;"), NOWHERE);
    }

    #[test]
    fn what_only_looks_like_a_role_is_left_alone() {
        assert_eq!(
            findings("server/src/http.rs", "use im::Config; // and push::Deps\nlet push = 1;"),
            NOWHERE
        );
        assert_eq!(
            findings("server/src/http.rs", "use im::Config;\nlet target = \"push::worker\";"),
            NOWHERE
        );
        assert_eq!(findings("server/src/http.rs", "use im::Config;\nuse contracts::push::Push;"), NOWHERE);
        assert_eq!(findings("server/src/main.rs", "mod push;\nuse im::Config;\npush::run();"), NOWHERE);
    }
}
