//! Headers as a careful server writes them, as a careless one does, and as nobody does.

use crate::torture::Chance;

const SCHEMES: [&str; 10] =
    ["Bearer", "Bearer", "Bearer", "DPoP", "DPoP", "Basic", "Digest", "Negotiate", "Bearer-Token", "x!y"];

const NAMES: [&str; 16] = [
    "error",
    "error",
    "error",
    "error",
    "error",
    "error_description",
    "realm",
    "scope",
    "scope",
    "acr_values",
    "max_age",
    "claims",
    "algs",
    "resource_metadata",
    "xerror",
    "a",
];

const CODES: [&str; 10] = [
    "invalid_token",
    "invalid_token",
    "insufficient_scope",
    "insufficient_user_authentication",
    "insufficient_claims",
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "invalid_request",
    "expired_token",
    "insufficient_scope_x",
];

const TEXTS: [&str; 16] = [
    "",
    " ",
    "a b",
    "  a\tb ",
    "admin",
    "0",
    "300",
    "4294967296",
    "-1",
    "eyJhIjp7fX0=",
    "https://api.example.com/a?b=c",
    "say \"hi\", then \\ go",
    "error=\"invalid_token\"",
    ", Bearer error=invalid_token",
    "not insufficient_scope",
    "x",
];

const BLANKS: [&str; 4] = ["", " ", "\t", " \t "];

/// What a mistake puts in.
const SCRAPS: [&[u8]; 18] = [
    b" ",
    b"  ",
    b"\t",
    b",",
    b"=",
    b"\"",
    b"\\",
    b";",
    b":",
    b"\xE4",
    b"\xC3\xA4",
    b"Bearer",
    b"Basic ",
    b"error=",
    b"invalid_token",
    b"insufficient_scope",
    b"scope=a",
    b"==",
];

/// One header.
pub(crate) fn header(chance: &mut Chance) -> Vec<u8> {
    if chance.below(8) == 0 {
        return (0..chance.below(12)).flat_map(|_| scrap(chance)).collect();
    }
    let mut header = well_formed(chance);
    if chance.coin() {
        for _ in 0..=chance.below(3) {
            make_a_mistake(&mut header, chance);
        }
    }
    header
}

/// A nonce, if there is one.
pub(crate) fn nonce(chance: &mut Chance) -> Option<Vec<u8>> {
    let nonces: [&[u8]; 6] = [b"eyJ7S_zG.eyJH0-Z", b"~!#", b"", b"a b", b"a\"b", b"\xE4"];
    chance.coin().then(|| pick(chance, &nonces).to_vec())
}

fn well_formed(chance: &mut Chance) -> Vec<u8> {
    let mut items = Vec::new();
    for _ in 0..=chance.below(3) {
        let scheme = in_some_case(pick(chance, &SCHEMES), chance);
        let mut params = (0..chance.below(5)).map(|_| param(chance)).collect::<Vec<_>>().into_iter();
        items.push(params.next().map_or(scheme.clone(), |first| format!("{scheme} {first}")));
        items.extend(params);
    }
    let mut header = blank(chance).to_owned();
    for (at, item) in items.iter().enumerate() {
        let separator = match (at, chance.below(8)) {
            (0, _) => String::new(),
            (_, 0) => format!("{},{},{}", blank(chance), blank(chance), blank(chance)),
            (_, 1) => format!("{},{}", blank(chance), blank(chance)),
            _ => ", ".to_owned(),
        };
        header += &separator;
        header += item;
    }
    header += blank(chance);
    header.into_bytes()
}

fn param(chance: &mut Chance) -> String {
    let name = pick(chance, &NAMES);
    let is_code = name == "error" || chance.below(8) == 0;
    let value = if is_code { in_some_case(pick(chance, &CODES), chance) } else { pick(chance, &TEXTS).to_owned() };
    let is_token = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let value = if is_token && chance.coin() { value } else { quoted(&value, chance) };
    let equals = if chance.below(4) == 0 { format!("{}={}", blank(chance), blank(chance)) } else { "=".to_owned() };
    in_some_case(name, chance) + &equals + &value
}

fn quoted(value: &str, chance: &mut Chance) -> String {
    let mut quoted = String::from("\"");
    for char in value.chars() {
        if matches!(char, '"' | '\\') || chance.below(16) == 0 {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted + "\""
}

fn make_a_mistake(header: &mut Vec<u8>, chance: &mut Chance) {
    let at = usize::try_from(chance.below(header.len() as u64 + 1)).unwrap();
    match chance.below(5) {
        0 => header.truncate(at),
        1 => drop(header.splice(at..at, scrap(chance))),
        2 if at < header.len() => drop(header.drain(at..=at)),
        3 if at < header.len() => header[at] = scrap(chance)[0],
        // What separates, left out.
        _ => {
            if let Some(comma) = header.iter().skip(at).position(|byte| matches!(byte, b',' | b'"' | b'=')) {
                header.remove(at + comma);
            }
        }
    }
}

fn in_some_case(text: &str, chance: &mut Chance) -> String {
    match chance.below(8) {
        0 => text.to_uppercase(),
        1 => text.to_lowercase(),
        _ => text.to_owned(),
    }
}

fn scrap(chance: &mut Chance) -> Vec<u8> {
    pick(chance, &SCRAPS).to_vec()
}

fn blank(chance: &mut Chance) -> &'static str {
    pick(chance, &BLANKS)
}

fn pick<T: Copy>(chance: &mut Chance, from: &[T]) -> T {
    from[usize::try_from(chance.below(from.len() as u64)).unwrap()]
}
