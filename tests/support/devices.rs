//! Logging in on a device without a browser (RFC 8628): it shows a code, and somebody enters that elsewhere.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// The grant type by which a device asks for its tokens.
pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The devices that wait for their users.
#[derive(Debug, Default)]
pub(super) struct Devices(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    begun: u32,
    /// By device code: the code that is shown, and who has entered it.
    devices: HashMap<String, (String, Option<String>)>,
}

impl Devices {
    /// A device begins; what it is answered.
    pub(super) fn begin(&self, issuer: &str) -> Value {
        let mut waiting = self.waiting();
        waiting.begun += 1;
        let (device_code, user_code) = (format!("device-{}", waiting.begun), format!("CODE-{:04}", waiting.begun));
        let _none = waiting.devices.insert(device_code.clone(), (user_code.clone(), None));
        json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": format!("{issuer}/device"),
            "expires_in": 600,
            "interval": 1,
        })
    }

    /// Somebody enters the code that a device shows. False if none shows it.
    pub(super) fn approve(&self, user_code: &str, user: &str) -> bool {
        let mut waiting = self.waiting();
        let shown = waiting.devices.values_mut().find(|(shown, _)| shown == user_code);
        shown.map(|(_, by)| *by = Some(user.to_owned())).is_some()
    }

    /// Who has entered the code of this device, once; or the error code that it is answered with.
    pub(super) fn redeem(&self, device_code: &str) -> Result<String, &'static str> {
        let mut waiting = self.waiting();
        let (shown, by) = waiting.devices.remove(device_code).ok_or("expired_token")?;
        by.ok_or_else(|| {
            let _none = waiting.devices.insert(device_code.to_owned(), (shown, None));
            "authorization_pending"
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
