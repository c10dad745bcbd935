//! Links. They are made of a path of ours and a query, so that none leads where a user's text says.

use maud::{Markup, Render, html};

use crate::fields::query;

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Href(String);

impl Href {
    /// A page of ours.
    pub fn to(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// A page of a bucket; `rest` begins with a slash or is empty.
    pub fn bucket(bucket: &str, rest: &str) -> Self {
        // Names of buckets have no character that means something in a path.
        Self(["/b/", &access::sign::encode(bucket), rest].concat())
    }

    /// The same with a query; empty values are left out.
    pub fn with(&self, pairs: &[(&str, &str)]) -> Self {
        let mut pairs = pairs.to_vec();
        pairs.retain(|(_, value)| !value.is_empty());
        match pairs.is_empty() {
            true => self.clone(),
            false => Self([&self.0, "?", &query(&pairs)].concat()),
        }
    }

    /// The same with more of a query.
    pub fn and(&self, pairs: &[(&str, &str)]) -> Self {
        let mut pairs = pairs.to_vec();
        pairs.retain(|(_, value)| !value.is_empty());
        match self.0.contains('?') {
            true if !pairs.is_empty() => Self([&self.0, "&", &query(&pairs)].concat()),
            true => self.clone(),
            false => self.with(&pairs),
        }
    }

    /// The same, at the part of the page that has this id.
    pub fn and_part(&self, id: &str) -> Self {
        Self([&self.0, "#", id].concat())
    }

    /// The start page of another region's endpoint, as the registry has it; `None` for what is no
    /// address of the web.
    pub fn region(endpoint: &str) -> Option<Self> {
        let host = endpoint
            .strip_prefix("https://")
            .or_else(|| endpoint.strip_prefix("http://"))?;
        let fine = |c: char| c.is_ascii_alphanumeric() || ".-:[]/".contains(c);
        let plain = !host.is_empty() && host.chars().all(fine);
        plain.then(|| Self(format!("{}/", endpoint.trim_end_matches('/'))))
    }

    /// A presigned address at the data endpoint, which the console made itself.
    pub fn presigned(url: String) -> Self {
        Self(url)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Render for Href {
    fn render(&self) -> Markup {
        html! { (self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_become_links_to_regions() {
        let to = Href::region("https://s3.example.net:9000").unwrap();
        assert_eq!(to.as_str(), "https://s3.example.net:9000/");
        for bad in [
            "",
            "javascript:alert(1)",
            "https://",
            "http://a\"b",
            "data:text/html,x",
        ] {
            assert_eq!(Href::region(bad), None, "{bad}");
        }
    }

    #[test]
    fn empty_values_are_left_out_of_links() {
        let to = Href::bucket("photos", "").with(&[("prefix", "a b/"), ("after", "")]);
        assert_eq!(to.as_str(), "/b/photos?prefix=a%20b%2F");
    }
}
