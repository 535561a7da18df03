//! What the file of a session is called.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::id::SessionId;

/// So much of an id is shown to people who look into the folder.
const SHOWN: usize = 32;

/// So many bytes of its hash tell two ids apart.
const HASHED: usize = 20;

/// The name of the session's file: the front of its id, as far as every file system takes it, and a hash of the whole id.
///
/// It has the same length for all long ids, no capitals (some file systems take `Alice` and `alice` for one), and no dot
/// before the hash, so that it is no device of Windows either.
pub(crate) fn file_name(id: &SessionId) -> String {
    format!("{}.tokens", shown_and_hashed(id.as_str()))
}

/// What the names of the files begin with that stand beside one that the program named.
pub(crate) fn beside(named: &str) -> String {
    format!(".{}", shown_and_hashed(named))
}

/// Whether a store may give this name by itself, so that no program may.
pub(crate) fn is_given(name: &str) -> bool {
    let hash = |part: &str| part.rsplit_once('-').is_some_and(|(_, hash)| is_hash(hash));
    name.match_indices('.').any(|(dot, _)| hash(&name[..dot]))
}

fn is_hash(text: &str) -> bool {
    text.len() == 2 * HASHED && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown_and_hashed(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut name: String = text.chars().take(SHOWN).map(plain).collect();
    name.push('-');
    for byte in &Sha256::digest(text)[..HASHED] {
        // Writing to a string does not fail.
        let _ok = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_and_apart() {
        let long = "x".repeat(10 * 1024);
        let ids = [
            "",
            " ",
            "default",
            "Default",
            "alice@example.com",
            "a/b",
            "a\\b",
            "..",
            ".",
            "con",
            "CON",
            "nul.txt",
            "a:b",
            "a ",
            "a.",
            "a",
            "a\0",
            "a\0b",
            "\u{e9}",
            "e\u{301}",
            "-rf",
            "$HOME",
            "\u{202e}",
            &long,
            &format!("{long}y"),
        ];
        let names: Vec<String> = ids.iter().map(|id| file_name(&SessionId::from(*id))).collect();
        for (nth, name) in names.iter().enumerate() {
            assert!(name.len() <= SHOWN + 1 + 2 * HASHED + ".tokens".len(), "{name}");
            let harmless = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
            assert!(name.strip_suffix(".tokens").unwrap().bytes().all(harmless), "{name}");
            assert_eq!(names.iter().position(|other| other == name), Some(nth), "{name}");
        }
    }

    #[test]
    fn names_that_a_store_gives_are_known() {
        for id in ["default", "", "a.b"] {
            let name = file_name(&SessionId::from(id));
            for given in [name.clone(), format!("{name}.new"), name.to_uppercase(), format!("{}.new", beside(id))] {
                assert!(is_given(&given), "{given}");
            }
        }
        for named in ["token", "token.new", ".token", "a-b.tokens", "token.broken-1", "x-0123456789abcdef.json", ""] {
            assert!(!is_given(named), "{named}");
        }
    }

    /// A name that changed would lose every session at an update.
    #[test]
    fn names_stay_what_they_are() {
        let known =
            [("", "-e3b0c44298fc1c149afbf4c8996fb92427ae41e4.tokens"), ("Alice@example.com", "alice_example_com-")];
        for (id, name) in known {
            assert!(file_name(&SessionId::from(id)).starts_with(name), "{id}");
        }
    }
}
