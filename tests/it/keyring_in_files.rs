//! A keyring that several processes see, as they see the one of the system.

use std::any::Any;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest_auth_refresh::keyring_core::api::{CredentialApi, CredentialStoreApi};
use reqwest_auth_refresh::keyring_core::{Credential, CredentialStore, Entry, Error, Result};

/// A folder with a file for each entry.
#[derive(Debug, Clone)]
pub(crate) struct KeyringInFiles(PathBuf);

impl KeyringInFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// How a store connects to it.
    pub(crate) fn connecting(self) -> impl Fn() -> Result<Arc<CredentialStore>> + Send + Sync + 'static {
        move || Ok(Arc::new(self.clone()))
    }
}

impl CredentialStoreApi for KeyringInFiles {
    fn vendor(&self) -> String {
        "files".to_owned()
    }

    fn id(&self) -> String {
        "files".to_owned()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let name: Vec<String> = [service, user].concat().bytes().map(|byte| format!("{byte:02x}")).collect();
        let specifiers = (service.to_owned(), user.to_owned());
        Ok(Entry::new_with_credential(Arc::new(InFile { file: self.0.join(name.concat()), specifiers })))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct InFile {
    file: PathBuf,
    specifiers: (String, String),
}

impl CredentialApi for InFile {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        fs::write(&self.file, secret).map_err(|error| Error::PlatformFailure(error.into()))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        fs::read(&self.file).map_err(|_not_there| Error::NoEntry)
    }

    fn delete_credential(&self) -> Result<()> {
        fs::remove_file(&self.file).map_err(|_not_there| Error::NoEntry)
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some(self.specifiers.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
