//! The query of a request.

/// A percent-decoded query string. Names are case-sensitive.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of a parameter; `?acl` has the value "".
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
    /// Whether the parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
