//! A reference to a film: where it is, what it looks like and how long it lasts. The film itself is kept elsewhere.

use super::{ContentError, media};
use crate::client::Video;

pub(super) fn check(video: &Video) -> Result<(), ContentError> {
    let others = [
        ("name", &video.name),
        ("hash", &video.hash),
        ("type", &video.r#type),
        ("cover url", &video.cover_url),
    ];
    media::check("video", &video.url, &others.map(|(name, value): (_, &String)| (name, value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::limits::MEDIA_FIELD_BYTES_MAX;

    #[test]
    fn a_video_needs_a_url_and_fields_of_bounded_length() {
        let mut video = Video { url: "https://example.com/1".to_owned(), ..Video::default() };
        assert_eq!(check(&video), Ok(()));
        video.hash = "x".repeat(MEDIA_FIELD_BYTES_MAX + 1);
        assert_eq!(check(&video).unwrap_err().code, Code::TooLarge);
        assert_eq!(check(&Video::default()).unwrap_err().code, Code::InvalidArgument);
    }
}
