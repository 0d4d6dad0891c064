//! A reference to a sound: where it is and how long it lasts. The sound itself is kept elsewhere.

use super::{ContentError, media};
use crate::client::Audio;

pub(super) fn check(audio: &Audio) -> Result<(), ContentError> {
    let others = [("name", &audio.name), ("hash", &audio.hash), ("type", &audio.r#type)];
    media::check("audio", &audio.url, &others.map(|(name, value): (_, &String)| (name, value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::limits::MEDIA_FIELD_BYTES_MAX;

    #[test]
    fn an_audio_needs_a_url_and_fields_of_bounded_length() {
        let mut audio = Audio { url: "https://example.com/1".to_owned(), ..Audio::default() };
        assert_eq!(check(&audio), Ok(()));
        audio.hash = "x".repeat(MEDIA_FIELD_BYTES_MAX + 1);
        assert_eq!(check(&audio).unwrap_err().code, Code::TooLarge);
        assert_eq!(check(&Audio::default()).unwrap_err().code, Code::InvalidArgument);
    }
}
