//! This test binary, started again as another process that plays one part.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// Another process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts the ignored test of this name, which must look for these variables and do nothing without them.
    pub(crate) fn start<V: AsRef<OsStr>>(test: &str, variables: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        // With one thread only, the first line would begin with the name of the test.
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=2"]).envs(variables);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = child.stdout.take().map(BufReader::new);
        Self { child, said }
    }

    /// Waits until the process says this.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let rest = self.wait_for_front(line);
        assert_eq!(rest, "", "after {line:?}");
    }

    /// Waits for a line that begins so, and returns its rest.
    pub(crate) fn wait_for_front(&mut self, front: &str) -> String {
        loop {
            let mut said = String::new();
            assert_ne!(self.said.as_mut().unwrap().read_line(&mut said).unwrap(), 0, "ended without saying {front:?}");
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
        let mut rest = Vec::new();
        self.said.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        // What comes after the last line end was cut off by the kill.
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8_lossy(&rest[..whole]).lines().map(str::to_owned).collect()
    }

    /// Hears every line from now on, on a thread of its own, up to the end of the process.
    pub(crate) fn listen(&mut self, hear: impl Fn(&str) + Send + 'static) -> JoinHandle<()> {
        let said = self.said.take().unwrap();
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| hear(&line)))
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end, which must be a good one.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}
