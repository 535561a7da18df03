//! Another process that opens the same store, as a law has it: told what to do, line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::store::conformance::part::SAYS;
use crate::store::conformance::subject::{PLACE, Subject};
use crate::store::error::StoreError;

/// Another process, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    told: Option<ChildStdin>,
    says: UnboundedReceiver<String>,
    patience: Duration,
}

impl Process {
    /// Starts this program again, to play its part in the same place.
    pub(crate) fn start(subject: &Subject) -> Result<Self, StoreError> {
        let needed =
            "a store that other processes see is made by `Subject::at`, in the macro or with `other_process_is`";
        let (place, test) = subject.other_process().ok_or_else(|| StoreError::unavailable(needed))?;
        let program = std::env::current_exe().map_err(StoreError::unavailable)?;
        let mut command = Command::new(program);
        command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]).env(PLACE, place);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(StoreError::unavailable)?;
        let (told, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, says) = unbounded_channel();
        // Ends with the process.
        let _reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
                if let Some((_harness, said)) = line.split_once(SAYS) {
                    sender.send(said.to_owned()).ok()?;
                }
            }
            Some(())
        });
        Ok(Self { child, told, says, patience: subject.bound() })
    }

    /// Tells it to do this.
    pub(crate) fn tell(&mut self, what: &str) -> Result<(), StoreError> {
        let told = self.told.as_mut().ok_or_else(|| StoreError::unavailable("the other process hears nothing"))?;
        writeln!(told, "{what}").map_err(StoreError::unavailable)
    }

    /// What it says next.
    pub(crate) async fn hear(&mut self) -> Result<String, StoreError> {
        let said = tokio::time::timeout(self.patience, self.says.recv()).await.ok().flatten();
        said.ok_or_else(|| StoreError::unavailable("the other process has ended, or says nothing"))
    }

    /// Tells it to do this, and hears what came of it.
    pub(crate) async fn ask(&mut self, what: &str) -> Result<String, StoreError> {
        self.tell(what)?;
        self.hear().await
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) fn kill(mut self) -> Result<(), StoreError> {
        self.end().map_err(StoreError::unavailable)
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.end();
    }
}
