//! Mistakes that can be switched on in tests, so that the model can show that it would notice each of them.

/// Whether this mistake is made: never, outside the model that must notice it.
#[cfg(not(test))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}
#[cfg(test)]
macro_rules! mutant {
    ($name:ident) => {
        crate::session::core::mutants::switch::is_on(crate::session::core::mutants::switch::Mutant::$name)
    };
}
pub(crate) use mutant;

#[cfg(test)]
pub(crate) mod switch {
    use std::cell::Cell;

    /// One mistake in the core. (Three more are mistakes of whoever drives it, and are made in the model itself.)
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Mutant {
        AdoptOverDirtyLogin,
        AbsentMeansLogout,
        InstallBeforeSave,
        WakeBeforeClear,
        CompareGenerationWithoutLogin,
        RestEverybodyOnStoreFailure,
        TombstoneIgnoresGeneration,
    }

    thread_local!(static ON: Cell<Option<Mutant>> = const { Cell::new(None) });

    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Runs `f` with this mistake made.
    pub(crate) fn with<T>(mutant: Mutant, f: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ON.set(None);
            }
        }
        let _off = Off;
        ON.set(Some(mutant));
        f()
    }
}
