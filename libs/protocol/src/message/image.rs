//! A reference to a picture: where it is and what it looks like. The picture itself is kept elsewhere.

use super::{ContentError, media};
use crate::client::Image;

pub(super) fn check(image: &Image) -> Result<(), ContentError> {
    let others = [("name", &image.name), ("hash", &image.hash), ("type", &image.r#type)];
    media::check("image", &image.url, &others.map(|(name, value): (_, &String)| (name, value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::limits::MEDIA_FIELD_BYTES_MAX;

    #[test]
    fn an_image_needs_a_url_and_fields_of_bounded_length() {
        let mut image = Image { url: "https://example.com/1".to_owned(), ..Image::default() };
        assert_eq!(check(&image), Ok(()));
        image.hash = "x".repeat(MEDIA_FIELD_BYTES_MAX + 1);
        assert_eq!(check(&image).unwrap_err().code, Code::TooLarge);
        assert_eq!(check(&Image::default()).unwrap_err().code, Code::InvalidArgument);
    }
}
