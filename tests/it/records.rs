//! A stored record is read as what was written, or not at all: whatever became of its bytes, nothing panics, and nothing of
//! them is quoted.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use reqwest_auth_refresh::{LoginId, Record, Tokens, Version};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn record() -> Record {
    let tokens = Tokens::new("canary-access!~").unwrap().with_refresh_token("canary \"refresh\\\u{e9}\n");
    let tokens = tokens.with_token_type("Bearer").with_scope("read write");
    let tokens = tokens.with_issued_at(UNIX_EPOCH + Duration::from_millis(1_700_000_000_456));
    let tokens = tokens.with_expires_at(UNIX_EPOCH + Duration::from_millis(1_800_000_000_123));
    let extra = json!({"id_token": "canary", "filler": "f".repeat(684), "nested": {"a": [1, null, 1.5]}});
    let tokens = tokens.with_extra(serde_json::from_value(extra).unwrap());
    Record::of_tokens("default", Version::new(LoginId::from_bits(0xCAFE << 100), 7), tokens)
}

/// A logout of the same login.
fn tombstone() -> &'static [u8] {
    br#"{"major":1,"session":"default","login":"cafe","generation":8,"tombstone":{"why":"logged_out","since":1}}"#
}

fn is_unreadable(bytes: &[u8]) -> bool {
    let Err(error) = Record::from_bytes(bytes) else { return false };
    let told = format!("{error} {error:?} {error:#?}");
    assert!(!told.contains("canary"), "{told}");
    error.is_unreadable()
}

#[test]
fn a_newer_major_form_is_told_from_what_is_broken() {
    let newer = [
        r#"{"major":2}"#,
        r#"{"major":4294967295,"login":[],"tokens":1}"#,
        r#"{"a":{"b":["canary"]},"major":2,"generation":-1}"#,
    ];
    for newer in newer {
        let error = Record::from_bytes(newer.as_bytes()).unwrap_err();
        assert!(error.is_newer(), "{newer}: {error:?}");
    }
}

#[test]
fn what_is_no_record_is_unreadable_and_not_quoted() {
    let deep = "[".repeat(100_000);
    let nonsense = [
        "",
        " ",
        "null",
        "canary",
        "\"canary\"",
        "[]",
        "{}",
        "\0",
        "\u{feff}{}",
        &deep,
        r#"{"major":"canary"}"#,
        r#"{"major":-1}"#,
        r#"{"major":1.5}"#,
        r#"{"major":4294967296}"#,
        r#"{"major":null}"#,
        r#"{"major":1}"#,
        r#"{"major":1,"major":1,"session":"default","session":"default","login":"cafe","generation":7,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"canary","generation":7,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"","generation":7,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"1ffffffffffffffffffffffffffffffff","generation":7,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":7,"generation":7,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"cafe","generation":"canary","tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"cafe","generation":-1,"tokens":{"access_token":"canary"}}"#,
        r#"{"major":1,"session":"default","login":"cafe","generation":18446744073709551616,"tokens":{"access_token":"canary"}}"#,
    ];
    let contents = [
        r#""x":"canary""#,
        r#""tokens":null"#,
        r#""tokens":"canary""#,
        r#""tokens":["canary"]"#,
        r#""tokens":{"access_token":""}"#,
        r#""tokens":{"access_token":"canary canary"}"#,
        r#""tokens":{"access_token":"canary\u0000"}"#,
        r#""tokens":{"access_token":["canary"]}"#,
        r#""tokens":{"access_token":"canary","access_token":"canary"}"#,
        r#""tokens":{"access_token":"canary"},"tokens":{"access_token":"canary"}"#,
        r#""tokens":{"access_token":"a","expires_at":"canary"}"#,
        r#""tokens":{"access_token":"a","expires_at":-1}"#,
        r#""tokens":{"access_token":"a","issued_at":1.5}"#,
        r#""tokens":{"access_token":"a","issued_at":18446744073709551616}"#,
        r#""tokens":{"access_token":"a","refresh_token":1}"#,
        r#""tokens":{"access_token":"a","extra":"canary"}"#,
        r#""tokens":{"access_token":"a"},"tombstone":{"why":"logged_out","since":1}"#,
        r#""tombstone":null"#,
        r#""tombstone":{"why":"canary","since":1}"#,
        r#""tombstone":{"why":"logged_out"}"#,
        r#""tombstone":{"why":"logged_out","since":"canary"}"#,
        r#""tombstone":{"why":"rejected","code":1,"since":1}"#,
        &format!(r#""later":{deep}"#),
    ];
    let contents =
        contents.map(|content| format!(r#"{{"major":1,"session":"default","login":"cafe","generation":7,{content}}}"#));
    for nonsense in nonsense.into_iter().chain(contents.iter().map(String::as_str)) {
        assert!(is_unreadable(nonsense.as_bytes()), "{nonsense:.200}");
    }
}

#[test]
fn what_was_cut_short_or_half_overwritten_is_unreadable() {
    let long = record().to_bytes();
    for end in 0..long.len() {
        assert!(is_unreadable(&long[..end]), "{end}");
    }
    let short = tombstone();
    assert!(Record::from_bytes(short).is_ok_and(|record| record.ending().is_some()));
    for end in 0..short.len() {
        assert!(is_unreadable(&short[..end]), "{end}");
    }
    // A shorter one written over a longer one that was not cut first.
    assert!(is_unreadable(&[short, &long[short.len()..]].concat()));
}

/// A record has no check sum: a bit that turns one letter of a token into another cannot be noticed here, and the issuer
/// will refuse that token. What must never be is a token other than the one that is written there.
#[test]
fn with_any_bit_changed_it_is_unreadable_or_says_what_is_written() {
    let bytes = record().to_bytes();
    assert_eq!(bytes.len(), 1024);
    let (mut unreadable, mut newer, mut unnoticed) = (0, 0, 0);
    for nth in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[nth / 8] ^= 1 << (nth % 8);
        if is_unreadable(&changed) {
            unreadable += 1;
            continue;
        }
        match Record::from_bytes(&changed) {
            Ok(record) => {
                let written: Value = serde_json::from_slice(&changed).expect("what is no JSON is no record");
                let tokens = record.tokens().expect("tokens do not turn into a tombstone");
                let access_token = tokens.access_token().map(ExposeSecret::expose_secret);
                assert_eq!(access_token, written["tokens"]["access_token"].as_str(), "bit {nth}");
                let refresh_token = tokens.refresh_token().map(ExposeSecret::expose_secret);
                assert_eq!(refresh_token, written["tokens"]["refresh_token"].as_str(), "bit {nth}");
                unnoticed += 1;
            }
            Err(error) => {
                assert!(error.is_newer(), "bit {nth}: {error:?}");
                newer += 1;
            }
        }
    }
    assert_eq!(newer, 3, "the major number's 1 turned into 3, 5 or 9");
    assert!(unreadable > 1000 && unnoticed > 1000, "{unreadable} {unnoticed}");
    println!("figure: record_bits_changed = {} cases", bytes.len() * 8);
    println!("figure: record_bits_unnoticed = {unnoticed} cases");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn no_bytes_lead_to_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _read = Record::from_bytes(&bytes);
    }

    #[test]
    fn nor_does_a_record_with_other_bytes_in_its_middle(
        (from, to) in (0_usize..1200, 0_usize..1200),
        middle in prop::collection::vec(any::<u8>(), 0..16),
    ) {
        let bytes = record().to_bytes();
        let (from, to) = (from.min(bytes.len()), to.min(bytes.len()));
        let _read = Record::from_bytes(&[&bytes[..from], &middle, &bytes[to..]].concat());
    }
}
