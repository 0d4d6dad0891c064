//! A reference to a file: where it is and how large. The file itself is kept elsewhere.

use super::{ContentError, media};
use crate::client::File;

pub(super) fn check(file: &File) -> Result<(), ContentError> {
    let others = [("name", &file.name), ("hash", &file.hash), ("type", &file.r#type)];
    media::check("file", &file.url, &others.map(|(name, value): (_, &String)| (name, value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::limits::MEDIA_FIELD_BYTES_MAX;

    #[test]
    fn a_file_needs_a_url_and_fields_of_bounded_length() {
        let mut file = File { url: "https://example.com/1".to_owned(), ..File::default() };
        assert_eq!(check(&file), Ok(()));
        file.hash = "x".repeat(MEDIA_FIELD_BYTES_MAX + 1);
        assert_eq!(check(&file).unwrap_err().code, Code::TooLarge);
        assert_eq!(check(&File::default()).unwrap_err().code, Code::InvalidArgument);
    }
}
