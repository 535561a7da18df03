//! This test binary, started again as another process that plays one part.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{bounded_thread, until_blocking};

/// The longest that anybody waits for another process. The longest torture takes a part of it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Set in a process that runs one test by itself.
const ALONE: &str = "TEST_ALONE";

/// Whether this process runs the test of this name and nothing beside it.
///
/// If not, another process does so now: its output is printed here, and if it fails, so does the caller. For tests that read
/// or change what all threads of a process share.
pub(crate) fn alone(test: &'static str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut program = this_program(&["--exact", test, "--nocapture", "--test-threads=2"]);
    program.env(ALONE, test).stdin(Stdio::null());
    let ended = bounded_thread(PATIENCE, test, move || program.output().unwrap());
    let said = String::from_utf8_lossy(&ended.stdout);
    print!("{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("1 passed"), "{test} by itself: {}", ended.status);
    false
}

fn this_program(arguments: &[&str]) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(arguments);
    program
}

/// Another process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The whole lines that it says; a line whose end was cut off by a kill is none.
    said: Receiver<String>,
}

impl Process {
    /// Starts the ignored test of this name, which must look for these variables and do nothing without them.
    pub(crate) fn start<V: AsRef<OsStr>>(test: &str, variables: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        // With one thread only, the first line would begin with the name of the test.
        let mut program = this_program(&["--exact", test, "--ignored", "--nocapture", "--test-threads=2"]);
        program.envs(variables).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (line, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut next = String::new();
            while lines.read_line(&mut next).is_ok() && next.ends_with('\n') {
                // It reads on when nobody listens any more, or the process would stand still.
                let _heard = line.send(std::mem::take(&mut next));
            }
        });
        Self { child, said }
    }

    /// Waits until the process says this.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let rest = self.wait_for_front(line);
        assert_eq!(rest, "", "after {line:?}");
    }

    /// Waits for a line that begins so, and returns its rest.
    pub(crate) fn wait_for_front(&mut self, front: &str) -> String {
        let began = Instant::now();
        loop {
            let said = match self.said.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(said) => said,
                Err(RecvTimeoutError::Timeout) => panic!("waited {} s for {front:?}", PATIENCE.as_secs()),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without saying {front:?}"),
            };
            if let Some(rest) = said.strip_prefix(front) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Tells it this.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// `kill -9`; returns the whole lines that were not read yet.
    pub(crate) fn kill_and_hear(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.iter().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Hears every line from now on, on a thread of its own, up to the end of the process.
    pub(crate) fn listen(&mut self, hear: impl Fn(&str) + Send + 'static) -> JoinHandle<()> {
        let said = std::mem::replace(&mut self.said, mpsc::channel().1);
        std::thread::spawn(move || said.iter().for_each(|line| hear(line.trim_end())))
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end, which must be a good one.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        let ended = until_blocking(PATIENCE, "the end of a process", || self.child.try_wait().unwrap());
        assert!(ended.success(), "{ended}");
    }
}
