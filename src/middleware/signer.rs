//! What signs requests: everything that a trip needs to know.

use std::sync::Arc;
use std::time::Duration;

use crate::cookies::Cookies;
use crate::middleware::serving::{Serving, Whom};
use crate::middleware::special::Special;
use crate::policy::origins::Origins;
use crate::policy::paths::ExcludedPaths;

/// What an [`AuthRefresh`](crate::AuthRefresh) has been told, as the middleware that it is inside a client.
///
/// It is never handed out, so the program cannot put one into a client, nor change one that is in a client.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) whom: Whom,
    pub(crate) origins: Origins,
    pub(crate) excluded: ExcludedPaths,
    pub(crate) require_login: bool,
    pub(crate) early_wait: Duration,
    pub(crate) special: Option<Box<Special>>,
}

impl Signer {
    pub(crate) fn new(Serving(whom): Serving, origins: Origins) -> Self {
        let shared = whom.shared();
        let excluded = ExcludedPaths::default().and_endpoints(shared.info.endpoints(), &origins);
        // Sessions that live in cookies are refused where they would be many.
        let cookies = shared.info.cookies().filter(|_| shared.refusal.is_none()).cloned();
        let special = cookies.map(|cookies| {
            cookies.answer_for(&origins);
            Box::new(Special { cookies: Some(cookies), ..Special::default() })
        });
        Self { whom, origins, excluded, require_login: false, early_wait: Duration::from_secs(2), special }
    }

    /// The same inside a client that was built for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn tied(mut self) -> Self {
        if let Some(special) = &mut self.special {
            special.tied = true;
        }
        self
    }

    /// The cookies that the session lives in, if it does.
    pub(crate) fn cookies(&self) -> Option<&Arc<Cookies>> {
        self.special.as_ref()?.cookies.as_ref()
    }
}
