//! Records as released versions wrote them: a file for each form. Every later version reads them, and writes what it has read
//! as it was. A form that changes gets a file more; none is ever changed or removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest_auth_refresh::{
    Ending, LoginId, MemoryStore, NeedsLogin, Record, Sealed, SealingKey, SessionId, TokenStore, Version,
};
use secrecy::ExposeSecret;

use crate::support::put;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden")
}

fn golden(name: &str) -> Record {
    let bytes = fs::read(folder().join(name)).unwrap();
    let record = Record::from_bytes(bytes.trim_ascii_end()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(&record.to_bytes()[..], bytes.trim_ascii_end(), "{name} is written as it was");
    record
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Holds that a record says what was written.
type Says = fn(&Record);

/// What each file says; the number of files is the number of forms.
const FORMS: [(&str, Says); 8] = [
    ("tokens.json", |record| {
        let tokens = record.tokens().unwrap();
        assert_eq!(tokens.access_token().unwrap().expose_secret(), "golden-access!~");
        assert_eq!(tokens.refresh_token().unwrap().expose_secret(), "golden \"refresh\\\u{e9}\n\0\u{1f980}");
        assert_eq!((tokens.token_type(), tokens.scope()), (Some("Bearer"), Some("read write")));
        assert_eq!(tokens.issued_at(), Some(at(1_700_000_000_456)));
        assert_eq!(tokens.expires_at(), Some(at(1_800_000_000_123)));
        assert_eq!(tokens.extra()["nested"]["a"][2], 1.5);
        assert_eq!(record.registration(), Some("refresh_grant https://issuer.example/token my-app"));
    }),
    ("tokens_bare.json", |record| {
        let tokens = record.tokens().unwrap();
        assert_eq!(tokens.access_token().unwrap().expose_secret(), "golden-access");
        assert!(tokens.refresh_token().is_none() && tokens.expires_at().is_none() && tokens.extra().is_empty());
        assert_eq!(record.registration(), None);
    }),
    ("cookies.json", |record| {
        assert!(record.tokens().unwrap().access_token().is_none());
        assert_eq!(record.registration(), Some("cookies https://api.example.com/refresh"));
    }),
    ("logged_out.json", |record| assert_eq!(record.ending(), Some(&Ending::LoggedOut))),
    ("rejected.json", |record| {
        assert_eq!(record.ending(), Some(&Ending::NeedsLogin(NeedsLogin::Rejected("invalid_grant".into()))));
    }),
    ("record_unreadable.json", |record| {
        assert_eq!(record.ending(), Some(&Ending::NeedsLogin(NeedsLogin::RecordUnreadable)));
    }),
    ("unknown_members.json", |record| {
        // What a later version has added is kept to the digit, beside the record and in its tokens.
        let bytes = record.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        for kept in [r#""later":{"a":[123456789012345678901234567890]}"#, r#""minor":7"#, r#""proof":1.10"#] {
            assert!(text.contains(kept), "{kept}");
        }
    }),
    ("sealed.json", |record| {
        assert!(record.tokens().is_none() && record.ending().is_none());
        assert_eq!(record.registration(), Some("refresh_grant https://issuer.example/token my-app"));
    }),
];

#[test]
fn every_form_that_a_version_has_written_is_read() {
    for (name, says) in FORMS {
        let record = golden(name);
        assert_eq!(record.session().as_str(), "default", "{name}");
        assert_eq!(record.version(), Version::new(LoginId::from_bits(0xCAFE << 64), 7), "{name}");
        says(&record);
    }
    let files = fs::read_dir(folder()).unwrap().count();
    println!("figure: golden_records = {files} forms");
    assert_eq!(files, FORMS.len(), "every file is read");
}

/// The sealed one opens with its key, and says what the plain one says.
#[tokio::test]
async fn the_sealed_form_opens_with_its_key() {
    let kept = MemoryStore::default();
    put(&kept, &SessionId::default(), &golden("sealed.json")).await.unwrap();
    let sealed = Sealed::new(kept, SealingKey::new("golden", &[7; 32]).unwrap());
    let opened = sealed.load(&SessionId::default()).await.unwrap().unwrap();
    assert_eq!(opened.to_bytes(), golden("tokens.json").to_bytes());
}
