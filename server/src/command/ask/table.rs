//! Answers as people read them: a table, or a sentence.

use anser_client::ReplyKind;
use protocol::client;
use protocol::limits::MUTED_FOREVER_MS;

use crate::command::event_text;
use crate::command::output::printable;

/// What is printed, and what is said beside it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) lines: Vec<String>,
    pub(super) note: Option<String>,
}

impl Shown {
    fn says(text: impl Into<String>) -> Self {
        Self { note: Some(text.into()), ..Self::default() }
    }

    fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], nothing: &str) -> Self {
        if rows.is_empty() {
            return Self::says(nothing);
        }
        Self { lines: aligned(head, rows), note: None }
    }

    fn and(mut self, note: Option<String>) -> Self {
        self.note = note.or(self.note);
        self
    }
}

/// The answer, for this user.
pub(super) fn of(reply: &ReplyKind, user: &str) -> Shown {
    match reply {
        ReplyKind::GroupCreate(reply) => {
            Shown { lines: vec![printable(&reply.group)], note: Some("made".to_owned()) }
        }
        ReplyKind::GroupInvite(reply) => users(&reply.invited, "nobody was let in: they are members already"),
        ReplyKind::GroupRemove(reply) => users(&reply.removed, "nobody was put out: they are no members"),
        ReplyKind::GroupJoin(reply) if reply.joined => Shown::says("joined"),
        ReplyKind::GroupJoin(_) => Shown::says("owner and admins were asked; `anser group answer` lets in"),
        ReplyKind::GroupInfo(reply) => group_info(reply),
        ReplyKind::GroupMembers(reply) => members(reply),
        ReplyKind::GroupRequests(reply) => {
            let rows = reply
                .requests
                .iter()
                .map(|request| [printable(&request.user), time(request.time_ms), printable(&request.text)]);
            Shown::table(["USER", "ASKED", "WORDS"], &rows.collect::<Vec<_>>(), "nobody asks to be let in")
        }
        ReplyKind::Conversations(reply) => conversations(reply, user),
        ReplyKind::History(reply) => history(reply, user),
        ReplyKind::Read(reply) => Shown::says(format!("read up to {}", reply.read_up_to)),
        ReplyKind::Readers(reply) => {
            let more = reply.count.saturating_sub(reply.users.len() as u64);
            users(&reply.users, "nobody has read it")
                .and((more > 0).then(|| format!("{} have read it, {more} of them not listed", reply.count)))
        }
        ReplyKind::Recall(reply) => Shown::says(format!("recalled; row {} tells it", reply.seq)),
        ReplyKind::Presence(reply) => presence(reply),
        ReplyKind::Blocks(reply) => users(&reply.users, "nobody is blocked"),
        _ => Shown::says("done"),
    }
}

fn users(users: &[String], nothing: &str) -> Shown {
    if users.is_empty() {
        return Shown::says(nothing);
    }
    Shown { lines: users.iter().map(|user| printable(user)).collect(), note: None }
}

fn group_info(reply: &client::GroupInfoReply) -> Shown {
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let role = if reply.role.is_empty() { "no member" } else { &reply.role };
    let fields = [
        ("group", printable(&reply.group)),
        ("conversation", printable(&reply.conversation)),
        ("name", printable(&reply.name)),
        ("kind", printable(&reply.kind)),
        ("owner", printable(&reply.owner)),
        ("members", reply.member_count.to_string()),
        ("your role", printable(role)),
        ("join", printable(&reply.join)),
        ("history", printable(&reply.history)),
        ("all muted", yes(reply.all_muted)),
        ("ended", yes(reply.dismissed)),
        ("made", time(reply.created_ms)),
        ("picture", printable(&reply.avatar)),
        ("announcement", printable(&reply.announcement)),
    ];
    let lines = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Shown { lines: lines.map(|(name, value)| format!("{name:<13} {value}")).collect(), note: None }
}

fn members(reply: &client::GroupMembersReply) -> Shown {
    let muted = |until_ms: u64| match until_ms {
        0 => "-".to_owned(),
        MUTED_FOREVER_MS => "until taken back".to_owned(),
        until_ms => format!("until {}", time(until_ms)),
    };
    let rows = reply.members.iter().map(|member| {
        let role = printable(&member.role);
        [printable(&member.user), role, time(member.joined_ms), muted(member.muted_until_ms)]
    });
    let more = (!reply.next.is_empty()).then(|| format!("more with --cursor {}", printable(&reply.next)));
    Shown::table(["USER", "ROLE", "JOINED", "MUTED"], &rows.collect::<Vec<_>>(), "no members").and(more)
}

fn conversations(reply: &client::ConversationsReply, user: &str) -> Shown {
    let rows = reply.conversations.iter().map(|conversation| {
        let mut state = Vec::new();
        for (is_so, word) in [
            (conversation.mentioned, "mentioned"),
            (conversation.pinned, "pinned"),
            (conversation.muted, "muted"),
            (conversation.left.is_some(), "left"),
        ] {
            if is_so {
                state.push(word);
            }
        }
        let group = conversation.group.as_deref();
        let last = conversation.last.as_ref().map(|last| event_text::row(last, user, group));
        [
            printable(&conversation.conversation),
            printable(&conversation.kind),
            conversation.unread.to_string(),
            conversation.read_up_to.to_string(),
            conversation.top.to_string(),
            state.join(","),
            last.unwrap_or_default(),
        ]
    });
    let note = format!("version {}{}", reply.version, if reply.more { ": more with --version" } else { "" });
    let head = ["CONVERSATION", "KIND", "UNREAD", "READ", "TOP", "STATE", "LAST"];
    Shown::table(head, &rows.collect::<Vec<_>>(), "no conversations")
        .and(Some(note).filter(|_| !reply.conversations.is_empty()))
}

fn history(reply: &client::HistoryReply, user: &str) -> Shown {
    let line = |message: &client::Message| {
        format!("{}  {}", time(message.time_ms), event_text::row(message, user, message.group.as_deref()))
    };
    let edges =
        [reply.messages.first(), reply.messages.last()].map(|message| message.map(|message| message.seq));
    let note = match (edges, reply.more) {
        ([Some(first), Some(last)], true) => Some(format!("more with --before {first} or --after {last}")),
        ([None, _], _) => Some("nothing was said there that this user may see".to_owned()),
        _ => None,
    };
    Shown { lines: reply.messages.iter().map(line).collect(), note }
}

fn presence(reply: &client::PresenceReply) -> Shown {
    let rows = reply.users.iter().map(|user| {
        let state = match user.online {
            Some(true) => "there",
            Some(false) => "away",
            None => "unknown",
        };
        let seen = if user.last_seen_ms == 0 { "-".to_owned() } else { time(user.last_seen_ms) };
        [printable(&user.user), state.to_owned(), printable(&user.devices.join(",")), seen]
    });
    Shown::table(["USER", "STATE", "DEVICES", "LAST SEEN"], &rows.collect::<Vec<_>>(), "nobody was asked for")
}

/// Columns as wide as their widest cell, two spaces apart.
fn aligned<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let head = head.map(str::to_owned);
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(&head).chain(rows).map(line).collect()
}

/// A time in UTC, such as `2026-02-28 23:59:59`. The date is computed from the number of days, as in Howard Hinnant's
/// `civil_from_days`.
fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_and_a_time_of_day() {
        for (milliseconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_868_799_999, "2000-02-29 23:59:59"),
            (1_709_164_800_000, "2024-02-29 00:00:00"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(milliseconds), text);
        }
    }

    #[test]
    fn members_stand_in_columns_and_the_note_says_how_to_go_on() {
        let member = |user: &str, role: &str, muted_until_ms| client::GroupMember {
            user: user.to_owned(),
            role: role.to_owned(),
            joined_ms: 0,
            muted_until_ms,
        };
        let members = vec![member("alice", "owner", 0), member("bob", "member", MUTED_FOREVER_MS)];
        let reply = client::GroupMembersReply { members, next: "bob".to_owned() };
        let shown = of(&ReplyKind::GroupMembers(reply), "alice");
        assert_eq!(
            shown.lines,
            [
                "USER   ROLE    JOINED               MUTED",
                "alice  owner   1970-01-01 00:00:00  -",
                "bob    member  1970-01-01 00:00:00  until taken back",
            ]
        );
        assert_eq!(shown.note.as_deref(), Some("more with --cursor bob"));
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        let reply = client::BlocksReply { users: vec!["b\u{1b}[2J".to_owned()] };
        assert_eq!(of(&ReplyKind::Blocks(reply), "alice").lines, ["b\\u{1b}[2J"]);
    }

    #[test]
    fn a_page_of_history_says_where_more_is() {
        let message = |seq| client::Message { seq, sender: "bob".to_owned(), ..client::Message::default() };
        let reply = client::HistoryReply { messages: vec![message(4), message(5)], more: true };
        let shown = of(&ReplyKind::History(reply), "alice");
        assert_eq!(shown.note.as_deref(), Some("more with --before 4 or --after 5"));
        assert!(shown.lines[0].starts_with("1970-01-01 00:00:00  [4] bob: "), "{:?}", shown.lines);
    }
}
