//! How large a torture is, and what chance it has.

/// So many rounds out of `full` as the variable `TORTURE` says, in per cent; all of them unless it says otherwise.
pub(crate) fn rounds(full: usize) -> usize {
    let percent = std::env::var("TORTURE").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    (full * percent / 100).max(1)
}

/// Chance that is the same in every run: a number says which (splitmix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % end
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}
