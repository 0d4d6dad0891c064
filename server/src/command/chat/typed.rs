//! What a typed line means: words to be sent, or a command that begins with a slash.

/// What is said when a person asks for help.
pub(super) const HELP: &str = "\
/reply NUMBER WORDS   answers the message of that number
/at USER,… WORDS      means users by name; /at all means everybody
/recall [NUMBER]      takes back a message; without a number the last one sent here
//…                   sends a line that begins with a slash";

/// A line that was typed or piped in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Send(Words),
    Recall(Option<u64>),
    Help,
    /// No command: what to say about it.
    Unknown(String),
}

/// Words to be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) reply_to: u64,
    pub(super) mentions: Vec<String>,
    pub(super) mention_all: bool,
}

/// Reads a line; `None` where it says nothing.
pub(super) fn read(line: &str) -> Option<Typed> {
    if line.trim().is_empty() {
        return None;
    }
    let words = |text: &str| Words { text: text.to_owned(), ..Words::default() };
    let Some(command) = line.strip_prefix('/') else { return Some(Typed::Send(words(line))) };
    if command.starts_with('/') {
        return Some(Typed::Send(words(command)));
    }
    let (name, rest) = split(command);
    let unknown = |what: &str| Typed::Unknown(format!("{what}; /help says what there is"));
    Some(match name {
        "help" => Typed::Help,
        "recall" if rest.is_empty() => Typed::Recall(None),
        "recall" => rest.parse().map_or_else(
            |_| unknown(&format!("/recall needs the number of a message and not {rest:?}")),
            |seq| Typed::Recall(Some(seq)),
        ),
        "reply" => match split(rest) {
            (seq, text) if !text.is_empty() => seq.parse().map_or_else(
                |_| unknown(&format!("/reply needs the number of a message and not {seq:?}")),
                |reply_to| Typed::Send(Words { reply_to, ..words(text) }),
            ),
            _ => unknown("/reply needs the number of a message and words"),
        },
        "at" => match split(rest) {
            ("all", text) if !text.is_empty() => Typed::Send(Words { mention_all: true, ..words(text) }),
            (users, text) if !text.is_empty() => {
                let mentions = users.split(',').filter(|user| !user.is_empty()).map(str::to_owned).collect();
                Typed::Send(Words { mentions, ..words(text) })
            }
            _ => unknown("/at needs users and words"),
        },
        name => unknown(&format!("there is no /{name}")),
    })
}

fn split(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_commands_are_told_apart() {
        let words = |text: &str| Words { text: text.to_owned(), ..Words::default() };
        let sent = |line: &str| match read(line) {
            Some(Typed::Send(words)) => words,
            other => panic!("{line:?} is {other:?}"),
        };
        assert_eq!(read("  "), None);
        assert_eq!(sent("hi there"), words("hi there"));
        assert_eq!(sent("//etc/passwd"), words("/etc/passwd"));
        assert_eq!(sent("/reply 7 yes, do"), Words { reply_to: 7, ..words("yes, do") });
        let mentions = vec!["bob".to_owned(), "carol".to_owned()];
        assert_eq!(sent("/at bob,carol look"), Words { mentions, ..words("look") });
        assert_eq!(sent("/at all look"), Words { mention_all: true, ..words("look") });
        assert_eq!(read("/recall"), Some(Typed::Recall(None)));
        assert_eq!(read("/recall 12"), Some(Typed::Recall(Some(12))));
        assert_eq!(read("/help"), Some(Typed::Help));
        for line in ["/reply", "/reply x y", "/reply 7", "/at bob", "/recall x", "/dance"] {
            assert!(matches!(read(line), Some(Typed::Unknown(_))), "{line}");
        }
    }
}
