//! The form of a file: one line that says what it is and a checksum over all the rest; then whose it is, and the record.
//!
//! ```text
//! reqwest-auth-refresh record 1 sha256:<64 digits>
//! <length of the id>
//! <id>
//! <record>
//! ```

use std::fmt::Write;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::id::SessionId;
use crate::store::error::StoreError;
use crate::store::record::Record;

/// The first line is the same in every form to come, so that a newer one can be told from a broken one.
const MAJOR: u32 = 1;

const TITLE: &str = "reqwest-auth-refresh record ";

/// So much of a file says whether it is one of ours.
pub(crate) const TITLE_LENGTH: usize = TITLE.len();

/// The largest file that is read. An issuer's answer is never larger than a fraction of this.
pub(crate) const LARGEST: usize = 16 * 1024 * 1024;

/// What a file holds.
pub(crate) struct Envelope {
    pub(crate) id: SessionId,
    pub(crate) record: Record,
}

/// The bytes of a file that holds this record of this session.
pub(crate) fn sealed(id: &SessionId, record: &Record) -> Zeroizing<Vec<u8>> {
    let (id, record) = (id.as_str(), record.to_bytes());
    let length = id.len().to_string();
    let rest = [length.as_bytes(), b"\n", id.as_bytes(), b"\n", &record];
    let first = first_line(MAJOR, &rest);
    let size = first.len() + rest.iter().map(|part| part.len()).sum::<usize>();
    // Never grown, so that no copy is left behind unwiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    bytes.extend_from_slice(first.as_bytes());
    for part in rest {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Whether a file that begins so was written by this crate, whole or not: it carries the title, or was cut short in it, or
/// is all zeros where a power failure took what was not synced.
pub(crate) fn is_ours(bytes: &[u8]) -> bool {
    let front = &bytes[..bytes.len().min(TITLE.len())];
    TITLE.as_bytes().starts_with(front) || front.iter().all(|byte| *byte == 0)
}

/// Reads what [`sealed`] wrote: unreadable when it is not whole to the last bit, newer when it is of a later form.
pub(crate) fn opened(bytes: &[u8]) -> Result<Envelope, StoreError> {
    let broken = || StoreError::unreadable("the file is cut short, changed, or no record");
    let (first, rest) = split_line(bytes).ok_or_else(broken)?;
    let first = std::str::from_utf8(first).map_err(|_error| broken())?;
    let major = first.strip_prefix(TITLE).and_then(|line| line.split_once(' ')).ok_or_else(broken)?.0;
    let major = major.parse::<u32>().map_err(|_error| broken())?;
    if first_line(major, &[rest]).trim_end() != first {
        return Err(broken());
    }
    if major > MAJOR {
        return Err(StoreError::newer());
    }
    let (length, rest) = split_line(rest).ok_or_else(broken)?;
    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok()).ok_or_else(broken)?;
    let (id, record) = rest.split_at_checked(length).ok_or_else(broken)?;
    let id = std::str::from_utf8(id).map_err(|_error| broken())?;
    let record = record.strip_prefix(b"\n").ok_or_else(broken)?;
    Ok(Envelope { id: SessionId::from(id), record: Record::from_bytes(record)? })
}

fn first_line(major: u32, rest: &[&[u8]]) -> String {
    let mut line = format!("{TITLE}{major} sha256:");
    let mut sum = Sha256::new_with_prefix(&line);
    for part in rest {
        sum.update(part);
    }
    for byte in sum.finalize() {
        // Writing to a string does not fail.
        let _ok = write!(line, "{byte:02x}");
    }
    line.push('\n');
    line
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{LoginId, Version};
    use crate::tokens::Tokens;

    fn record() -> Record {
        Record::of_tokens("default", Version::new(LoginId::from_bits(1), 7), Tokens::new("canary").unwrap())
    }

    #[test]
    fn what_was_sealed_is_opened() {
        for id in ["default", "", "a\nb", "\0", "\u{e9}", "7\n7"] {
            let id = SessionId::from(id);
            let envelope = opened(&sealed(&id, &record())).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!((envelope.id, envelope.record.to_bytes()), (id, record().to_bytes()));
        }
    }

    /// What is reserved is what is used: a buffer that grew would have left copies of the tokens behind.
    #[test]
    fn what_is_sealed_was_never_moved() {
        for length in [1, 100, 3_000, 65_536] {
            let tokens = Tokens::new("x".repeat(length)).unwrap().with_refresh_token("r\"\\".repeat(length));
            let record = Record::of_tokens("default", Version::new(LoginId::from_bits(1), 7), tokens);
            let (bytes, file) = (record.to_bytes(), sealed(&SessionId::default(), &record));
            assert_eq!((bytes.capacity(), file.capacity()), (bytes.len(), file.len()), "{length}");
        }
    }

    #[test]
    fn what_is_ours_is_told_from_what_is_not() {
        let whole = sealed(&SessionId::default(), &record());
        for ours in [&whole, &whole[..40], &whole[..5], b"", b"\0\0\0\0"] {
            assert!(is_ours(ours));
        }
        for other in [&b"canary"[..], b"reqwest-auth-refresh records", b"Reqwest", b"\0x", b"{}", b" ", b"\n"] {
            assert!(!is_ours(other), "{other:?}");
        }
    }

    #[test]
    fn a_later_form_is_newer_only_when_it_is_whole() {
        let later = |major: u32| [first_line(major, &[b"anything"]).as_bytes(), b"anything"].concat();
        for major in [2, 7, 4_294_967_295] {
            assert!(opened(&later(major)).is_err_and(|error| error.is_newer()), "{major}");
        }
        let mut changed = later(2);
        changed.pop();
        assert!(opened(&changed).is_err_and(|error| error.is_unreadable()));
        assert!(opened(&later(0)).is_err_and(|error| error.is_unreadable()));
        assert!(opened(&later(1)).is_err_and(|error| error.is_unreadable()));
    }

    #[test]
    fn a_record_of_a_later_form_is_newer() {
        let rest = b"1\na\n{\"major\":2}";
        let bytes = [first_line(1, &[rest]).as_bytes(), rest].concat();
        assert!(opened(&bytes).is_err_and(|error| error.is_newer()));
    }
}
