//! The program, run by the story.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{Result, app};

/// Where a program finds everything.
pub(crate) struct Terminal<'a> {
    pub(crate) issuer: String,
    pub(crate) api: String,
    pub(crate) folder: &'a Path,
}

/// A program that is running.
pub(crate) struct Program {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Terminal<'_> {
    pub(crate) fn start(&self, command: &str) -> Result<Program> {
        println!("$ cli_login {command}");
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(command).env(app::ISSUER, &self.issuer).env(app::API, &self.api).env(app::FOLDER, self.folder);
        let mut child = program.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().ok_or("nothing to read from")?;
        Ok(Program { child, said: BufReader::new(said) })
    }

    /// Runs a command to its end, and returns the last line that it said; `None` when it failed.
    pub(crate) fn run(&self, command: &str) -> Result<Option<String>> {
        self.start(command)?.finish()
    }
}

impl Program {
    /// The next line that it says.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let _length = self.said.read_line(&mut line)?;
        if !line.is_empty() {
            print!("  {line}");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Waits for the end; returns the last line, or `None` when it failed.
    pub(crate) fn finish(mut self) -> Result<Option<String>> {
        let mut last = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            last = line;
        }
        Ok(self.child.wait()?.success().then_some(last))
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let _dead = self.child.wait()?;
        println!("  (killed)");
        Ok(())
    }
}
