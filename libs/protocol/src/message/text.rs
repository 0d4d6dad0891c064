//! Words: at most [`TEXT_CHARACTERS_MAX`] characters, at least one.

use super::ContentError;
use crate::limits::TEXT_CHARACTERS_MAX;

pub(super) fn check(text: &str) -> Result<(), ContentError> {
    if text.is_empty() {
        return Err(ContentError::invalid("text is empty: give at least one character".to_owned()));
    }
    // A text of few bytes needs no count.
    if text.len() > TEXT_CHARACTERS_MAX {
        let character_count = text.chars().count();
        if character_count > TEXT_CHARACTERS_MAX {
            return Err(ContentError::too_large(format!(
                "text has {character_count} characters: at most {TEXT_CHARACTERS_MAX} are allowed"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(check(&"雪".repeat(TEXT_CHARACTERS_MAX)), Ok(()));
        assert_eq!(check(&"x".repeat(TEXT_CHARACTERS_MAX + 1)).unwrap_err().code, Code::TooLarge);
        assert_eq!(check("").unwrap_err().code, Code::InvalidArgument);
    }
}
