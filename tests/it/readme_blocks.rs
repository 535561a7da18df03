//! Every block of code in the README is code that ran: the first one in `hero`, one that names an example in that example,
//! and each other one as a file below `readme/`, which `readme` includes and calls.
//!
//! The law is a function over texts, so that a block which was changed can be held against it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names and what the files hold.
type Files = BTreeMap<String, String>;

/// A block of code, from the README's line `line` on.
struct Block<'a> {
    line: usize,
    /// The example that it says it is from.
    from: Option<&'a str>,
    code: Vec<&'a str>,
}

/// What is no code: `rustdoc` takes everything else for Rust.
const PLAIN: [&str; 3] = ["text", "toml", "console"];

fn blocks(readme: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut open, mut before) = (Vec::new(), None::<(bool, Block<'_>)>, "");
    for (at, line) in readme.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some((is_code, block))) => blocks.extend(is_code.then_some(block)),
            (Some(kind), None) => {
                let from = before.strip_prefix("<!-- from ").and_then(|from| from.strip_suffix(" -->"));
                open = Some((!PLAIN.contains(&kind), Block { line: at + 1, from, code: Vec::new() }));
            }
            (None, Some((is_code, mut block))) => {
                block.code.push(line.trim());
                open = Some((is_code, block));
            }
            (None, None) => {}
        }
        before = line;
    }
    blocks
}

fn lines(text: &str) -> Vec<&str> {
    text.trim().lines().map(str::trim).collect()
}

/// Without what is imported, and without empty lines before the rest.
fn without_imports<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let (mut kept, mut importing) = (Vec::new(), false);
    for line in lines {
        importing |= line.starts_with("use ");
        if !(importing || kept.is_empty() && line.is_empty()) {
            kept.push(*line);
        }
        importing &= !line.ends_with(';');
    }
    kept
}

/// What is wrong with a README: a block that did not run as it stands there, and a file that is in no block.
fn did_not_run(readme: &str, snippets: &Files, runner: &str, examples: &Files) -> Vec<String> {
    let (mut wrong, mut used) = (Vec::new(), Vec::new());
    // The first one is held by `hero`.
    for Block { line, from, code } in blocks(readme).into_iter().skip(1) {
        let ran = if let Some(from) = from {
            let code = without_imports(&code);
            let example = examples.get(from).map(|text| lines(text)).unwrap_or_default();
            !code.is_empty() && example.windows(code.len()).filter(|part| *part == code).count() == 1
        } else {
            let same: Vec<_> = snippets.iter().filter(|(_, text)| lines(text) == code).map(|(name, _)| name).collect();
            used.extend(same.clone());
            same.len() == 1
        };
        if !ran {
            wrong.push(format!("the block in line {line} did not run"));
        }
    }
    for name in snippets.keys() {
        if used.iter().filter(|used| **used == name).count() != 1 {
            wrong.push(format!("{name} is not in one block"));
        }
        if runner.matches(&format!("include!(\"readme/{name}\");")).count() != 1 {
            wrong.push(format!("{name} is not run"));
        }
    }
    wrong
}

/// The files in a folder of the repository, and below it, by their paths from `root` on.
fn files(root: &Path, folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut self::files(root, &path));
        } else {
            let name = path.strip_prefix(root).unwrap().components().map(|part| part.as_os_str().to_str().unwrap());
            files.insert(name.collect::<Vec<_>>().join("/"), fs::read_to_string(&path).unwrap());
        }
    }
    files
}

/// The README, and what it is held against.
fn repository() -> (String, Files, String, Files) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let snippets = root.join("tests/it/readme");
    (text("README.md"), files(&snippets, &snippets), text("tests/it/readme.rs"), files(root, &root.join("examples")))
}

#[test]
fn every_block_of_the_readme_ran() {
    let (readme, snippets, runner, examples) = repository();
    assert_eq!(did_not_run(&readme, &snippets, &runner, &examples), Vec::<String>::new());
    let blocks = blocks(&readme);
    assert!(blocks[0].code.contains(&"#[tokio::main]"), "the first one is the hero");
    let from_examples = blocks.iter().filter(|block| block.from.is_some()).count();
    assert_eq!(blocks.len(), 1 + from_examples + snippets.len());
    println!("figure: readme_blocks_run = {} blocks", blocks.len());
}

/// The control: each block with a line more, in turn; then what else the law is to notice.
#[test]
fn a_block_that_was_changed_is_noticed() {
    let (readme, snippets, runner, examples) = repository();
    let wrong = |readme: &str| did_not_run(readme, &snippets, &runner, &examples);
    for block in blocks(&readme).iter().skip(1) {
        let with_line = |more: &str| -> String {
            let lines = readme.lines().enumerate();
            lines
                .map(|(at, text)| if at == block.line { format!("{more}{text}\n") } else { format!("{text}\n") })
                .collect()
        };
        assert_eq!(wrong(&with_line("")), Vec::<String>::new());
        let found = wrong(&with_line("fn more() {}\n"));
        assert!(found[0].contains(&format!("line {} ", block.line)), "{found:?}");
        assert_eq!(found.len(), 1 + usize::from(block.from.is_none()), "{found:?}");
    }
    let unknown = format!("{readme}\n```rust,no_run\nfn nobody_called() {{}}\n```\n");
    assert_eq!(wrong(&unknown).len(), 1);
    assert_eq!(
        wrong(&unknown.replace("```rust,no_run\nfn nobody", "```\nfn nobody")).len(),
        1,
        "to rustdoc it is Rust"
    );
    assert_eq!(wrong(&unknown.replace("```rust,no_run\nfn nobody", "```text\nfn nobody")).len(), 0);
    assert_eq!(wrong(&readme.replace("<!-- from examples/axios", "<!-- from examples/another")).len(), 1);

    let mut more = snippets.clone();
    more.insert("left_over.rs".to_owned(), "fn left_over() {}".to_owned());
    let found = did_not_run(&readme, &more, &runner, &examples);
    assert_eq!(found, ["left_over.rs is not in one block", "left_over.rs is not run"]);
    let silent = runner.replace("include!(\"readme/demand.rs\");", "");
    assert_eq!(did_not_run(&readme, &snippets, &silent, &examples), ["demand.rs is not run"]);
}
