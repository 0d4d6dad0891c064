//! A place on the earth, in degrees, with words for people.

use super::ContentError;
use crate::client::Location;
use crate::limits::MEDIA_FIELD_BYTES_MAX;

pub(super) fn check(location: &Location) -> Result<(), ContentError> {
    for (name, degrees, most) in
        [("latitude", location.latitude, 90.0), ("longitude", location.longitude, 180.0)]
    {
        // What is no number is in no range.
        if !(-most..=most).contains(&degrees) {
            return Err(ContentError::invalid(format!(
                "location {name} is {degrees}: give -{most} to {most} degrees"
            )));
        }
    }
    for (name, value) in [("title", &location.title), ("address", &location.address)] {
        if value.len() > MEDIA_FIELD_BYTES_MAX {
            let length_bytes = value.len();
            return Err(ContentError::too_large(format!(
                "location {name} has {length_bytes} bytes: at most {MEDIA_FIELD_BYTES_MAX} are allowed"
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
    fn a_location_is_on_the_earth() {
        let location = |latitude, longitude| Location { latitude, longitude, ..Location::default() };
        assert_eq!(check(&location(-90.0, 180.0)), Ok(()));
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(check(&location(latitude, longitude)).unwrap_err().code, Code::InvalidArgument);
        }
    }
}
