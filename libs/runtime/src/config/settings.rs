//! The values that a process runs with, each with where it comes from.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Origin, Table, Value};

/// The value of every key of a table.
///
/// The getters are asked with names from the table. A name or type that is not in it is a fault of the caller,
/// not of the person who configures, and panics; a test that reads all keys once finds it.
#[derive(Debug, Clone)]
pub struct Settings {
    table: Table,
    values: HashMap<&'static str, (Value, Origin)>,
}

macro_rules! getter {
    ($(#[$documentation:meta])* $name:ident, $variant:ident, $type:ty, $found:ident => $answer:expr) => {
        $(#[$documentation])*
        ///
        /// # Panics
        /// Where the table has no key of that name and type.
        #[must_use]
        #[track_caller]
        pub fn $name(&self, name: &str) -> $type {
            match self.values.get(name) {
                Some((Value::$variant($found), _)) => $answer,
                other => panic!("key {name} is asked for as {}, and is {other:?}", stringify!($name)),
            }
        }
    };
}

impl Settings {
    /// The table's defaults.
    pub(super) fn defaults(table: &Table) -> Self {
        let values = table.keys.iter().map(|key| match key.kind.parse(key.default) {
            Ok(value) => (key.name, (value, Origin::Default)),
            Err(expected) => panic!("the default of {} is wrong: {expected}", key.name),
        });
        Self { table: *table, values: values.collect() }
    }

    pub(super) fn put(&mut self, name: &'static str, value: Value, origin: Origin) {
        self.values.insert(name, (value, origin));
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// A key's value, and where it comes from; `None` where the table has no such key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&Value, &Origin)> {
        self.values.get(name).map(|(value, origin)| (value, origin))
    }

    getter!(
        /// The text, URL or word of a key.
        text, String, &str, text => text
    );
    getter!(
        /// Whether a key is set.
        bool, Bool, bool, value => *value
    );
    getter!(
        /// The number of a key, or its count of bytes.
        integer, Integer, u64, number => *number
    );
    getter!(
        /// The number of a key.
        float, Float, f64, number => *number
    );
    getter!(
        /// The time of a key.
        duration, Duration, Duration, duration => *duration
    );
    getter!(
        /// The address of a key.
        address, Address, SocketAddr, address => *address
    );
    getter!(
        /// The texts of a key.
        texts, Strings, &[String], texts => texts
    );

    /// The number of a key as a size in memory.
    ///
    /// # Panics
    /// As [`Self::integer`].
    #[must_use]
    #[track_caller]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(usize::MAX)
    }
}
