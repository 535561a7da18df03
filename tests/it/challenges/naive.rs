//! A second reader of challenges, written from the standard and the crate's public docs and not from its code: it cuts a
//! header into marks, puts the marks into a list, and sorts what it found. Slow, and plain.
//!
//! The two must agree on every header: where the grammar of RFC 9110 section 11.6.1 accepts it (without token68, bytes
//! outside ASCII, and more than one blank behind a scheme), by the grammar; everywhere else, by the rule in the docs of
//! `Demand`.

use std::iter::Peekable;

use super::asked::Asked;

/// How it reads. What is false here is a mistake that others have made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naive {
    /// Whether a comma in quotes is no separator.
    pub(crate) minds_quotes: bool,
    /// Whether names are equal in any case.
    pub(crate) ignores_case: bool,
}

pub(crate) const RIGHT: Naive = Naive { minds_quotes: true, ignores_case: true };

/// One challenge.
#[derive(Debug, Default)]
struct Read {
    scheme: String,
    params: Vec<(String, String)>,
    /// Error codes, or what may be one.
    codes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Mark {
    Word(String),
    Quoted(String),
    Blank(String),
    Equals,
    Comma,
    /// What has no place in a challenge.
    Stray,
}

impl Naive {
    pub(crate) fn asked(self, headers: &[Vec<u8>], nonce: Option<&[u8]>) -> Asked {
        let mut found: Vec<(usize, Asked)> = Vec::new();
        for header in headers {
            let challenges = self.by_grammar(header).unwrap_or_else(|| by_rule(header));
            found.extend(challenges.iter().map(|challenge| self.judge(challenge, nonce)));
        }
        // A stable sort, so that the first of equals stays the first.
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().next().map_or(Asked::Tokens, |(_, asked)| asked)
    }

    pub(crate) fn accepts(self, header: &[u8]) -> bool {
        self.by_grammar(header).is_some()
    }

    /// Its place among all challenges, and what it asks for.
    fn judge(self, challenge: &Read, nonce: Option<&[u8]>) -> (usize, Asked) {
        let param = |name: &str| {
            let found = challenge.params.iter().find(|(found, _)| self.is_same(found, name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        if !self.is_same(&challenge.scheme, "bearer") && !self.is_same(&challenge.scheme, "dpop") {
            return (3, Asked::Scheme(challenge.scheme.clone(), param("realm")));
        }
        if challenge.codes.iter().any(|code| self.is_same(code, "invalid_token")) {
            return (0, Asked::Tokens);
        }
        let list = |name| {
            param(name)
                .unwrap_or_default()
                .split([' ', '\t'])
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect()
        };
        for code in &challenge.codes {
            let is = |name| self.is_same(code, name);
            if is("insufficient_scope") {
                return (1, Asked::Scope(list("scope")));
            } else if is("insufficient_user_authentication") {
                return (1, Asked::StepUp(list("acr_values"), param("max_age").and_then(|age| seconds(&age))));
            } else if is("insufficient_claims") {
                return (1, Asked::Claims(param("claims")));
            } else if is("use_dpop_nonce") {
                return (1, Asked::Nonce(nonce.and_then(readable)));
            } else if is("invalid_dpop_proof") {
                return (1, Asked::Proof);
            } else if is("invalid_request") {
                return (1, Asked::Request);
            }
        }
        (2, Asked::Tokens)
    }

    fn is_same(self, found: &str, name: &str) -> bool {
        if self.ignores_case { found.to_lowercase() == name } else { found == name || found == capital(name) }
    }

    /// By the grammar, if it accepts the header.
    fn by_grammar(self, header: &[u8]) -> Option<Vec<Read>> {
        let marks = self.marks(header);
        let mut read: Vec<Read> = Vec::new();
        for item in marks.split(|mark| *mark == Mark::Comma) {
            let item = without_needless_blanks(item);
            match item.as_slice() {
                [] => {}
                [Mark::Word(scheme)] => read.push(Read { scheme: scheme.clone(), ..Read::default() }),
                [Mark::Word(scheme), Mark::Blank(blank), Mark::Word(name), Mark::Equals, value] if blank == " " => {
                    read.push(Read { scheme: scheme.clone(), ..Read::default() });
                    read.last_mut()?.params.push((name.clone(), text(value)?));
                }
                [Mark::Word(name), Mark::Equals, value] => {
                    let current = read.last_mut().filter(|current| !current.params.is_empty())?;
                    current.params.push((name.clone(), text(value)?));
                }
                _ => return None,
            }
        }
        for challenge in &mut read {
            let errors = challenge.params.iter().filter(|(name, _)| self.is_same(name, "error"));
            challenge.codes = errors.map(|(_, code)| code.clone()).collect();
        }
        (!read.is_empty()).then_some(read)
    }

    fn marks(self, header: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut bytes = header.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b',' => marks.push(Mark::Comma),
                b'=' => marks.push(Mark::Equals),
                b'"' => marks.push(self.quoted(&mut bytes)),
                b' ' | b'\t' => match marks.last_mut() {
                    Some(Mark::Blank(blank)) => blank.push(char::from(byte)),
                    _ => marks.push(Mark::Blank(char::from(byte).to_string())),
                },
                _ if is_tchar(byte) => match marks.last_mut() {
                    Some(Mark::Word(word)) => word.push(char::from(byte)),
                    _ => marks.push(Mark::Word(char::from(byte).to_string())),
                },
                _ => marks.push(Mark::Stray),
            }
        }
        marks
    }

    fn quoted(self, bytes: &mut Peekable<impl Iterator<Item = u8>>) -> Mark {
        let mut text = String::new();
        while self.minds_quotes || bytes.peek() != Some(&b',') {
            let byte = match bytes.next() {
                None => return Mark::Stray,
                Some(b'"') => break,
                Some(b'\\') => bytes.next().unwrap_or_default(),
                Some(other) => other,
            };
            if !matches!(byte, b'\t' | b' '..=b'~') {
                return Mark::Stray;
            }
            text.push(char::from(byte));
        }
        Mark::Quoted(text)
    }
}

/// The first word is the scheme. Any word may be a code, and parameters are what look like some.
fn by_rule(header: &[u8]) -> Vec<Read> {
    let mut words = vec![String::new()];
    for byte in header {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => {
                words.last_mut().unwrap().push(char::from(*byte));
            }
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    if words.is_empty() {
        return Vec::new();
    }
    vec![Read { scheme: words.remove(0), params: what_look_like_parameters(header), codes: words }]
}

/// Where the eye is, going from byte to byte.
enum Eye {
    Elsewhere,
    Name,
    BehindName,
    BehindEquals,
    Value,
    Quotes,
    Backslash,
}

fn what_look_like_parameters(header: &[u8]) -> Vec<(String, String)> {
    let (mut found, mut eye) = (Vec::new(), Eye::Elsewhere);
    let (mut name, mut value) = (Vec::new(), Vec::new());
    // A blank at the end, so that what is open without quotes is closed.
    for &byte in header.iter().chain(b" , ") {
        let is_blank = byte == b' ' || byte == b'\t';
        let is_end = is_blank || byte == b',' || byte == b';' || byte == b'"';
        eye = match eye {
            Eye::Elsewhere | Eye::BehindName if is_tchar(byte) => {
                name = vec![byte];
                Eye::Name
            }
            Eye::Name if is_tchar(byte) => {
                name.push(byte);
                Eye::Name
            }
            Eye::Name | Eye::BehindName if is_blank => Eye::BehindName,
            Eye::Name | Eye::BehindName if byte == b'=' => {
                value.clear();
                Eye::BehindEquals
            }
            Eye::Elsewhere | Eye::Name | Eye::BehindName => Eye::Elsewhere,
            Eye::BehindEquals if is_blank => Eye::BehindEquals,
            Eye::BehindEquals if byte == b'"' => Eye::Quotes,
            Eye::BehindEquals | Eye::Value if is_end => {
                found.push((lossy(&name), lossy(&value)));
                Eye::Elsewhere
            }
            Eye::BehindEquals | Eye::Value => {
                value.push(byte);
                Eye::Value
            }
            Eye::Quotes if byte == b'"' => {
                found.push((lossy(&name), lossy(&value)));
                Eye::Elsewhere
            }
            Eye::Quotes if byte == b'\\' => Eye::Backslash,
            Eye::Quotes | Eye::Backslash => {
                value.push(byte);
                Eye::Quotes
            }
        };
    }
    found
}

/// Those around the item and around its equals signs.
fn without_needless_blanks(item: &[Mark]) -> Vec<Mark> {
    let is_equals = |mark: Option<&Mark>| mark.is_none_or(|mark| *mark == Mark::Equals);
    let needless = |at: usize| is_equals(at.checked_sub(1).and_then(|at| item.get(at))) || is_equals(item.get(at + 1));
    let kept = item.iter().enumerate().filter(|(at, mark)| !(matches!(mark, Mark::Blank(_)) && needless(*at)));
    kept.map(|(_, mark)| mark.clone()).collect()
}

fn text(mark: &Mark) -> Option<String> {
    match mark {
        Mark::Word(text) | Mark::Quoted(text) => Some(text.clone()),
        Mark::Blank(_) | Mark::Equals | Mark::Comma | Mark::Stray => None,
    }
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#""(),/:;<=>?@[\]{}"#.contains(&byte)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.chars().all(|digit| digit.is_ascii_digit());
    let number = text
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .fold(0_u128, |number, digit| number.saturating_mul(10).saturating_add(digit.into()));
    u32::try_from(number).ok().filter(|_| digits).map(u64::from)
}

fn readable(nonce: &[u8]) -> Option<String> {
    let is_nonce = !nonce.is_empty() && nonce.iter().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'));
    is_nonce.then(|| lossy(nonce))
}
