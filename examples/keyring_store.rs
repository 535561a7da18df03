//! A program that keeps its login in files which only the system's keyring opens, and in plain files where there is none.
//!
//! An issuer and an API run on loopback. The program runs three times: it logs in, it is still logged in, and it logs out.
//! Each run opens the store anew and knows nothing of the one before.
//!
//! Run it with `cargo run --example keyring_store`. It leaves nothing behind: the folder is a temporary one, and unless you
//! say `-- system` the keyring is a mock that lasts as long as the example. With `-- system` it asks the keyring of your
//! system, where it leaves a key named `reqwest-auth-refresh-example`.
#![allow(clippy::print_stdout, reason = "it tells its story")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use reqwest_auth_refresh::keyring_core::{self, CredentialStore, mock};
use reqwest_auth_refresh::{AuthRefresh, KeyringStore, Origins, RefreshGrant, Session, State, Tokens};
use reqwest_middleware::ClientBuilder;

use crate::support::{Api, Issuer};

#[path = "../tests/support/mod.rs"]
mod support;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let folder = Folder(std::env::temp_dir().join(format!("keyring-store-example-{}", std::process::id())));

    // The first run: nobody is logged in.
    let session = open(&issuer, &folder.0).await?;
    session.login(Tokens::from_json(issuer.login("alice").to_string())?).await?;
    println!("first run:  logged in; on the disk are {}", on_the_disk(&folder.0)?);
    drop(session);

    // The next one: it still is, though the access token has been revoked meanwhile.
    issuer.revoke_access("alice");
    let session = open(&issuer, &folder.0).await?;
    let auth = AuthRefresh::new(&session, Origins::new(api.url())?);
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let status = client.get(api.at("/me")).send().await?.status();
    println!("second run: the API says {status}, after {} refresh", issuer.counts().token_calls);
    session.logout().await?;
    drop((session, client));

    // And the last: logged out, and it stays so.
    let session = open(&issuer, &folder.0).await?;
    let nobody = session.access_token().await.is_err() && matches!(session.state(), State::LoggedOut { .. });
    println!("third run:  {}", if nobody { "logged out" } else { "still logged in" });
    println!("keyring_store: {}", if status == 200 && nobody { "the login lasted as long as it should" } else { "no" });
    Ok(())
}

/// What each run of the program begins with: keyring, else files.
async fn open(issuer: &Issuer, folder: &Path) -> Result<Session> {
    // A program would say `KeyringStore::for_app("my-app")?`.
    let store = KeyringStore::new(folder, "reqwest-auth-refresh-example");
    let store = if std::env::args().any(|argument| argument == "system") { store } else { store.keyring(mocked) };
    let store = store.or_file().await?;
    Ok(Session::builder(RefreshGrant::new(issuer.token_url(), "keyring-store")?).store(store).build())
}

/// A keyring that lasts as long as the example.
fn mocked() -> keyring_core::Result<Arc<CredentialStore>> {
    static MOCK: LazyLock<keyring_core::Result<Arc<mock::Store>>> = LazyLock::new(mock::Store::new);
    match &*MOCK {
        Ok(store) => Ok(Arc::<mock::Store>::clone(store)),
        Err(_) => Err(keyring_core::Error::NoDefaultStore),
    }
}

/// Whether the tokens can be read there.
fn on_the_disk(folder: &Path) -> Result<&'static str> {
    for file in std::fs::read_dir(folder)? {
        let bytes = std::fs::read(file?.path())?;
        if bytes.windows(14).any(|window| window == b"\"access_token\"") {
            return Ok("plain tokens, since there is no keyring");
        }
    }
    Ok("sealed tokens; the keyring has the key")
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _not_made = std::fs::remove_dir_all(&self.0);
    }
}
