//! The parameters of a query, bound the way goim binds them: lists are repeated names, of a single one the
//! first counts, an empty number is 0.

use std::str::FromStr;

/// Why a query does not bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BindError(pub(super) String);

pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        Self { pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect() }
    }

    /// All values of a name, in their order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of a name, which must be there and not be empty.
    pub(super) fn text(&self, name: &str) -> Result<&str, BindError> {
        match self.first(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(BindError(format!("{name} is missing"))),
        }
    }

    /// A number; `None` where the name is not there.
    pub(super) fn number<T: FromStr + Default>(&self, name: &str) -> Result<Option<T>, BindError> {
        self.first(name).map(|value| number(name, value)).transpose()
    }

    /// All numbers of a name.
    pub(super) fn numbers<T: FromStr + Default>(&self, name: &str) -> Result<Vec<T>, BindError> {
        self.all(name).map(|value| number(name, value)).collect()
    }

    /// The operation of a push, which must be there.
    pub(super) fn operation(&self) -> Result<i32, BindError> {
        self.number("operation")?.ok_or_else(|| BindError("operation is missing".to_owned()))
    }

    /// The operation of a push to a room or to all, which must be there and not be 0.
    pub(super) fn operation_not_zero(&self) -> Result<i32, BindError> {
        match self.operation()? {
            0 => Err(BindError("operation is 0".to_owned())),
            operation => Ok(operation),
        }
    }
}

fn number<T: FromStr + Default>(name: &str, value: &str) -> Result<T, BindError> {
    if value.is_empty() {
        return Ok(T::default());
    }
    value.parse().map_err(|_| {
        let start: String = value.chars().take(40).collect();
        BindError(format!("{name} {start:?} is not a number of {} bits", 8 * size_of::<T>()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_repeated_names_and_never_joined_by_commas() {
        let query = Query::parse(Some("mids=1&mids=2&operation=1000"));
        assert_eq!(query.numbers::<i64>("mids"), Ok(vec![1, 2]));
        assert!(Query::parse(Some("mids=1,2")).numbers::<i64>("mids").is_err());
    }

    #[test]
    fn an_operation_is_a_number_of_32_bits() {
        assert_eq!(Query::parse(Some("operation=-5")).operation(), Ok(-5));
        for text in ["operation=2147483648", "operation=x", "operation=1.5", ""] {
            assert!(Query::parse(Some(text)).operation().is_err(), "{text}");
        }
        assert!(Query::parse(Some("operation=0")).operation_not_zero().is_err());
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse(Some("keys=a%2Cb+c&keys=%ff"));
        assert_eq!(query.all("keys").collect::<Vec<_>>(), ["a,b c", "\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn any_query_is_bound_or_refused(text in any::<String>()) {
            let query = Query::parse(Some(&text));
            let _ = (query.operation(), query.numbers::<i64>("mids"), query.text("type").is_ok());
        }
    }
}
