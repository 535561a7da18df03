//! Records to try a store with.

use serde_json::{Value, json};

use crate::id::{LoginId, SessionId, Version};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// Stands in every token of a sample.
pub(crate) const CANARY: &str = "canary";

/// Tokens with this text in them, of this generation of one login.
pub(crate) fn tokens(generation: u64, text: &str) -> Result<Record, StoreError> {
    let tokens = Tokens::new(format!("{CANARY}-{text}")).map_err(StoreError::unavailable)?;
    let tokens = tokens.with_refresh_token(format!("{CANARY}-refresh-{text}"));
    Ok(Record::of_tokens(SessionId::default(), version(generation), tokens))
}

/// Replaces whatever is stored by this record, as a session does that knows what to write.
pub(crate) async fn put(store: &dyn TokenStore, id: &SessionId, record: &Record) -> Result<(), StoreError> {
    let mut expected = None;
    while let Swap::Found(found) = store.swap(id, expected, record).await? {
        expected = found.as_ref().map(Record::version);
    }
    Ok(())
}

/// That version of the login.
pub(crate) fn version(generation: u64) -> Version {
    Version::new(LoginId::from_bits(0xC0_FFEE << 96), generation)
}

/// Every field that this version of the crate knows.
pub(crate) fn full() -> Result<Record, StoreError> {
    of(&json!({
        "major": 1, "session": "default", "login": "cafe", "generation": u64::MAX,
        "tokens": {
            "access_token": "canary!~", "token_type": "Bearer", "refresh_token": "canary \"r\\\u{e9}\n\0\u{1f980}",
            "scope": "read write", "expires_at": 1_800_000_000_123_u64, "issued_at": 1_700_000_000_456_u64,
            "extra": {"id_token": "canary", "nested": {"a": [1, null, 1.5, "\u{2028}"]}, "": ""},
        },
    }))
}

/// Members that a later version of the crate may have written.
pub(crate) fn unknown() -> Result<Record, StoreError> {
    of(&json!({
        "major": 1, "session": "default", "login": "cafe", "generation": 7, "tokens": {"access_token": "canary"},
        "later": {"deep": [1, {"a": null}], "text": "canary"}, "minor": 9,
    }))
}

/// Every way in which a login ends.
pub(crate) fn tombstones() -> Result<Vec<Record>, StoreError> {
    let endings = [
        json!({"why": "logged_out", "since": 1_800_000_000_123_u64}),
        json!({"why": "rejected", "code": "invalid_grant", "since": 0}),
        json!({"why": "record_unreadable", "since": 1}),
    ];
    let record =
        |ending| of(&json!({"major": 1, "session": "default", "login": "cafe", "generation": 7, "tombstone": ending}));
    endings.into_iter().map(record).collect()
}

fn of(form: &Value) -> Result<Record, StoreError> {
    Record::from_bytes(form.to_string().as_bytes())
}

/// Fails unless this is what was found.
#[track_caller]
pub(crate) fn assert_is(found: Option<&Record>, expected: &Record) {
    // Not by their bytes in the message, which would show the tokens of a store that is in use.
    let same = found.is_some_and(|found| found.to_bytes() == expected.to_bytes());
    assert!(same, "found {found:?} instead of {expected:?}");
}
