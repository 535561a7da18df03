//! A store and a refresher that fail in every way they can, with secrets at hand.
#![allow(clippy::wildcard_enum_match_arm, reason = "each method has faults of its own, and works in the others")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reqwest_auth_refresh::{
    Lock, LockGuard, LockReach, LockRequest, LoginId, MemoryStore, Record, RefreshError, RefreshRequest, Refresher,
    Revocation, SessionId, StoreError, Swap, TokenStore, Tokens, Version,
};
use secrecy::ExposeSecret;

use super::Shared;
use super::canaries::{ACCESS, REFRESH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    LoadUnavailable,
    LoadUnreadable,
    LoadNewer,
    LoadPanics,
    LoadStalls,
    LockUnavailable,
    LockBusy,
    LockPanics,
    LockLost,
    SaveUnavailable,
    SavePanics,
    SaveStalls,
    AnotherLogin,
}

pub(crate) const FAULTS: [Fault; 13] = [
    Fault::LoadUnavailable,
    Fault::LoadUnreadable,
    Fault::LoadNewer,
    Fault::LoadPanics,
    Fault::LoadStalls,
    Fault::LockUnavailable,
    Fault::LockBusy,
    Fault::LockPanics,
    Fault::LockLost,
    Fault::SaveUnavailable,
    Fault::SavePanics,
    Fault::SaveStalls,
    Fault::AnotherLogin,
];

/// Shows what it is given, and works, until it is given a fault.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    pub(crate) kept: MemoryStore,
    pub(crate) fault: Arc<Mutex<Fault>>,
    pub(crate) shown: Shared,
}

impl FaultyStore {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn show(&self, record: &Record) {
        self.shown.lock().unwrap().debug(record);
    }
}

/// What a parser would love to quote.
pub(crate) fn broken(major: u32) -> StoreError {
    let (access, refresh) = (ACCESS.secret(0), REFRESH.secret(0));
    let bytes = format!(r#"{{"major":{major},"login":"{access}","generation":"{refresh}","tokens":"{access}"}}"#);
    Record::from_bytes(bytes.as_bytes()).unwrap_err()
}

#[async_trait]
impl TokenStore for FaultyStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let record = self.kept.load(id).await?;
        if let Some(record) = &record {
            self.show(record);
        }
        match self.fault() {
            Fault::LoadUnavailable => return Err(StoreError::unavailable("the key chain is locked")),
            Fault::LoadUnreadable => return Err(broken(1)),
            Fault::LoadNewer => return Err(broken(2)),
            Fault::LoadPanics => panic!("while reading {}", ACCESS.secret(0)),
            Fault::LoadStalls => {}
            _ => return Ok(record),
        }
        std::future::pending().await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept.remove(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.show(new);
        match self.fault() {
            Fault::SaveUnavailable => return Err(StoreError::unavailable(std::io::Error::other("the disk is full"))),
            Fault::SavePanics => panic!("while writing {:?}", new.to_bytes()),
            Fault::SaveStalls => std::future::pending().await,
            Fault::AnotherLogin => {
                let tokens = Tokens::new(ACCESS.secret(99)).unwrap().with_refresh_token(REFRESH.secret(99));
                let version = Version::new(LoginId::from_bits(99), 1);
                let found = Record::of_tokens(new.session().clone(), version, tokens);
                let found = Swap::Found(Some(found.with_registration(new.registration().unwrap())));
                self.shown.lock().unwrap().debug(&found);
                return Ok(found);
            }
            _ => {}
        }
        let done = self.kept.swap(id, expected, new).await;
        self.shown.lock().unwrap().debug(&done);
        done
    }

    async fn lock(&self, _: &SessionId, _: LockRequest) -> Result<Lock, StoreError> {
        let fault = self.fault();
        let lock = match fault {
            Fault::LockUnavailable => return Err(StoreError::unavailable("no locks on this file system")),
            Fault::LockPanics => panic!("while locking for {}", REFRESH.secret(0)),
            Fault::LockBusy => Lock::Busy,
            Fault::None => Lock::NotShared,
            _ => Lock::Held(Box::new(Guard(fault == Fault::LockLost))),
        };
        self.shown.lock().unwrap().debug(&lock);
        Ok(lock)
    }
}

struct Guard(bool);

#[async_trait]
impl LockGuard for Guard {
    fn is_held(&self) -> bool {
        !self.0
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {}
}

/// What comes of a revocation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Revoking {
    Told,
    Fails,
    Panics,
    Stalls,
}

/// Never refreshes, and tells the issuer of a logout in this way.
pub(crate) struct Revoker {
    pub(crate) way: Revoking,
    pub(crate) shown: Shared,
}

#[async_trait]
impl Refresher for Revoker {
    async fn refresh(&self, _: RefreshRequest) -> Result<Tokens, RefreshError> {
        Err(RefreshError::unavailable("nobody asks"))
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.shown.lock().unwrap().debug(&request);
        match self.way {
            Revoking::Told => Ok(Revocation::Revoked),
            Revoking::Fails => Err(RefreshError::unavailable("the revocation endpoint answered 503")),
            Revoking::Panics => panic!("while revoking {}", request.refresh_token().unwrap().expose_secret()),
            Revoking::Stalls => std::future::pending().await,
        }
    }
}
