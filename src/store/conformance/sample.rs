//! Records to try a store with, and content that is none.

use serde_json::{Value, json};

use crate::id::{LoginId, SessionId, Version};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed_content::{KeyName, SealedContent};
use crate::tokens::Tokens;

/// Stands in every token of a sample.
pub(crate) const CANARY: &str = "canary";

/// More than a handful of others can have come in between.
const TRIES: usize = 1000;

/// The session of a law that needs one only.
pub(crate) fn id() -> SessionId {
    SessionId::default()
}

/// Tokens with this text in them, of this generation of one login.
pub(crate) fn tokens(generation: u64, text: &str) -> Result<Record, StoreError> {
    tokens_of(&id(), version(generation), text)
}

/// The same, of another session and version.
pub(crate) fn tokens_of(id: &SessionId, version: Version, text: &str) -> Result<Record, StoreError> {
    let tokens = Tokens::new(format!("{CANARY}-{text}")).map_err(StoreError::unavailable)?;
    let tokens = tokens.with_refresh_token(format!("{CANARY}-refresh-{text}"));
    Ok(Record::of_tokens(id.clone(), version, tokens))
}

/// That version of the login.
pub(crate) fn version(generation: u64) -> Version {
    Version::new(LoginId::from_bits(0xC0_FFEE << 96), generation)
}

/// Replaces whatever is stored by this record, as a session does that knows what to write.
pub(crate) async fn put(store: &dyn TokenStore, record: &Record) -> Result<(), StoreError> {
    let mut expected = None;
    for _try in 0..TRIES {
        let Swap::Found(found) = store.swap(record.session(), expected, record).await? else { return Ok(()) };
        expected = found.as_ref().map(Record::version);
    }
    Err(StoreError::unavailable("no swap finds what the one before has found"))
}

/// Every field that this version of the crate knows.
pub(crate) fn full() -> Result<Record, StoreError> {
    record(&json!({
        "generation": u64::MAX, "registration": "oauth https://issuer.example client",
        "tokens": {
            "access_token": "canary!~", "token_type": "Bearer", "refresh_token": "canary \"r\\\u{e9}\n\0\u{1f980}",
            "scope": "read write", "expires_at": 1_800_000_000_123_u64, "issued_at": 1_700_000_000_456_u64,
            "extra": {"id_token": "canary", "nested": {"a": [1, null, 1.5, "\u{2028}"]}, "": ""},
        },
    }))
}

/// Members that a later version of the crate may have written, with numbers that no machine type holds.
pub(crate) fn unknown() -> Result<Vec<Record>, StoreError> {
    let later =
        r#""later":{"deep":[1,{"a":null}],"text":"canary","number":123456789012345678901234567890,"point":1.10}"#;
    let head = r#""major":1,"minor":9,"session":"default","login":"cafe","generation":7"#;
    let forms = [
        format!(r#"{{{head},{later},"tokens":{{"access_token":"canary"}}}}"#),
        format!(r#"{{{head},"tokens":{{"access_token":"canary",{later}}}}}"#),
        format!(r#"{{{head},{later},"tombstone":{{"why":"logged_out","since":1}}}}"#),
    ];
    forms.iter().map(|form| Record::from_bytes(form.as_bytes())).collect()
}

/// Every way in which a login ends.
pub(crate) fn tombstones() -> Result<Vec<Record>, StoreError> {
    let endings = [
        json!({"why": "logged_out", "since": 1_800_000_000_123_u64}),
        json!({"why": "rejected", "code": "invalid_grant", "since": 0}),
        json!({"why": "record_unreadable", "since": 1}),
    ];
    endings.into_iter().map(|ending| record(&json!({"tombstone": ending, "registration": "of one"}))).collect()
}

/// Content that a store above has sealed.
pub(crate) fn sealed() -> Record {
    let key = KeyName { id: "2026".to_owned(), fingerprint: "cafe".to_owned() };
    let content = SealedContent { key, text: "Y2FuYXJ5".to_owned() };
    Record::new(id(), version(7), Content::Sealed(content))
}

/// Records that belong to different registrations, and to none.
pub(crate) fn registered() -> Result<Vec<Record>, StoreError> {
    let names = [json!(null), json!(""), json!("oauth https://issuer.example client"), json!("\u{1f980}\n\0'; --")];
    let contents =
        [("tokens", json!({"access_token": "canary"})), ("tombstone", json!({"why": "logged_out", "since": 1}))];
    let pairs = names.iter().flat_map(|name| contents.iter().map(move |content| (name, content)));
    pairs.map(|(name, (member, content))| record(&json!({"registration": name, *member: content}))).collect()
}

/// A record with these members.
fn record(members: &Value) -> Result<Record, StoreError> {
    let mut form = json!({"major": 1, "session": "default", "login": "cafe", "generation": 7});
    if let (Some(form), Some(members)) = (form.as_object_mut(), members.as_object()) {
        form.extend(members.clone());
    }
    Record::from_bytes(form.to_string().as_bytes())
}

/// Records of a newer major form.
pub(crate) fn newer() -> [&'static [u8]; 3] {
    [
        br#"{"major":2}"#,
        br#"{"major":4294967295,"all":["is",{"different":"canary"}]}"#,
        br#"{"major":2,"session":"default","login":"cafe","generation":7,"tokens":{"access_token":"canary"}}"#,
    ]
}

/// Content that is no record.
pub(crate) fn garbage() -> Result<Vec<Vec<u8>>, StoreError> {
    let record = full()?.to_bytes();
    let (half, _rest) = record.split_at(record.len() / 2);
    let texts: [&[u8]; 6] = [b"", b"{", b"null", b"\xff\xfe\0", br#"{"major":1}"#, b"canary in no form at all"];
    Ok([half].into_iter().chain(texts).map(<[u8]>::to_vec).collect())
}

/// Fails unless this is what was found.
#[track_caller]
pub(crate) fn assert_is(found: Option<&Record>, expected: &Record) {
    // Not by their bytes in the message, which would show the tokens of a store that is in use.
    let same = found.is_some_and(|found| found.to_bytes() == expected.to_bytes());
    assert!(same, "found {found:?} instead of {expected:?}");
}
