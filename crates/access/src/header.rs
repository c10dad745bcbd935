//! Looking at a request's headers.

use http::{HeaderMap, HeaderValue};

/// Up to so many names the search in order is faster.
const FEW: usize = 32;

/// The first value of a header; `name` is in lower case. As `HeaderMap::get`, which would first
/// check and hash the name: each small request asks for some thirty names, and has ten headers.
pub fn first_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h HeaderValue> {
    if headers.keys_len() > FEW {
        return headers.get(name);
    }
    let found = headers.iter().find(|(own, _)| own.as_str() == name);
    found.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn the_first_value_is_found_among_few_and_among_many() {
        for count in [0, FEW - 3, FEW + 3] {
            let mut headers = HeaderMap::new();
            for n in 0..count {
                let name: HeaderName = format!("x-other-{n}").parse().unwrap();
                headers.insert(name, HeaderValue::from_static("other"));
            }
            assert_eq!(first_header(&headers, "x-amz-acl"), None);
            for value in ["private", "public-read"] {
                headers.append("x-amz-acl", HeaderValue::from_static(value));
            }
            headers.insert(http::header::IF_MATCH, HeaderValue::from_static("*"));
            assert_eq!(first_header(&headers, "x-amz-acl").unwrap(), "private");
            assert_eq!(first_header(&headers, "if-match").unwrap(), "*");
            assert_eq!(first_header(&headers, "x-amz-ac"), None);
        }
    }
}
