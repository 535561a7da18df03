//! A header that the grammar refuses, and many do: commas left out, quotes that never close, bytes outside ASCII, values that
//! want quotes. It is read for what can still be told.

use std::iter;

/// The text of one such header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'h>(pub(crate) &'h [u8]);

impl<'h> Refused<'h> {
    /// The words of it, wherever they stand. Schemes and error codes are such words.
    pub(crate) fn words(self) -> impl Iterator<Item = &'h [u8]> {
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        self.0.split(move |byte| !is_inner(byte)).filter(|word| !word.is_empty())
    }

    /// What follows this name and its `=` for the first time: text in quotes, or all up to a blank, a comma, a semicolon or a
    /// quote. Quotes that never close end the reading, since nobody knows where the value was meant to.
    pub(crate) fn param(self, name: &str) -> Option<Vec<u8>> {
        let mut rest = self.0;
        let mut params = iter::from_fn(|| next_param(&mut rest));
        params.find_map(|(found, value)| found.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
    }
}

/// The next name and its value; `rest` goes on behind them.
fn next_param<'h>(rest: &mut &'h [u8]) -> Option<(&'h [u8], Vec<u8>)> {
    loop {
        let start = rest.iter().position(|byte| is_token_byte(*byte))?;
        let (name, after) = split_at(&rest[start..], |byte| !is_token_byte(*byte));
        *rest = after;
        if let Some(value) = after.trim_ascii_start().strip_prefix(b"=") {
            let (value, after) = split_value(value.trim_ascii_start())?;
            *rest = after;
            return Some((name, value));
        }
    }
}

fn split_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, after) = split_at(text, |byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'"'));
        return Some((value.to_vec(), after));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            _ => value.push(*byte),
        }
    }
    None
}

fn split_at(text: &[u8], is_end: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(is_end).unwrap_or(text.len()))
}

/// What a name may consist of (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_where_one_can_be() {
        /// The header, the name, the value.
        type Case = (&'static [u8], &'static str, Option<&'static [u8]>);
        const CASES: &[Case] = &[
            (b"Bearer scope=\"a b\" error=\"x\"", "scope", Some(b"a b")),
            (b"Bearer scope=\"a b\" error=\"x\"", "error", Some(b"x")),
            (b"Bearer scope=\"a b\" error=\"x\"", "realm", None),
            (b"Bearer  SCOPE = a,error=x", "scope", Some(b"a")),
            (b"Bearer claims=eyJhIjp7fX0==, error=x", "claims", Some(b"eyJhIjp7fX0==")),
            (b"Bearer realm=https://api.example.com/a?b=c scope=d", "realm", Some(b"https://api.example.com/a?b=c")),
            (b"Bearer realm=https://api.example.com/a?b=c scope=d", "b", None),
            (b"Bearer error=x; scope=a; max_age=5", "scope", Some(b"a")),
            (b"Bearer error=x; scope=a; max_age=5", "max_age", Some(b"5")),
            (b"Bearer realm=a\"scope=b", "scope", Some(b"b")),
            (b"Basic realm=\"Zug\xE4nge\"", "realm", Some(b"Zug\xE4nge")),
            (b"Basic realm=\"a \\\"b\\\" \\\\ \\c\" x", "realm", Some(b"a \"b\" \\ c")),
            (b"Bearer realm=\"scope=a\" scope=b", "scope", Some(b"b")),
            (b"Bearer scope=a scope=b", "scope", Some(b"a")),
            (b"Bearer xscope=a scope.x=b scope", "scope", None),
            (b"Bearer scope=", "scope", Some(b"")),
            (b"Bearer scope= ,realm=x", "scope", Some(b"")),
            (b"Bearer scope=\"\" x", "scope", Some(b"")),
            (b"Bearer = scope=a", "scope", None),
            (b"Bearer \"scope=a\" b", "scope", Some(b"a")),
            // Never closed.
            (b"Bearer error=x, claims=\"eyJh", "claims", None),
            (b"Bearer error=x, claims=\"eyJh\\\"", "claims", None),
            (b"Bearer error=x, claims=\"eyJh\\", "claims", None),
            (b"Bearer realm=\"never closed, scope=a", "scope", None),
            (b"Bearer error=x, claims=\"eyJh", "error", Some(b"x")),
            (b"", "scope", None),
        ];
        for (text, name, value) in CASES {
            let found = Refused(text).param(name);
            assert_eq!(found.as_deref(), *value, "{name} of {:?}", String::from_utf8_lossy(text));
        }
    }
}
