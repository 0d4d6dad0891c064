//! Standard output for results, standard error for what people should know beside them.

use std::io::{self, Write};

use super::failure::Failure;

/// Writes a line of results, and sees to it that whoever reads has it now.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Writes a line for people.
pub(crate) fn note(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Takes the end of a command whose reader left for its success.
pub(crate) fn until_the_reader_leaves(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.exit_code() == 0 => Ok(()),
        result => result,
    }
}

/// What others wrote, on one line and without the control characters that could drive a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc 雪"), "a\\u{1b}[2Jb\\nc 雪");
    }
}
