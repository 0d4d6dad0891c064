//! Names that roles choose, as names of files and of ZooKeeper's nodes.

/// A name of letters, digits, `-`, `_` and dots; every other byte, and a dot that it begins with, in percent signs.
/// Two names are never the same, and none is special to a file system or to ZooKeeper.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            b'.' if place > 0 => text.push('.'),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    if text.is_empty() { "%".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_safe_one_of_its_own() {
        for (name, expected) in [
            ("router/0", "router%2F0"),
            ("..", "%2E."),
            ("a.b-c_D9", "a.b-c_D9"),
            ("%", "%25"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(escaped(name), expected);
            assert_eq!(crate::servers::plain(expected).as_deref(), Some(name), "it can be read back");
        }
        assert_eq!(escaped(""), "%");
    }
}
