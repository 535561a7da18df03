//! What a holder has of a lock of the store in memory.

use std::sync::Arc;

use reqwest_auth_refresh::{LockGuard, LockReach, async_trait};

use super::{Fault, Lease, Shared};

/// A lock of the store in memory.
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) holder: u64,
    pub(super) released: bool,
}

impl Guard {
    fn is_ours(&self) -> bool {
        self.shared.leases.lock().unwrap().get(&self.name).is_some_and(|lease| lease.holder == self.holder)
    }

    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.released, true) {
            if self.is_ours() {
                self.shared.leases.lock().unwrap().remove(&self.name);
            }
            if let Some(queued) = self.shared.queued.lock().unwrap().get_mut(&self.name).filter(|queued| **queued > 0) {
                // Handed to the first waiter, who may be gone.
                *queued -= 1;
                let lease = Lease { holder: u64::MAX, handle: u64::MAX, until: u64::MAX };
                self.shared.leases.lock().unwrap().insert(self.name.clone(), lease);
            }
            self.shared.released.notify_waiters();
        }
    }
}

#[async_trait]
impl LockGuard for Guard {
    fn is_held(&self) -> bool {
        matches!(self.shared.fault, Fault::NeverLooks | Fault::LeaseRunsOut | Fault::LocksNobodyOut) || self.is_ours()
    }

    fn reach(&self) -> LockReach {
        if self.shared.fault == Fault::SaysItIsALease { LockReach::Lease } else { LockReach::ThisProcess }
    }

    async fn release(mut self: Box<Self>) {
        if self.shared.fault == Fault::ReleasesNothing {
            self.released = true;
        }
        self.give_back();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.shared.fault != Fault::LocksForGood {
            self.give_back();
        }
    }
}
