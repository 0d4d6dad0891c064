//! The settings machinery, as a person who configures sees it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const KEYS: &[Key] = &[
    Key { name: "listen.tcp", kind: Kind::Address, default: "127.0.0.1:3101", doc: "where." },
    Key { name: "auth.public", kind: Kind::Bool, default: "false", doc: "who." },
    Key { name: "proxy.shards", kind: Kind::Integer { min: 0, max: 64 }, default: "0", doc: "how many." },
    Key {
        name: "proxy.frame_body_bytes_max",
        kind: Kind::Bytes { min: 4096, max: 1 << 20 },
        default: "64KiB",
        doc: "how large.",
    },
    Key {
        name: "proxy.idle_time_limit",
        kind: Kind::Duration { min: Duration::from_secs(1), max: Duration::from_secs(3600) },
        default: "8m",
        doc: "how long.",
    },
    Key { name: "merge.share", kind: Kind::Float { min: 0.1, max: 1.0 }, default: "0.5", doc: "share." },
    Key { name: "web.allowed_origins", kind: Kind::Strings, default: "", doc: "from where." },
    Key { name: "store.url", kind: Kind::Url, default: "embedded:", doc: "which store." },
    Key { name: "log.format", kind: Kind::Choice(&["text", "json"]), default: "text", doc: "how." },
];
const TABLE: Table = Table { keys: KEYS, prefix: "ANSER_", other_variables: &["ANSER_TOKEN"] };

fn from_file(text: &str) -> Result<Settings, Problems> {
    TABLE.resolve(&Sources { file: Some(("anser.toml".into(), text.to_owned())), ..Sources::default() })
}

fn from_environment(variable: &str, text: &str) -> Result<Settings, Problems> {
    let environment = vec![(variable.to_owned(), text.to_owned())];
    TABLE.resolve(&Sources { environment, ..Sources::default() })
}

fn from_command_line(assignments: &[&str]) -> Result<Settings, Problems> {
    let assignments = assignments.iter().map(|&text| text.to_owned()).collect();
    TABLE.resolve(&Sources { assignments, ..Sources::default() })
}

fn only_problem(result: Result<Settings, Problems>) -> String {
    let problems = result.unwrap_err().0;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn without_any_source_the_defaults_count() {
    let settings = TABLE.resolve(&Sources::default()).unwrap();
    assert_eq!(settings.address("listen.tcp").to_string(), "127.0.0.1:3101");
    assert!(!settings.bool("auth.public"));
    assert_eq!(settings.size("proxy.frame_body_bytes_max"), 65536);
    assert_eq!(settings.duration("proxy.idle_time_limit"), Duration::from_secs(480));
    assert!(settings.texts("web.allowed_origins").is_empty());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let mut sources = Sources {
        file: Some(("anser.toml".into(), "[proxy]\nshards = 1\n".to_owned())),
        ..Sources::default()
    };
    assert_eq!(TABLE.resolve(&sources).unwrap().integer("proxy.shards"), 1);
    sources.environment.push(("ANSER_PROXY__SHARDS".to_owned(), "2".to_owned()));
    assert_eq!(TABLE.resolve(&sources).unwrap().integer("proxy.shards"), 2);
    sources.assignments.extend(["proxy.shards=3".to_owned(), "proxy.shards=4".to_owned()]);
    assert_eq!(TABLE.resolve(&sources).unwrap().integer("proxy.shards"), 4);
}

#[test]
fn a_file_sets_values_of_every_kind() {
    let settings = from_file(
        "[listen]\ntcp = \"[::1]:1\"\n[auth]\npublic = true\n[proxy]\nframe_body_bytes_max = 8192\n\
         idle_time_limit = \"90s\"\n[merge]\nshare = 1\n[web]\nallowed_origins = [\"https://a\"]\n",
    )
    .unwrap();
    assert_eq!(settings.address("listen.tcp").port(), 1);
    assert!(settings.bool("auth.public"));
    assert_eq!(settings.integer("proxy.frame_body_bytes_max"), 8192);
    assert_eq!(settings.duration("proxy.idle_time_limit"), Duration::from_secs(90));
    assert!((settings.float("merge.share") - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.texts("web.allowed_origins"), ["https://a"]);
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_name() {
    assert_eq!(
        only_problem(from_file("[listen]\ntcp = \"127.0.0.1:1\"\n\n[proxy]\nshard = 2\n")),
        "anser.toml:5: unknown key \"proxy.shard\": did you mean proxy.shards?"
    );
    assert_eq!(
        only_problem(from_file("\n[prox]\nshards = 2\n")),
        "anser.toml:2: unknown section \"prox\": did you mean proxy?"
    );
}

#[test]
fn a_wrong_type_is_refused_with_file_and_line() {
    assert_eq!(
        only_problem(from_file("[proxy]\nshards = \"two\"\n")),
        "anser.toml:2: proxy.shards: \"two\" is not a whole number from 0 to 64"
    );
    assert_eq!(
        only_problem(from_file("[auth]\n\npublic = 1\n")),
        "anser.toml:3: auth.public: 1 is not true or false"
    );
    assert!(only_problem(from_file("[web]\nallowed_origins = [1]\n")).contains("is not a list of texts"));
    assert!(only_problem(from_file("[proxy\n")).starts_with("anser.toml:1: not toml: "));
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    assert_eq!(
        only_problem(from_file("[proxy]\nframe_body_bytes_max = \"4095B\"\n")),
        "anser.toml:2: proxy.frame_body_bytes_max: \"4095B\" is not a count of bytes from 4KiB to 1MiB"
    );
    assert!(only_problem(from_command_line(&["merge.share=NaN"])).contains("is not a number"));
    assert!(only_problem(from_command_line(&["proxy.idle_time_limit=2h"])).contains("from 1s to 1h"));
}

#[test]
fn an_unknown_variable_with_the_prefix_is_refused_with_the_nearest_name() {
    assert_eq!(
        only_problem(from_environment("ANSER_PROXY__SHARD", "1")),
        "environment variable ANSER_PROXY__SHARD: unknown variable \"ANSER_PROXY__SHARD\": did you mean \
         ANSER_PROXY__SHARDS?"
    );
    assert!(from_environment("ANSER_TOKEN", "x").is_ok());
    assert!(from_environment("PATH", "x").is_ok());
}

#[test]
fn a_wrong_assignment_is_refused() {
    assert!(only_problem(from_command_line(&["proxy.shards"])).contains("write it as key=value"));
    assert!(only_problem(from_command_line(&["proxi.shards=1"])).contains("did you mean proxy.shards?"));
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = from_file("[auth]\npublic = 1\nprivate = true\n").unwrap_err();
    assert_eq!(problems.0.len(), 2);
}

#[test]
fn the_printed_settings_have_the_same_effect_and_no_password() {
    let settings = from_command_line(&[
        "store.url=mysql://root:secret@db/anser?key=secret",
        "web.allowed_origins=https://a, https://b",
        "proxy.idle_time_limit=1500ms",
    ])
    .unwrap();
    let printed = settings.to_toml();
    assert!(printed.contains("url = \"mysql://***@db/anser?***\""), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
    let again = from_file(&printed).unwrap();
    assert_eq!(again.texts("web.allowed_origins"), ["https://a", "https://b"]);
    assert_eq!(again.duration("proxy.idle_time_limit"), Duration::from_millis(1500));
}

#[test]
fn the_default_file_sets_nothing_and_names_every_key() {
    let page = TABLE.default_file();
    assert_eq!(from_file(&page).unwrap().get("proxy.shards").unwrap().1, &Origin::Default);
    let uncommented: String = page
        .lines()
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .fold(String::new(), |text, line| text + line.trim_start_matches("# ") + "\n");
    let settings = from_file(&uncommented).unwrap();
    for key in KEYS {
        assert_ne!(settings.get(key.name).unwrap().1, &Origin::Default, "{}", key.name);
    }
}

#[test]
fn the_documentation_names_key_variable_and_default() {
    let page = TABLE.to_markdown();
    assert!(page.contains("## proxy"));
    assert!(page.contains("`proxy.idle_time_limit`<br>`ANSER_PROXY__IDLE_TIME_LIMIT` | `\"8m\"`"), "{page}");
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(text in "[\\PC\n]{0,200}") {
        let _ = from_file(&text);
    }

    #[test]
    fn any_value_of_any_key_is_read_or_refused(position in 0..KEYS.len(), text in "[0-9a-zA-Z.:\u{e9} -]{0,24}") {
        let _ = from_command_line(&[&format!("{}={text}", KEYS[position].name)]);
    }

    #[test]
    fn a_text_is_printed_as_it_was_given(text in any::<String>()) {
        let settings = from_command_line(&[&format!("web.allowed_origins={text}")]).unwrap();
        let again = from_file(&settings.to_toml()).unwrap();
        prop_assert_eq!(again.texts("web.allowed_origins"), settings.texts("web.allowed_origins"));
    }
}
