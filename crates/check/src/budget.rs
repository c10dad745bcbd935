//! What a judgement may cost.

/// What the search for one key may use. The problem is NP-complete; a history with few operations
/// at a time stays far below the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Operations looked at.
    pub steps: u64,
    /// Bytes of remembered configurations.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: 50_000_000,
            bytes: 256 * 1024 * 1024,
        }
    }
}

impl Budget {
    pub(crate) fn spend(&mut self, steps: u64) {
        self.steps = self.steps.saturating_sub(steps);
    }
}
