//! Whatever the application defines: a name and bytes that the server does not look into.

use super::ContentError;
use crate::client::Custom;
use crate::limits::{CUSTOM_BODY_BYTES_MAX, ID_BYTES_MAX};

pub(super) fn check(custom: &Custom) -> Result<(), ContentError> {
    if custom.r#type.is_empty() || custom.r#type.len() > ID_BYTES_MAX {
        let length_bytes = custom.r#type.len();
        return Err(ContentError::invalid(format!(
            "custom type has {length_bytes} bytes: give 1 to {ID_BYTES_MAX}"
        )));
    }
    if custom.body.len() > CUSTOM_BODY_BYTES_MAX {
        let length_bytes = custom.body.len();
        return Err(ContentError::too_large(format!(
            "custom body has {length_bytes} bytes: at most {CUSTOM_BODY_BYTES_MAX} are allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn a_custom_message_has_a_type_and_a_bounded_body() {
        let custom =
            |name: &str, length: usize| Custom { r#type: name.to_owned(), body: vec![0; length].into() };
        assert_eq!(check(&custom("gift", CUSTOM_BODY_BYTES_MAX)), Ok(()));
        assert_eq!(check(&custom("", 1)).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(check(&custom("gift", CUSTOM_BODY_BYTES_MAX + 1)).unwrap_err().code, Code::TooLarge);
    }
}
