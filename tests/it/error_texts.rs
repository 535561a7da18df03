//! What a refresher's error says.

use std::error::Error;

use reqwest_auth_refresh::RefreshError;

/// Everything that an error says, all the way down; never a secret.
pub(crate) fn told(error: &RefreshError) -> String {
    let mut told = Vec::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        told.push(format!("{error} | {error:?} | {error:#?}"));
        next = error.source();
    }
    let told = told.join("\n");
    assert!(!told.contains("canary"), "{told}");
    told
}

/// Whether an error carries this mark, which only its `Debug` shows.
pub(crate) fn is_marked(error: &RefreshError, mark: &str) -> bool {
    format!("{error:?}").contains(&format!("{mark}: true"))
}
