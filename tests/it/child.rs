//! This test binary, started again as another process that plays one part.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Another process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the ignored test of this name, which must look for these variables and do nothing without them.
    pub(crate) fn start<V: AsRef<OsStr>>(test: &str, variables: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", test, "--ignored", "--nocapture"]).envs(variables);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Waits until the process says this.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let mut said = String::new();
        while said.trim_end() != line {
            said.clear();
            assert_ne!(self.said.read_line(&mut said).unwrap(), 0, "ended without saying {line:?}");
        }
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
