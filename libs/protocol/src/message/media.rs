//! What references to a picture, sound, film or file have in common: a url, and texts of bounded length.

use super::ContentError;
use crate::limits::MEDIA_FIELD_BYTES_MAX;

/// Checks that a reference says where the thing is, and that no field is too long. `noun` is the content's name.
pub(super) fn check(noun: &str, url: &str, others: &[(&str, &str)]) -> Result<(), ContentError> {
    if url.is_empty() {
        return Err(ContentError::invalid(format!("{noun} has no url")));
    }
    for (name, value) in others.iter().chain(&[("url", url)]) {
        if value.len() > MEDIA_FIELD_BYTES_MAX {
            let length_bytes = value.len();
            return Err(ContentError::too_large(format!(
                "{noun} {name} has {length_bytes} bytes: at most {MEDIA_FIELD_BYTES_MAX} are allowed"
            )));
        }
    }
    Ok(())
}
