//! Which records are this session's to use: those of its own registration, and of those that it had before.

use std::sync::Arc;

/// What the records of a session belong to. None is a registration like any other: it equals only none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registration {
    /// What is written.
    pub(crate) current: Option<Arc<str>>,
    /// What is read all the same, and written anew as the current one.
    pub(crate) earlier: Vec<Option<Arc<str>>>,
}

impl Registration {
    pub(crate) fn owns(&self, registration: Option<&str>) -> bool {
        let mut all = std::iter::once(&self.current).chain(&self.earlier);
        all.any(|own| own.as_deref() == registration)
    }
}
