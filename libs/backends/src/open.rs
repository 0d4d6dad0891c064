//! Which implementation a URL names: what stands before its first colon decides.
//!
//! An error names the scheme and never the whole URL, which may hold a password.

use crate::{Error, Kind, Result};

/// Splits a URL of a seam (such as `store`) into its scheme, one of those `known`, and what comes after it.
///
/// # Errors
/// `Missing` where the URL has no scheme or one that is not known; the message names both.
pub(crate) fn by_scheme<'url>(
    url: &'url str,
    seam: &str,
    known: &[&'static str],
) -> Result<(&'static str, &'url str)> {
    let list = known.iter().map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", ");
    let Some((scheme, rest)) = url.split_once(':') else {
        let message = format!("url of the {seam} has no scheme: it must begin with one of {list}");
        return Err(Error::new(Kind::Missing, message));
    };
    match known.iter().find(|known| **known == scheme) {
        Some(known) => Ok((known, rest)),
        None => {
            let scheme: String = scheme.chars().take(32).collect();
            let message = format!("no {seam} has the scheme {scheme:?}: known are {list}");
            Err(Error::new(Kind::Missing, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_scheme_is_taken_and_the_rest_is_left_as_it_is() {
        let (scheme, rest) = by_scheme("embedded:./a folder:b", "store", &["embedded", "mysql"]).unwrap();
        assert_eq!((scheme, rest), ("embedded", "./a folder:b"));
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_those_that_are_known() {
        let error = by_scheme("postgres://me:secret@host", "store", &["embedded", "mysql"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        assert_eq!(error.to_string(), "no store has the scheme \"postgres\": known are embedded:, mysql:");
    }

    #[test]
    fn a_url_without_a_scheme_is_refused() {
        let error = by_scheme("./data", "store", &["embedded"]).unwrap_err();
        assert_eq!(error.to_string(), "url of the store has no scheme: it must begin with one of embedded:");
    }
}
