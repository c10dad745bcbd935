//! What a command says to its user when it cannot go on: what is wrong, and what to do next.

use std::fmt;

/// Characters of a line that are shown.
const LINE_MAX: usize = 4096;

/// A failure with an optional hint.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    /// The exit status of the process.
    pub status: u8,
    /// There is no room on the disk.
    is_full: bool,
}

/// The exit status of a second process of one region: it must not be started again by itself.
pub const SECOND: u8 = 3;

/// The exit status of a check that could not be made: nothing is known to be good or wrong.
pub const NOT_EXAMINED: u8 = 2;

impl Failure {
    /// What is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            status: 1,
            is_full: false,
        }
    }
    /// Whether the reason is that there is no room on the disk.
    pub const fn is_full(&self) -> bool {
        self.is_full
    }
    /// The same failure, by what the operating system said.
    pub fn caused_by(mut self, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        self.is_full = matches!(error.kind(), StorageFull | QuotaExceeded);
        self
    }
    /// Another exit status than 1.
    pub fn exits_with(mut self, status: u8) -> Self {
        self.status = status;
        self
    }
    /// What to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server, or whoever gave something its name, may have written it.
        let shown = |f: &mut fmt::Formatter<'_>, text: &str| {
            for (n, line) in text.lines().enumerate() {
                if n > 0 {
                    f.write_str("\n")?;
                }
                f.write_str(&types::text::shown(line, LINE_MAX))?;
            }
            Ok::<(), fmt::Error>(())
        };
        shown(f, &self.message)?;
        if let Some(hint) = &self.hint {
            f.write_str("\n  ")?;
            shown(f, hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

macro_rules! from {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        }
    )*};
}
from!(cloud::CloudError, serde_json::Error);
