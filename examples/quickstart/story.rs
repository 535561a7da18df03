//! Tells what happens, and when.

#![expect(clippy::print_stdout, reason = "the story is for whoever runs the example")]

use std::time::{Duration, Instant};

/// A timeline on the terminal; copies tell the same story.
#[derive(Clone, Copy)]
pub(crate) struct Story(Instant);

impl Story {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    pub(crate) fn scene(title: &str) {
        println!("\n{title}");
    }

    pub(crate) fn tell(self, who: &str, what: &str) {
        println!("{:6.2} s  {who:<18} {what}", self.elapsed().as_secs_f64());
    }

    pub(crate) fn close(words: &str) {
        println!("\n{words}");
    }
}

/// A table of two sides, each row with a tick.
pub(crate) struct Table {
    all_right: bool,
}

impl Table {
    pub(crate) fn begin() -> Self {
        Self { all_right: true }
    }

    pub(crate) fn heading(left: &str, right: &str) {
        println!("\n{:<44} {left:>13} {right:>16}", "");
    }

    /// Both sides must be the same.
    pub(crate) fn same(&mut self, what: &str, left: usize, right: usize) {
        self.row(what, left, &right.to_string(), left == right);
    }

    /// The left side must be within these bounds.
    pub(crate) fn between(&mut self, what: &str, left: usize, least: usize, most: usize) {
        self.row(what, left, &format!("{least} to {most}"), (least..=most).contains(&left));
    }

    fn row(&mut self, what: &str, left: usize, right: &str, is_right: bool) {
        let tick = if is_right { "✓" } else { "✗ MISMATCH" };
        println!("{what:<44} {left:>13} {right:>16}  {tick}");
        self.all_right &= is_right;
    }

    pub(crate) fn is_all_right(&self) -> bool {
        self.all_right
    }
}
