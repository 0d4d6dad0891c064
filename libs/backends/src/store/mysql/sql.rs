//! Statements as they are written and what they answer.
//!
//! Statements are sent as text, several in one packet, so that a transaction costs one or two round trips: what
//! locks and reads, and what writes and commits. Values stand in them as numbers and as hexadecimal literals, which
//! need no escape and mean the same under every mode of the server; nothing else that comes from outside gets in.

use std::fmt::Write as _;

use protocol::{ConversationId, GroupId, Identifier, UserId};
use sqlx::Row as _;
use sqlx::mysql::MySqlRow;

use crate::{Error, Kind, Result};

/// Statements while they are written.
#[derive(Default)]
pub(super) struct Sql {
    text: String,
}

impl Sql {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        // Writing to a text does not fail.
        let _ = write!(self.text, "{number}");
        self
    }

    pub(super) fn flag(&mut self, flag: bool) -> &mut Self {
        self.push(if flag { "1" } else { "0" })
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.text.reserve(3 + 2 * bytes.len());
        self.text.push_str("X'");
        for byte in bytes {
            self.text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        self.push("'")
    }

    /// An id, or another text that is compared bytewise.
    pub(super) fn id(&mut self, id: &str) -> &mut Self {
        self.bytes(id.as_bytes())
    }

    pub(super) fn user(&mut self, user: &UserId) -> &mut Self {
        self.id(user.as_str())
    }

    pub(super) fn conversation(&mut self, conversation: &ConversationId) -> &mut Self {
        self.id(conversation.as_str())
    }

    /// A text for people.
    pub(super) fn words(&mut self, text: &str) -> &mut Self {
        self.push("_utf8mb4 ").bytes(text.as_bytes())
    }

    /// What `write` writes of each item, with commas between them.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            write(self, item);
        }
        self
    }

    /// As [`Self::list`], each item in brackets.
    pub(super) fn rows<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.list(items, |sql, item| {
            sql.push("(");
            write(sql, item);
            sql.push(")");
        })
    }

    /// Users as the list of an `IN`.
    pub(super) fn users<'a>(&mut self, users: impl IntoIterator<Item = &'a UserId>) -> &mut Self {
        self.push("(")
            .list(users, |sql, user| {
                sql.user(user);
            })
            .push(")")
    }

    /// Conversations as the list of an `IN`.
    pub(super) fn conversations<'a>(
        &mut self,
        conversations: impl IntoIterator<Item = &'a ConversationId>,
    ) -> &mut Self {
        self.push("(")
            .list(conversations, |sql, conversation| {
                sql.conversation(conversation);
            })
            .push(")")
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// What one statement answered.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<MySqlRow>,
    /// How many rows it found and, where it writes, wrote.
    pub(super) affected: u64,
}

/// Reads the columns of a row, one after another.
pub(super) struct Columns<'a> {
    row: &'a MySqlRow,
    table: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a MySqlRow, table: &'static str) -> Self {
        Self { row, table, next: 0 }
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let column = self.take();
        self.row.try_get_unchecked(column).map_err(|error| self.corrupt(column, &error.to_string()))
    }

    /// A number, or nothing where the row that was joined is not there.
    pub(super) fn number_if_any(&mut self) -> Result<Option<u64>> {
        let column = self.take();
        self.row.try_get_unchecked(column).map_err(|error| self.corrupt(column, &error.to_string()))
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let column = self.take();
        self.row.try_get_unchecked(column).map_err(|error| self.corrupt(column, &error.to_string()))
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        let column = self.next;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|error| self.corrupt(column, &error.to_string()))
    }

    pub(super) fn user(&mut self) -> Result<UserId> {
        self.parsed(|text| UserId::new(text).ok())
    }

    pub(super) fn group(&mut self) -> Result<GroupId> {
        self.parsed(|text| GroupId::new(text).ok())
    }

    pub(super) fn conversation(&mut self) -> Result<ConversationId> {
        self.parsed(ConversationId::parse)
    }

    /// A number that stands for one of several values.
    pub(super) fn choice<T: Copy, const COUNT: usize>(&mut self, choices: [T; COUNT]) -> Result<T> {
        let column = self.next;
        let number = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let choice = choices.get(number).copied();
        choice.ok_or_else(|| self.corrupt(column, &format!("{number} stands for nothing")))
    }

    /// Bytes that must be readable.
    pub(super) fn decoded<T>(&mut self, decode: impl FnOnce(&[u8]) -> Option<T>) -> Result<T> {
        let column = self.next;
        let bytes = self.bytes()?;
        decode(bytes).ok_or_else(|| self.corrupt(column, "it cannot be read"))
    }

    fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let column = self.next;
        let text = self.text()?;
        parse(text).ok_or_else(|| self.corrupt(column, &format!("{text:?} is no such id")))
    }

    fn take(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn corrupt(&self, column: usize, what: &str) -> Error {
        corrupt(self.table, &format!("column {column} of a row: {what}"))
    }
}

/// What cannot be read in a table.
pub(super) fn corrupt(table: &str, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("table {table} of the store: {what}"))
}

/// A number of rows as a statement takes it.
pub(super) fn limit(limit: usize) -> u64 {
    u64::try_from(limit).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_stands_in_a_statement_as_it_came() {
        let mut sql = Sql::new("SELECT ");
        sql.id("a'; -- \u{e9}").push(", ").number(7).push(", ").words("").push(", ").flag(true);
        assert_eq!(sql.into_text(), "SELECT X'61273B202D2D20C3A9', 7, _utf8mb4 X'', 1");
    }

    #[test]
    fn rows_are_put_in_brackets_with_commas_between_them() {
        let mut sql = Sql::default();
        sql.rows([1, 2], |sql, number| {
            sql.number(number);
        });
        assert_eq!(sql.into_text(), "(1), (2)");
    }
}
