//! What went wrong with a file.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;

/// What was tried, where, and why it did not work. It never holds what is in the file.
#[derive(Debug)]
pub(crate) struct Trouble {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Trouble {
    pub(crate) fn new(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.to_owned(), source: source.into() }
    }

    /// Something that is there is not as it must be, and is not touched.
    pub(crate) fn refused(path: &Path, why: &'static str) -> Self {
        Self::new("use", path, io::Error::other(why))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), self.source)
    }
}

impl Error for Trouble {}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        Self::unavailable(trouble)
    }
}
