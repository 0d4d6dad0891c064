//! Rules for the manifests: which package may use which.

use toml::Table;

use super::{File, Finding, Tree};

/// Where a package stands; each sees only what the picture in ARCHITECTURE.md lets it see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// `clients/*`.
    Client,
    /// `server`.
    Server,
    /// `roles/*`; the seed's picture gives proxy and auth nothing outside the process.
    Role { uses_backends: bool },
    /// `libs/contracts` and `libs/backends`.
    Boundary(&'static str),
    /// `libs/protocol` and `libs/runtime`.
    Foundation(&'static str),
    /// `xtask`.
    Xtask,
}

impl Layer {
    fn of(folder: &str) -> Option<Self> {
        Some(match folder.split('/').collect::<Vec<_>>()[..] {
            ["clients", _] => Self::Client,
            ["server"] => Self::Server,
            ["roles", role] => Self::Role { uses_backends: !matches!(role, "proxy" | "auth") },
            ["libs", "contracts"] => Self::Boundary("contracts"),
            ["libs", "backends"] => Self::Boundary("backends"),
            ["libs", "protocol"] => Self::Foundation("protocol"),
            ["libs", "runtime"] => Self::Foundation("runtime"),
            ["xtask"] => Self::Xtask,
            _ => return None,
        })
    }

    fn may_use(self, used: Self) -> bool {
        match self {
            Self::Client => used == Self::Foundation("protocol"),
            Self::Server => used != Self::Xtask,
            Self::Role { uses_backends } => match used {
                Self::Boundary("backends") => uses_backends,
                Self::Boundary(_) | Self::Foundation(_) => true,
                _ => false,
            },
            Self::Boundary(_) => matches!(used, Self::Foundation(_)),
            Self::Foundation(_) | Self::Xtask => false,
        }
    }

    /// What a package of this layer may use of ours, in words.
    fn allowed(self) -> &'static str {
        match self {
            Self::Client => "a client shares only `protocol` with the rest",
            Self::Server => "the server uses everything but xtask",
            Self::Role { uses_backends: true } => "a role uses contracts, backends, protocol and runtime",
            Self::Role { uses_backends: false } => "proxy and auth use contracts, protocol and runtime",
            Self::Boundary(_) => "contracts and backends use protocol and runtime, and not each other",
            Self::Foundation(_) => "protocol and runtime use nothing of ours",
            Self::Xtask => "xtask uses nothing of ours, so that it builds where the rest does not",
        }
    }
}

/// A role that sees another role cannot be moved into a process of its own, and a library that sees a role
/// cannot be understood alone: dependencies go in one direction only, those of tests included.
pub(super) fn direction(tree: &Tree) -> Vec<Finding> {
    let packages = packages(tree);
    let mut findings = Vec::new();
    for (file, manifest) in &packages {
        let Some(layer) = Layer::of(file.folder()) else {
            let what = "a package here has no place in the layout: put it under clients, roles or libs";
            findings.push(Finding::new(file, 1, what));
            continue;
        };
        for dependency in dependencies(manifest) {
            let used = packages.iter().find(|(_, other)| package_name(other) == Some(&dependency));
            let Some(used_layer) = used.and_then(|(used, _)| Layer::of(used.folder())) else { continue };
            if !layer.may_use(used_layer) {
                let line = file.line_of(|line| starts_with_name(line, &dependency));
                let what = format!("may not use `{dependency}`: {}", layer.allowed());
                findings.push(Finding::new(file, line, what));
            }
        }
    }
    findings
}

/// A package without the workspace's table of lints is one that nobody checks.
pub(super) fn lint_table(tree: &Tree) -> Vec<Finding> {
    let has_table = |manifest: &Table| manifest.get("lints")?.get("workspace")?.as_bool();
    let without = packages(tree).into_iter().filter(|(_, manifest)| has_table(manifest) != Some(true));
    without.map(|(file, _)| Finding::new(file, 1, "add `[lints]` with `workspace = true`")).collect()
}

/// The SDK runs in other people's pages: what it depends on, they would depend on.
pub(super) fn sdk_alone(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file("clients/js-sdk/package.json") else { return Vec::new() };
    let manifest: serde_json::Value = serde_json::from_str(&file.text).unwrap_or_default();
    if manifest["dependencies"].as_object().is_none_or(serde_json::Map::is_empty) {
        return Vec::new();
    }
    let line = file.line_of(|line| line.contains("\"dependencies\""));
    vec![Finding::new(
        file,
        line,
        "the SDK has no dependencies: move this to `devDependencies` or do without",
    )]
}

/// Every manifest that describes a package, with what it says. One that cannot be read is cargo's to refuse.
pub(super) fn packages(tree: &Tree) -> Vec<(&File, Table)> {
    let manifests = tree.files.iter().filter(|file| file.name() == "Cargo.toml");
    let read = manifests.filter_map(|file| Some((file, file.text.parse::<Table>().ok()?)));
    read.filter(|(_, manifest)| manifest.contains_key("package")).collect()
}

/// The name that a manifest gives its package.
pub(super) fn package_name(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

/// The packages that a manifest depends on, for whatever purpose and target.
fn dependencies(manifest: &Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let of_targets = targets.into_iter().flat_map(Table::values).filter_map(|target| target.as_table());
    std::iter::once(manifest)
        .chain(of_targets)
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| table.get(kind))
        })
        .filter_map(|kind| kind?.as_table())
        .flatten()
        .map(|(key, value)| {
            let renamed = value.get("package").and_then(|package| package.as_str());
            renamed.unwrap_or(key).to_owned()
        })
        .collect()
}

/// Tells whether a line of a manifest is the entry of a package.
fn starts_with_name(line: &str, name: &str) -> bool {
    let rest = line.trim_start().trim_start_matches('"').strip_prefix(name);
    rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of each layer, the one under test depending on another of them.
    fn direction_of(folder: &str, kind: &str, dependency: &str) -> Vec<Finding> {
        let folders = [
            "clients/rust-client",
            "libs/backends",
            "libs/contracts",
            "libs/protocol",
            "libs/runtime",
            "roles/auth",
            "roles/im",
            "roles/push",
            "roles/proxy",
            "server",
            "xtask",
        ];
        let manifests = folders.map(|each| {
            let name = each.rsplit('/').next().unwrap();
            let used = if each == folder { format!("[{kind}]\n{dependency}\n") } else { String::new() };
            (format!("{each}/Cargo.toml"), format!("[package]\nname = \"{name}\"\n{used}"))
        });
        direction(&Tree::of(&manifests.each_ref().map(|(path, text)| (path.as_str(), text.as_str()))))
    }

    #[test]
    fn arrows_of_the_picture_are_allowed() {
        for (folder, used) in [
            ("server", "proxy"),
            ("server", "rust-client"),
            ("clients/rust-client", "protocol"),
            ("roles/proxy", "contracts"),
            ("roles/im", "backends"),
            ("libs/contracts", "runtime"),
            ("libs/backends", "protocol"),
            ("roles/im", "serde"),
        ] {
            assert_eq!(direction_of(folder, "dependencies", &format!("{used}.workspace = true")), []);
        }
    }

    #[test]
    fn arrows_against_the_picture_are_found() {
        for (folder, used) in [
            ("roles/im", "push"),
            ("roles/proxy", "backends"),
            ("roles/auth", "backends"),
            ("roles/im", "rust-client"),
            ("clients/rust-client", "contracts"),
            ("clients/rust-client", "runtime"),
            ("libs/contracts", "backends"),
            ("libs/backends", "contracts"),
            ("libs/contracts", "push"),
            ("libs/protocol", "runtime"),
            ("libs/runtime", "protocol"),
            ("xtask", "protocol"),
            ("server", "xtask"),
        ] {
            let findings = direction_of(folder, "dependencies", &format!("{used}.workspace = true"));
            assert_eq!(findings.len(), 1, "{folder} -> {used}");
            assert_eq!((findings[0].file.as_str(), findings[0].line), (&*format!("{folder}/Cargo.toml"), 4));
        }
    }

    #[test]
    fn a_dependency_of_tests_of_a_target_or_under_another_name_is_found_too() {
        assert_eq!(direction_of("roles/im", "dev-dependencies", "push = { path = \"../push\" }").len(), 1);
        assert_eq!(
            direction_of("roles/im", "target.'cfg(unix)'.dependencies", "push.workspace = true").len(),
            1
        );
        assert_eq!(direction_of("roles/im", "build-dependencies", "x = { package = \"push\" }").len(), 1);
    }

    #[test]
    fn a_package_outside_the_layout_is_found() {
        let tree = Tree::of(&[("tools/Cargo.toml", "[package]\nname = \"tools\"")]);
        assert_eq!(direction(&tree).len(), 1);
    }

    #[test]
    fn a_package_without_the_table_of_lints_is_found() {
        let package = "[package]\nname = \"im\"\n";
        let tree = Tree::of(&[("roles/im/Cargo.toml", package)]);
        assert_eq!(lint_table(&tree).len(), 1);
        let with_table = format!("{package}[lints]\nworkspace = true");
        assert_eq!(lint_table(&Tree::of(&[("roles/im/Cargo.toml", &with_table)])), []);
    }

    #[test]
    fn a_dependency_of_the_sdk_is_found() {
        let of = |text| sdk_alone(&Tree::of(&[("clients/js-sdk/package.json", text)])).len();
        assert_eq!(of("{\"devDependencies\": {\"esbuild\": \"1\"}}"), 0);
        assert_eq!(of("{\"dependencies\": {\"left\": \"1\"}}"), 1);
    }
}
