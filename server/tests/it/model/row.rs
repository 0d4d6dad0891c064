//! A row of a conversation as a client sees it, whether it came as a push, in a page or as an answer.

use serde_json::Value;

/// What is compared: everything a person or a program could notice, but for times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) conversation: String,
    pub(crate) seq: u64,
    /// Empty where it is not known.
    pub(crate) message_id: String,
    /// Who wrote it, or did what it tells.
    pub(crate) by: String,
    /// Empty: a message.
    pub(crate) kind: String,
    pub(crate) client_message_id: String,
    pub(crate) text: String,
    pub(crate) mentions: Vec<String>,
    pub(crate) mention_all: bool,
    pub(crate) reply_to: u64,
    pub(crate) recalled: bool,
    pub(crate) target: u64,
    /// Ascending.
    pub(crate) users: Vec<String>,
    pub(crate) role: String,
    pub(crate) group: String,
    pub(crate) to_user: String,
}

impl Row {
    /// A row of a page, or what a push of the kind `message` says.
    pub(crate) fn of_page(value: &Value) -> Self {
        let kind = text(&value["kind"]);
        let is_message = kind.is_empty();
        Self {
            conversation: text(&value["conversation"]),
            seq: number(&value["seq"]),
            message_id: text(&value["messageId"]),
            by: text(if is_message { &value["sender"] } else { &value["by"] }),
            client_message_id: if is_message { text(&value["clientMessageId"]) } else { String::new() },
            text: text(&value["text"]),
            mentions: texts(&value["mentions"]),
            mention_all: value["mentionAll"] == true,
            reply_to: number(&value["replyTo"]),
            recalled: value["recalled"] == true,
            target: number(&value["target"]),
            users: texts(&value["users"]),
            role: text(&value["role"]),
            group: text(&value["group"]),
            to_user: if is_message { text(&value["to"]["user"]) } else { String::new() },
            kind,
        }
    }

    /// The row that a push tells, and its inbox seq; `None` where it tells none.
    pub(crate) fn of_push(push: &Value) -> Option<(Option<u64>, Self)> {
        let (name, value) = push.as_object()?.iter().next()?;
        let row = match name.as_str() {
            "message" | "groupEvent" => Self::of_page(value),
            "recalled" => {
                let mut row = value.clone();
                row["kind"] = Value::from("recalled");
                Self::of_page(&row)
            }
            _ => return None,
        };
        Some((value["inboxSeq"].as_u64(), row))
    }

    /// What is left of it when it was recalled.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            text: String::new(),
            mentions: Vec::new(),
            mention_all: false,
            reply_to: 0,
            recalled: true,
            ..self.clone()
        }
    }

    /// Tells whether it is the expected one; what is not known there counts as equal.
    pub(crate) fn is(&self, expected: &Self) -> bool {
        let known = if expected.message_id.is_empty() { String::new() } else { self.message_id.clone() };
        Self { message_id: known, ..self.clone() } == *expected
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let mut texts: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
    texts.sort_unstable();
    texts
}
