//! What is wrong with a document.

/// What kind of fault a document has. The API decides which code that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFault {
    /// It is no policy, or one that is not allowed here.
    Malformed,
    /// It is too large.
    TooLarge,
}

/// Why a document is refused, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    fault: PolicyFault,
    message: String,
    detail: Option<String>,
    statement: Option<usize>,
    position: Option<(usize, usize)>,
}

impl PolicyError {
    /// What kind of fault it is.
    pub fn fault(&self) -> PolicyFault {
        self.fault
    }

    /// The sentence that S3 has for it, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The number of the statement, the first is 1; `None` if it is in none.
    pub fn statement(&self) -> Option<usize> {
        self.statement
    }

    /// The line, the first is 1; `None` if the document as a whole is refused.
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// The column, in characters, the first is 1.
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    /// What exactly is wrong, where S3's sentence does not say it.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl std::error::Error for PolicyError {}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        match (self.statement, self.position) {
            (Some(statement), Some((line, column))) => {
                write!(f, " (statement {statement}, line {line}, column {column})")
            }
            (None, Some((line, column))) => write!(f, " (line {line}, column {column})"),
            (_, None) => Ok(()),
        }
    }
}

/// A fault before its place is known as line and column.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: PolicyFault,
    pub message: String,
    pub detail: Option<String>,
    /// Offset in the text, in bytes.
    pub at: Option<usize>,
    pub statement: Option<usize>,
}

impl Fault {
    /// Of what stands at the offset.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            kind: PolicyFault::Malformed,
            message: message.into(),
            detail: None,
            at: Some(at),
            statement: None,
        }
    }

    /// A document that is too large.
    pub fn too_large(message: String) -> Self {
        Self {
            kind: PolicyFault::TooLarge,
            message,
            detail: None,
            at: None,
            statement: None,
        }
    }

    /// The same, as what is too large.
    pub fn into_too_large(mut self) -> Self {
        self.kind = PolicyFault::TooLarge;
        self
    }

    /// With what exactly is wrong.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With its line and column in `text`.
    pub fn in_text(self, text: &str) -> PolicyError {
        let position = self.at.map(|at| {
            let mut end = at.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let before = &text[..end];
            let line_start = before.rfind('\n').map_or(0, |n| n + 1);
            let line = before.matches('\n').count() + 1;
            (line, before[line_start..].chars().count() + 1)
        });
        PolicyError {
            fault: self.kind,
            message: self.message,
            detail: self.detail,
            statement: self.statement,
            position,
        }
    }
}
