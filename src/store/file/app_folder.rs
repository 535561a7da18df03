//! Where this system wants a program to keep its state.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// There is no folder for this program's state.
///
/// A service without a home has none; it should name a folder with [`FileStore::new`](crate::FileStore::new).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAppFolder {
    /// The environment names no home to put it in.
    NoHome,
    /// The program's name cannot be that of a folder: it is empty, begins or ends with a dot or a space, or holds a
    /// separator or a sign that some system forbids.
    UnfitName,
}

impl fmt::Display for NoAppFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHome => "the environment names no home folder to keep the program's state in",
            Self::UnfitName => "the program's name cannot be the name of a folder",
        })
    }
}

impl Error for NoAppFolder {}

/// The folder in which a program of this name keeps its state on this machine.
pub(crate) fn app_folder(name: &str) -> Result<PathBuf, NoAppFolder> {
    if !is_fit(name) {
        return Err(NoAppFolder::UnfitName);
    }
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| home.is_absolute());
    let state = if cfg!(windows) {
        // The roaming folder beside it would carry tokens to other machines.
        variable("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        let service = || env::var_os("STATE_DIRECTORY").and_then(|folders| first_of(&folders));
        service().or_else(|| variable("XDG_STATE_HOME")).or_else(|| home().map(|home| home.join(".local/state")))
    };
    state.map(|state: PathBuf| state.join(Path::new(name))).ok_or(NoAppFolder::NoHome)
}

/// The first folder that systemd gives a service. The program's own is made in it: with `DynamicUser=` this one is a link, and
/// the service may keep other things there.
fn first_of(folders: &OsStr) -> Option<PathBuf> {
    env::split_paths(folders).next().filter(|folder| folder.is_absolute())
}

fn is_fit(name: &str) -> bool {
    let ends = |c: char| c == '.' || c.is_whitespace();
    let forbidden = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    !name.is_empty() && !name.starts_with(ends) && !name.ends_with(ends) && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn the_first_folder_of_a_service_is_taken() {
        let first = |folders: &str| first_of(OsStr::new(folders)).map(|path| path.display().to_string());
        assert_eq!(first("/var/lib/a").as_deref(), Some("/var/lib/a"));
        assert_eq!(first("/var/lib/a:/var/lib/b").as_deref(), Some("/var/lib/a"));
        for none in ["", ":/var/lib/b", "a", "a:/b"] {
            assert_eq!(first(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_must_be_one_of_a_folder() {
        for name in ["my-app", "My App", "com.example.app", "\u{e9}", "a"] {
            assert!(app_folder(name).is_ok_and(|path| path.is_absolute() && path.ends_with(name)), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/a", "a\\b", "a:b", "a\0", " a", "a ", "a.", ".a", "a|b", "a\n"] {
            assert_eq!(app_folder(name), Err(NoAppFolder::UnfitName), "{name}");
        }
    }
}
