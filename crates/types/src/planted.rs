//! Bugs planted for the tests, to show that the tests find them. Without the feature
//! `planted-bugs`, which no binary enables, there are none.

/// Whether this process has the bug of that name: the environment's `DHOW_PLANTED` names it.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("DHOW_PLANTED").ok());
    chosen.as_deref() == Some(bug)
}

/// Whether this process has the bug of that name: never, in a build without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn planted(_bug: &str) -> bool {
    false
}
