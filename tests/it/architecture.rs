//! Every file of the crate stands on a floor and imports only from floors below it, so that each can be read, and replaced,
//! without those above.
//!
//! The laws are functions over (path, text), so that a planted bad tree can be held against them too: a law that finds nothing
//! there proves nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors, from the ground up. Engine and adapters are two wings on one height: neither sees the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    Words,
    Judgement,
    Contracts,
    Engine,
    Adapters,
    Door,
    Roof,
}

/// Where each file stands. The first row that fits is taken; a row that ends in `/` stands for a whole folder.
const FLOORS: &[(&str, Floor)] = &[
    ("tokens.rs", Floor::Words),
    ("member_path.rs", Floor::Words),
    ("answer_shape.rs", Floor::Words),
    ("answer_time.rs", Floor::Words),
    ("members.rs", Floor::Words),
    ("token_answer.rs", Floor::Words),
    ("id.rs", Floor::Words),
    ("event.rs", Floor::Words),
    ("error.rs", Floor::Words),
    ("clock.rs", Floor::Words),
    ("platform.rs", Floor::Words),
    ("peek/", Floor::Words),
    ("policy/", Floor::Judgement),
    ("cookies/", Floor::Contracts),
    ("store/contract.rs", Floor::Contracts),
    ("store/error.rs", Floor::Contracts),
    ("store/record.rs", Floor::Contracts),
    ("store/record_form.rs", Floor::Contracts),
    ("store/tombstone_form.rs", Floor::Contracts),
    ("store/unknown.rs", Floor::Contracts),
    ("store/sealed_content.rs", Floor::Contracts),
    ("refresh/contract.rs", Floor::Contracts),
    ("refresh/error.rs", Floor::Contracts),
    ("refresh/info.rs", Floor::Contracts),
    ("session/", Floor::Engine),
    ("flight.rs", Floor::Engine),
    ("store/", Floor::Adapters),
    ("refresh/", Floor::Adapters),
    ("builder.rs", Floor::Door),
    ("middleware/", Floor::Door),
    ("retry_strategy.rs", Floor::Door),
    ("guide/", Floor::Roof),
    ("must_not_compile.rs", Floor::Roof),
    ("lib.rs", Floor::Roof),
];

/// The only files that may look at the text of a token.
const EXPOSING: [&str; 4] = ["tokens.rs", "policy/placement.rs", "store/record_form.rs", "refresh/wire.rs"];

const LONGEST: usize = 400;

impl Floor {
    fn of(path: &str) -> Option<Self> {
        let fits = |row: &str| if row.ends_with('/') { path.starts_with(row) } else { path == row };
        FLOORS.iter().find(|(row, _)| fits(row)).map(|(_, floor)| *floor)
    }

    fn height(self) -> u8 {
        match self {
            Self::Words => 0,
            Self::Judgement => 1,
            Self::Contracts => 2,
            Self::Engine | Self::Adapters => 3,
            Self::Door => 4,
            Self::Roof => 5,
        }
    }

    fn may_import(self, other: Self) -> bool {
        self == other || other.height() < self.height()
    }
}

/// Paths below `src`, with `/`, and what the files hold.
type Tree = BTreeMap<String, String>;

fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tree {
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

// The laws.

fn break_floors(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in tree {
        let Some(floor) = Floor::of(path) else {
            broken.push(format!("{path} stands on no floor: it is missing in the table"));
            continue;
        };
        for import in imports(path, text, tree) {
            match Floor::of(&import) {
                Some(other) if !floor.may_import(other) => {
                    broken.push(format!("{path} ({floor:?}) imports {import} ({other:?})"));
                }
                Some(_) | None => {}
            }
        }
    }
    broken
}

/// Files that can be reached from themselves; those of one knot are named together.
fn run_in_circles(tree: &Tree) -> Vec<String> {
    let graph: BTreeMap<&str, BTreeSet<String>> =
        tree.iter().map(|(path, text)| (path.as_str(), imports(path, text, tree))).collect();
    let reached_from = |start: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(path) = next.pop() {
            for import in &graph[path.as_str()] {
                if seen.insert(import.clone()) {
                    next.push(import.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = graph.keys().map(|path| (*path, reached_from(path))).collect();
    let mut knots = BTreeSet::new();
    for (path, files) in &reached {
        let knot: Vec<&str> = files.iter().map(String::as_str).filter(|file| reached[file].contains(*path)).collect();
        if !knot.is_empty() {
            knots.insert(format!("these import each other in a circle: {}", knot.join(", ")));
        }
    }
    knots.into_iter().collect()
}

fn are_too_long(tree: &Tree) -> Vec<String> {
    let lines = tree.iter().map(|(path, text)| (path, text.lines().count()));
    lines.filter(|(_, lines)| *lines > LONGEST).map(|(path, lines)| format!("{path} has {lines} lines")).collect()
}

fn expose_secrets(tree: &Tree) -> Vec<String> {
    let exposing = tree.iter().filter(|(_, text)| text.contains("expose_secret")).map(|(path, _)| path);
    exposing.filter(|path| !EXPOSING.contains(&path.as_str())).map(|path| format!("{path} exposes secrets")).collect()
}

fn allows_unsafe(manifest: &str) -> bool {
    let mut section = "";
    !manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[lints.rust]" && line == "unsafe_code = \"forbid\""
    })
}

// Reading imports.

/// The files of `tree` that the file at `path` imports, in `use` lines and inline: by a path that begins with `crate`, `super`,
/// `self` or a module that the file declares. What stands under `#[cfg(test)]` is no part of the crate and is left out, and so
/// is what an exported macro writes into other crates.
fn imports(path: &str, text: &str, tree: &Tree) -> BTreeSet<String> {
    let words = words(text);
    let words = without_tests_and_exported_macros(&words);
    let module = module_of(path);
    let children: BTreeSet<&str> = words.windows(3).filter(|w| w[0] == "mod" && w[2] == ";").map(|w| w[1]).collect();
    let (mut found, mut inline, mut depth) = (BTreeSet::new(), Vec::new(), 0);
    for (at, word) in words.iter().enumerate() {
        let before = |by: usize| at.checked_sub(by).map_or("", |at| words[at]);
        match *word {
            "{" => {
                depth += 1;
                if before(2) == "mod" {
                    inline.push((depth, before(1)));
                }
            }
            "}" => {
                inline.pop_if(|(opened, _)| *opened == depth);
                depth -= 1;
            }
            // The tail of a longer path; one that says how far something is seen; no path at all.
            _ if before(1) == "::" || before(1) == "in" || words.get(at + 1) != Some(&"::") => {}
            first => {
                let from = match first {
                    "crate" => Vec::new(),
                    "self" | "super" => module.iter().copied().chain(inline.iter().map(|(_, name)| *name)).collect(),
                    child if children.contains(child) => module.clone(),
                    _ => continue,
                };
                let mut named = Vec::new();
                follow(from, &words[at..], &mut named);
                found.extend(named.iter().filter_map(|named| file_of(named, tree)).filter(|file| file != path));
            }
        }
    }
    found
}

/// Puts each whole path that begins at the front of `words` into `named`, and says how many words they take up.
fn follow<'a>(mut path: Vec<&'a str>, words: &[&'a str], named: &mut Vec<Vec<&'a str>>) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match *word {
            "{" => {
                at += 1;
                while !matches!(words.get(at), Some(&"}") | None) {
                    at += follow(path.clone(), &words[at..], named);
                    // `as` and another name; then the comma.
                    at += words[at..].iter().take_while(|word| !matches!(**word, "," | "}")).count();
                    at += usize::from(words.get(at) == Some(&","));
                }
                return at + 1;
            }
            "super" => drop(path.pop()),
            "crate" | "self" => {}
            name => path.push(name),
        }
        at += 1;
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    named.push(path);
    at
}

/// The module that a file is.
fn module_of(path: &str) -> Vec<&str> {
    let stem = path.trim_end_matches(".rs");
    stem.split('/').filter(|part| !matches!(*part, "lib" | "mod")).collect()
}

/// The file that holds what a path names: that of the longest part of it that is a module.
fn file_of(named: &[&str], tree: &Tree) -> Option<String> {
    let files = (1..=named.len()).rev().flat_map(|length| {
        let module = named[..length].join("/");
        [format!("{module}.rs"), format!("{module}/mod.rs")]
    });
    files.chain(["lib.rs".to_owned()]).find(|file| tree.contains_key(file))
}

/// `words` without the items under `#[cfg(test)]` and `#[macro_export]`.
fn without_tests_and_exported_macros(words: &[String]) -> Vec<&str> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let marks: [&[&str]; 2] = [&["#", "[", "cfg", "(", "test", ")", "]"], &["#", "[", "macro_export", "]"]];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let Some(mark) = marks.iter().find(|mark| words[at..].starts_with(mark)) else {
            kept.push(words[at]);
            at += 1;
            continue;
        };
        at += mark.len();
        let mut open = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            match *word {
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => open -= 1,
                _ => {}
            }
            if open == 0 && (*word == ";" || (*word == "}" && words.get(at) != Some(&";"))) {
                break;
            }
        }
    }
    kept
}

/// The words and signs of a source text, without comments and without what stands between quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            // A character, or else the name of a lifetime.
            let is_character = rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'');
            if is_character { quoted(rest, '\'') } else { 1 }
        } else {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let length = if word > 0 { word } else { first.len_utf8() + usize::from(rest.starts_with("::")) };
            if !first.is_whitespace() {
                words.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the literal at the front of `text`, with both quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string at the front of `text`, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| start + end + close.len()))
}

// The crate.

fn sources() -> Tree {
    fn read(folder: &Path, root: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, root, tree);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                tree.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let (root, mut tree) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Tree::new());
    read(&root, &root, &mut tree);
    assert!(tree.contains_key("lib.rs"), "no sources found in {}", root.display());
    tree
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn imports_go_down_only() {
    assert_eq!(break_floors(&sources()), nothing());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(run_in_circles(&sources()), nothing());
}

#[test]
fn no_file_is_over_400_lines() {
    assert_eq!(are_too_long(&sources()), nothing());
}

#[test]
fn four_files_look_at_secrets() {
    assert_eq!(expose_secrets(&sources()), nothing());
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(!allows_unsafe(&fs::read_to_string(manifest).unwrap()));
}

#[test]
fn the_crates_own_imports_are_read() {
    let sources = sources();
    let imports = |path: &str| imports(path, &sources[path], &sources);
    assert!(
        imports("store/contract.rs")
            .is_superset(&["id.rs", "store/error.rs", "store/record.rs"].map(str::to_owned).into())
    );
    assert!(imports("lib.rs").contains("tokens.rs"), "the front page re-exports by the names of its modules");
}

// The controls: what the laws must find in a tree that breaks them.

#[test]
fn control_imports_that_go_up_or_across_are_found() {
    let planted = tree([
        ("lib.rs", "mod tokens; mod store; pub use tokens::Tokens; pub use store::memory::MemoryStore;"),
        ("tokens.rs", "use crate::policy::rest::Rest;"),
        ("id.rs", "fn up() -> crate::Session { crate::session::handle::up() }"),
        ("policy/rest.rs", "use {std::fmt, crate::store::{contract::{self, TokenStore}, error as failure}};"),
        ("store/contract.rs", "mod inner { use super::super::memory::MemoryStore; }"),
        ("store/error.rs", ""),
        ("store/memory.rs", "use crate::session::handle::Session;"),
        ("store/mod.rs", "pub(crate) mod contract; pub(crate) mod memory;"),
        ("session/handle.rs", "use crate::store::memory::MemoryStore; use crate::flight::Flight;"),
        ("flight.rs", "use crate::refresh::wire;\nuse crate::builder::SessionBuilder;"),
        ("refresh/wire.rs", ""),
        ("builder.rs", "use crate::session::handle::Session; use crate::store::memory::MemoryStore;"),
        ("helpers.rs", ""),
    ]);
    let found = break_floors(&planted);
    let expected = [
        "flight.rs (Engine) imports builder.rs (Door)",
        "flight.rs (Engine) imports refresh/wire.rs (Adapters)",
        "helpers.rs stands on no floor: it is missing in the table",
        "id.rs (Words) imports lib.rs (Roof)",
        "id.rs (Words) imports session/handle.rs (Engine)",
        "policy/rest.rs (Judgement) imports store/contract.rs (Contracts)",
        "policy/rest.rs (Judgement) imports store/error.rs (Contracts)",
        "session/handle.rs (Engine) imports store/memory.rs (Adapters)",
        "store/contract.rs (Contracts) imports store/memory.rs (Adapters)",
        "store/memory.rs (Adapters) imports session/handle.rs (Engine)",
        "tokens.rs (Words) imports policy/rest.rs (Judgement)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn control_circles_are_found() {
    let planted = tree([
        ("lib.rs", "mod error; mod event;"),
        ("error.rs", "use crate::id::SessionId;"),
        ("event.rs", "use crate::error::AuthError;"),
        ("id.rs", "fn name() -> super::event::Event { loop {} }"),
        ("session/mod.rs", "mod handle; pub use handle::Session;"),
        ("session/handle.rs", "use crate::session::Session;"),
    ]);
    let expected = [
        "these import each other in a circle: error.rs, event.rs, id.rs",
        "these import each other in a circle: session/handle.rs, session/mod.rs",
    ];
    assert_eq!(run_in_circles(&planted), expected);
}

#[test]
fn control_what_is_no_import_is_passed_over() {
    let planted = tree([
        ("lib.rs", ""),
        ("session/handle.rs", ""),
        (
            "id.rs",
            r##"
            //! See [`Session`](crate::Session). /* "
            /* use crate::session::handle::Session; */
            const PATHS: [&str; 3] = ["crate::session::handle", "\"crate::Session", r#"" crate::Session"#];
            const QUOTES: [char; 3] = ['"', '\'', '\\'];
            pub(in crate::session) fn visible<'a>(text: &'a str) -> std::session::handle::Text<'a> {}
            mod inner { use super::PATHS; use self::deep::X; mod deep { pub use super::super::QUOTES as X; } }
            #[cfg(test)]
            use crate::session::{handle::Session};
            #[cfg(test)]
            #[expect(dead_code)]
            mod tests { use super::*; use crate::session::handle::Session; fn f() { if true {} } }
            #[macro_export]
            macro_rules! elsewhere { ($name:ident) => { mod $name { use super::*; use $crate::Session; } }; }
            "##,
        ),
        ("clock.rs", "#[cfg(test)] mod tests { fn f() {} } fn after_tests() { crate::session::handle::up() }"),
    ]);
    assert_eq!(break_floors(&planted), ["clock.rs (Words) imports session/handle.rs (Engine)"]);
    assert_eq!(run_in_circles(&planted), nothing());
}

#[test]
fn control_long_files_exposed_secrets_and_unsafe_code_are_found() {
    let (short, long) = ("\n".repeat(400), "\n".repeat(401));
    let planted = tree([("id.rs", &*short), ("flight.rs", &long)]);
    assert_eq!(are_too_long(&planted), ["flight.rs has 401 lines"]);

    let exposing = "token.expose_secret()";
    let planted = tree([("tokens.rs", exposing), ("flight.rs", exposing), ("id.rs", "")]);
    assert_eq!(expose_secrets(&planted), ["flight.rs exposes secrets"]);

    assert!(allows_unsafe("[lints.rust]\nmissing_docs = \"warn\"\n"));
    assert!(allows_unsafe("[lints.rust]\nunsafe_code = \"warn\"\n"));
    assert!(allows_unsafe("[lints.clippy]\nunsafe_code = \"forbid\"\n"));
}
