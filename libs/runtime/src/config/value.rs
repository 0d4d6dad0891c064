//! What values a key takes, and how they are read and written as text.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// What values a key takes; bounds include both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    String,
    /// The URL of a backend; a password in it is never printed.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number.
    Float {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// A count of bytes: `64KiB`, `1MiB`, or a whole number.
    Bytes {
        /// The fewest.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A time: `100ms`, `5s`, `4m`, `24h`, `30d`.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// An address and a port: `127.0.0.1:3101`, `[::1]:3101`.
    Address,
    /// A list of texts; in the environment and on the command line joined by commas.
    Strings,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a string, URL or choice.
    String(String),
    /// Of a bool.
    Bool(bool),
    /// Of an integer, or a count of bytes.
    Integer(u64),
    /// Of a number.
    Float(f64),
    /// Of a time.
    Duration(Duration),
    /// Of an address.
    Address(SocketAddr),
    /// Of a list.
    Strings(Vec<String>),
}

const BYTE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];
const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Kind {
    /// Reads a value as it stands in the environment or on the command line.
    ///
    /// # Errors
    /// Says what is expected and, unless it may be secret, what was given.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let value = match self {
            Self::String | Self::Url => Some(Value::String(text.to_owned())),
            Self::Choice(words) => words.contains(&text).then(|| Value::String(text.to_owned())),
            Self::Bool => text.parse().ok().map(Value::Bool),
            Self::Integer { .. } => text.parse().ok().map(Value::Integer),
            Self::Float { .. } => text.parse().ok().map(Value::Float),
            Self::Bytes { .. } => parse_bytes(text).map(Value::Integer),
            Self::Duration { .. } => parse_duration(text).map(Value::Duration),
            Self::Address => text.parse().ok().map(Value::Address),
            Self::Strings => Some(Value::Strings(
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            )),
        };
        match value {
            Some(value) if self.allows(&value) => Ok(value),
            _ => Err(format!("{} is not {}", shown(text), self.expected())),
        }
    }

    /// Reads a value of the file.
    pub(super) fn read(self, value: &toml::de::DeValue<'_>) -> Result<Value, String> {
        let read = match (self, value) {
            (Self::String | Self::Url, value) => value.as_str().map(|text| Value::String(text.to_owned())),
            (Self::Bool, value) => value.as_bool().map(Value::Bool),
            (Self::Integer { .. } | Self::Bytes { .. }, value) if value.is_integer() => {
                whole_number(value).map(Value::Integer)
            }
            (Self::Float { .. }, toml::de::DeValue::Float(number)) => {
                number.as_str().replace('_', "").parse().ok().map(Value::Float)
            }
            (Self::Float { .. }, value) if value.is_integer() => {
                whole_number(value).map(|number| Value::Float(number as f64))
            }
            (Self::Strings, toml::de::DeValue::Array(array)) => array
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map(Value::Strings),
            (Self::Choice(_) | Self::Bytes { .. } | Self::Duration { .. } | Self::Address, value) => {
                match value.as_str() {
                    Some(text) => return self.parse(text),
                    None => None,
                }
            }
            _ => None,
        };
        match read {
            Some(value) if self.allows(&value) => Ok(value),
            _ => Err(format!("{} is not {}", described(value), self.expected())),
        }
    }

    fn allows(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer { min, max } | Self::Bytes { min, max }, Value::Integer(number)) => {
                (min..=max).contains(number)
            }
            (Self::Float { min, max }, Value::Float(number)) => (min..=max).contains(number),
            (Self::Duration { min, max }, Value::Duration(duration)) => (min..=max).contains(duration),
            _ => true,
        }
    }

    /// Says what values this kind takes, as the end of a sentence.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::String => "a text".to_owned(),
            Self::Url => "the url of a backend".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Bool => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Float { min, max } => format!("a number from {min} to {max}"),
            Self::Bytes { min, max } => {
                format!("a count of bytes from {} to {}", written_bytes(min), written_bytes(max))
            }
            Self::Duration { min, max } => {
                format!("a time from {} to {}", written_duration(min), written_duration(max))
            }
            Self::Address => "an address with a port, such as 127.0.0.1:3101".to_owned(),
            Self::Strings => "a list of texts".to_owned(),
        }
    }

    /// Writes a value of this kind as it stands in a file; a password in a URL is left out.
    #[must_use]
    pub fn written(self, value: &Value) -> String {
        match (self, value) {
            (Self::Url, Value::String(url)) => quoted(&without_password(url)),
            (Self::Bytes { .. }, Value::Integer(bytes)) => quoted(&written_bytes(*bytes)),
            (_, Value::String(text)) => quoted(text),
            (_, Value::Bool(value)) => value.to_string(),
            (_, Value::Integer(number)) => number.to_string(),
            (_, Value::Float(number)) => format!("{number:?}"),
            (_, Value::Duration(duration)) => quoted(&written_duration(*duration)),
            (_, Value::Address(address)) => quoted(&address.to_string()),
            (_, Value::Strings(texts)) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        }
    }
}

fn whole_number(value: &toml::de::DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

fn described(value: &toml::de::DeValue<'_>) -> String {
    match value {
        toml::de::DeValue::String(text) => shown(text),
        toml::de::DeValue::Integer(number) => number.to_string(),
        toml::de::DeValue::Float(number) => number.to_string(),
        toml::de::DeValue::Boolean(value) => value.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

/// A text in quotes, bounded, its control characters escaped.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// What stands before `@` may be a user's password, what stands after `?` another secret.
fn without_password(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?***"));
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://***@{rest}{query}"),
            None => format!("{url}{query}"),
        },
        None => format!("{url}{query}"),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..digits)?.parse().ok()?, text.get(digits..)?.trim_start()))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Reads a time such as `100ms`, `5s`, `4m`, `24h`, `30d`; `None` where it is no such text.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() && number == 0 {
        return Some(Duration::ZERO);
    }
    let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.checked_mul(*factor)?))
}

fn written_bytes(bytes: u64) -> String {
    let binary = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, factor) in binary {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

fn written_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    for (unit, factor) in TIME_UNITS.iter().rev() {
        if milliseconds.is_multiple_of(*factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::String => "text",
            Self::Url => "url",
            Self::Choice(_) => "word",
            Self::Bool => "bool",
            Self::Integer { .. } => "whole number",
            Self::Float { .. } => "number",
            Self::Bytes { .. } => "bytes",
            Self::Duration { .. } => "time",
            Self::Address => "address",
            Self::Strings => "list of texts",
        })
    }
}
