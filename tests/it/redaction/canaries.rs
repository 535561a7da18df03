//! Secrets that occur nowhere else, and the search for them in every form that a text may show them in.

use std::collections::BTreeSet;

/// A secret is longer than this: it begins and ends with it, so that a part of the secret is found too.
#[derive(Clone, Copy)]
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    pub(crate) core: &'static str,
}

pub(crate) const ACCESS: Canary = Canary { name: "access token", core: "Zq7Jx4VwAc" };
pub(crate) const REFRESH: Canary = Canary { name: "refresh token", core: "Kv9Wm2TyRe" };
pub(crate) const CLIENT: Canary = Canary { name: "client secret", core: "Xg5Hn8DqCl" };
pub(crate) const ID_TOKEN: Canary = Canary { name: "id token", core: "Jb3Qz6FkId" };
pub(crate) const QUERY: Canary = Canary { name: "query", core: "Wd8Yf1PvQu" };
pub(crate) const SESSION: Canary = Canary { name: "session id", core: "Mh4Cs7NzSe" };

pub(crate) const ALL: [Canary; 6] = [ACCESS, REFRESH, CLIENT, ID_TOKEN, QUERY, SESSION];

impl Canary {
    /// A secret of this kind.
    pub(crate) fn secret(&self, nth: u64) -> String {
        let core = self.core;
        format!("{core}.+/={nth}-{core}")
    }

    /// What stands for the core in a text without white space.
    pub(crate) fn forms(&self) -> BTreeSet<String> {
        let bytes = self.core.as_bytes();
        let each = |form, between| each(bytes, form, between);
        let mut forms = BTreeSet::from([
            self.core.to_owned(),
            self.core.to_ascii_lowercase(),
            self.core.to_ascii_uppercase(),
            self.core.chars().rev().collect(),
            each(|byte| format!("{byte:02x}"), ""),
            each(|byte| format!("{byte:02X}"), ""),
            each(|byte| format!("%{byte:02x}"), ""),
            each(|byte| format!("%{byte:02X}"), ""),
            each(|byte| format!("\\x{byte:02x}"), ""),
            each(|byte| format!("\\u{byte:04x}"), ""),
            // `Debug` of bytes.
            each(u8::to_string, ","),
            each(|byte| format!("{byte:x}"), ","),
            each(|byte| format!("{byte:X}"), ","),
            each(|byte| format!("0x{byte:x}"), ","),
        ]);
        for shift in 0..3 {
            let text = base64(shift, bytes);
            forms.insert(text.replace('+', "-").replace('/', "_"));
            forms.insert(text);
        }
        forms
    }
}

/// Each of the bytes in this form.
pub(crate) fn each(bytes: &[u8], form: fn(&u8) -> String, between: &str) -> String {
    bytes.iter().map(form).collect::<Vec<_>>().join(between)
}

/// The part of a base64 text that stands for `bytes` alone, when so many other bytes are before them.
fn base64(shift: usize, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    // The first digit that holds none of the bits before.
    let skip = [0, 4, 2][shift % 3];
    let digit = |bits: &[u8]| char::from(DIGITS[bits.iter().fold(0_usize, |sum, bit| sum << 1 | usize::from(*bit))]);
    bits[skip..].chunks_exact(6).map(digit).collect()
}

/// A canary that was found, and around it what it was found in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) name: &'static str,
    pub(crate) around: String,
}

/// Every canary among these, in every form, in every text. White space does not hide one.
pub(crate) fn search(canaries: &[Canary], texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Hit> {
    let forms: Vec<_> = canaries.iter().map(|canary| (canary.name, canary.forms())).collect();
    let mut hits = Vec::new();
    for text in texts {
        let dense: String = text.as_ref().split_whitespace().collect();
        for (name, forms) in &forms {
            for form in forms {
                hits.extend(dense.match_indices(form.as_str()).map(|(at, _)| {
                    let around = at.saturating_sub(80)..dense.len().min(at + form.len() + 80);
                    Hit { name, around: String::from_utf8_lossy(&dense.as_bytes()[around]).into_owned() }
                }));
            }
        }
    }
    hits
}

/// Other people's encoders, as far as they are at hand, agree with these.
#[test]
fn a_canary_is_found_in_every_form() {
    let secret = CLIENT.secret(1);
    let mut shown = Vec::new();
    for id in ["", "i", "id", "id3"] {
        let request = reqwest::Client::new().get("http://localhost").basic_auth(id, Some(&secret)).build().unwrap();
        shown.push(request.headers()["authorization"].to_str().unwrap().to_owned());
    }
    let bytes = secret.as_bytes();
    shown.extend([format!("{bytes:?}"), format!("{bytes:#?}"), format!("{bytes:x?}"), format!("{bytes:02X?}")]);
    shown.extend([secret.clone(), form_urlencoded::byte_serialize(bytes).collect(), format!("{secret:?}")]);
    shown.push(each(bytes, |byte| format!("%{byte:02X}"), ""));
    shown.push(each(bytes, |byte| format!("{byte:02x}"), ""));
    shown.push(serde_json::json!({ "a": [secret] }).to_string());
    shown.extend([secret[..12].to_owned(), secret[secret.len() - 12..].to_owned()]);
    for shown in &shown {
        assert!(!search(&[CLIENT], [shown.as_str()]).is_empty(), "{shown}");
        assert!(search(&[ACCESS, REFRESH, ID_TOKEN, QUERY, SESSION], [shown.as_str()]).is_empty(), "{shown}");
    }
}
