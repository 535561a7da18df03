//! Two programs of two registrations over one folder: `--env staging` beside `--env prod`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest_auth_refresh::{FileStore, Sealed, SealingKey, TokenStore};

use super::{Service, bytes};
use crate::child::Process;
use crate::scratch::Scratch;

/// Where the other program finds the folder, and whether it seals. Without it there is no other program.
const FOLDER: &str = "REGISTRATION_CHILD_FOLDER";
const SEALED: &str = "REGISTRATION_CHILD_SEALED";

fn open(folder: PathBuf, sealed: bool) -> Arc<dyn TokenStore> {
    let files = FileStore::new(folder);
    if sealed { Arc::new(Sealed::new(files, SealingKey::new("key", &[7; 32]).unwrap())) } else { Arc::new(files) }
}

/// The other program: all that it may do with a session, and what became of it.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let store = open(folder, std::env::var_os(SEALED).is_some());
    let service = Service::of("staging", Some("oauth staging"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let errors = runtime.block_on(async {
        let session = service.session(&store);
        [
            service.get(&session).await.err(),
            session.refresh().await.err(),
            session.login(service.tokens(0)).await.err(),
            session.logout().await.err(),
            session.flush().await.err(),
        ]
    });
    let misconfigured = errors.iter().flatten().filter(|error| error.is_misconfigured()).count();
    println!("met {misconfigured} {} {}", service.crossings(), service.calls());
}

#[tokio::test]
async fn two_programs_of_two_registrations_never_meet() {
    for sealed in [false, true] {
        let scratch = Scratch::new();
        let folder = scratch.join("tokens");
        let store = open(folder.clone(), sealed);
        let service = Service::of("prod", Some("oauth prod"));
        let session = service.builder(&store).lock_timeout(Duration::ZERO).build();
        session.login(service.tokens(0)).await.unwrap();
        let before = bytes(&store).await;

        let mut variables = vec![(FOLDER, folder.into_os_string())];
        variables.extend(sealed.then(|| (SEALED, "1".into())));
        let mut other = Process::start("registrations::processes::child", variables);
        let met = other.wait_for_front("met");
        // It is still there, holds no lock, and has changed nothing.
        session.refresh().await.unwrap();
        assert_eq!(met, "4 0 0", "requests, refresh, login and logout, and nothing crossed");
        assert_ne!(bytes(&store).await, before, "the refresh was saved");
        other.finish();
        assert_eq!((service.calls(), service.crossings()), (1, 0));
    }
}
