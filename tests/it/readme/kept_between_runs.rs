use reqwest_auth_refresh::{FileStore, NoAppFolder, RefreshGrant, Session};

fn session(grant: RefreshGrant) -> Result<Session, NoAppFolder> {
    // On Linux ~/.local/state/my-app: a file for each session, which nobody else may read.
    Ok(Session::builder(grant).store(FileStore::for_app("my-app")?).build())
}
