//! A reference to a picture: where it is and what it looks like. The picture itself is kept elsewhere.

use super::ContentError;
use crate::client::Image;
use crate::limits::IMAGE_FIELD_BYTES_MAX;

pub(super) fn check(image: &Image) -> Result<(), ContentError> {
    if image.url.is_empty() {
        return Err(ContentError::invalid("image has no url".to_owned()));
    }
    for (name, value) in
        [("url", &image.url), ("name", &image.name), ("hash", &image.hash), ("type", &image.r#type)]
    {
        if value.len() > IMAGE_FIELD_BYTES_MAX {
            let length_bytes = value.len();
            return Err(ContentError::too_large(format!(
                "image {name} has {length_bytes} bytes: at most {IMAGE_FIELD_BYTES_MAX} are allowed"
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
    fn an_image_needs_a_url_of_bounded_length() {
        let mut image = Image { url: "https://example.com/cat.png".to_owned(), ..Image::default() };
        assert_eq!(check(&image), Ok(()));
        image.hash = "x".repeat(IMAGE_FIELD_BYTES_MAX + 1);
        assert_eq!(check(&image).unwrap_err().code, Code::TooLarge);
        assert_eq!(check(&Image::default()).unwrap_err().code, Code::InvalidArgument);
    }
}
