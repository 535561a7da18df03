//! The folder that the files are in, and all that is done to it: the one place where systems differ.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::Folder;
#[cfg(windows)]
pub(crate) use windows::Folder;
