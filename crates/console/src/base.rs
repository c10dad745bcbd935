//! A console below a path of its origin, behind a proxy that has other things beside it. Everything
//! within works without the path: it is taken away from what comes, and put before every address of
//! the console's own in what is sent.

use http::{HeaderMap, HeaderValue, Response, Uri, header, uri::PathAndQuery};

/// Attributes with addresses, of pages and for scripts.
const ATTRIBUTES: [&str; 9] = [
    " href",
    " src",
    " action",
    " formaction",
    " data-live",
    " data-sign",
    " data-challenge",
    " data-session",
    " data-next",
];

/// What came, without the path that the console is below; `None` if it is not below it.
pub fn without(base: &str, uri: &Uri) -> Option<Uri> {
    if base.is_empty() {
        return Some(uri.clone());
    }
    let whole = uri.path_and_query()?.as_str();
    let rest = whole
        .strip_prefix(base)
        .filter(|rest| rest.starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

/// A page with the path before every address of the console's own. What users wrote has no
/// quotation mark there, so it is nothing that is taken for an attribute.
pub fn within(base: &str, page: String) -> String {
    if base.is_empty() {
        return page;
    }
    let mut parts = page.split("=\"/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_address = ATTRIBUTES.iter().any(|name| out.ends_with(name));
        out.push_str("=\"");
        if is_address {
            out.push_str(base);
        }
        out.push('/');
        out.push_str(part);
    }
    out
}

/// The same of where an answer leads.
pub fn leads<B>(base: &str, mut answer: Response<B>) -> Response<B> {
    if !base.is_empty() {
        let headers = answer.headers_mut();
        put(headers, header::LOCATION, ("", base));
        put(headers, header::REFRESH, ("0; url=", base));
    }
    answer
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, (before, base): (&str, &str)) {
    let value = headers.get(&name).and_then(|value| value.to_str().ok());
    let path = value.and_then(|value| value.strip_prefix(before));
    let path = path.filter(|path| path.starts_with('/'));
    let value = path.and_then(|path| HeaderValue::try_from([before, base, path].concat()).ok());
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_path_is_the_consoles() {
        let of = |base: &str, text: &str| {
            let uri = without(base, &text.parse().unwrap())?;
            Some(uri.to_string())
        };
        assert_eq!(of("", "/b/x?y=1").as_deref(), Some("/b/x?y=1"));
        assert_eq!(of("/ops", "/ops/").as_deref(), Some("/"));
        assert_eq!(
            of("/ops", "/ops/b/x?y=/ops").as_deref(),
            Some("/b/x?y=/ops")
        );
        let whole = of("/ops", "http://c.example/ops/b");
        assert_eq!(whole.as_deref(), Some("http://c.example/b"));
        for none in ["/", "/ops", "/opsx/", "/b/ops/", "/ops?x=/", "//ops/"] {
            assert_eq!(of("/ops", none), None, "{none}");
        }
    }

    #[test]
    fn own_addresses_get_the_path_and_nothing_else_does() {
        let page = "<a href=\"/b/x\">/b</a><a href=\"https://s3.example/\"></a><input value=\"/x\">\
                    <form action=\"/\"><p data-live=\"/a\" data-prefix=\"/p\">x=&quot;/</p>";
        let below = "<a href=\"/ops/b/x\">/b</a><a href=\"https://s3.example/\"></a>\
                     <input value=\"/x\"><form action=\"/ops/\"><p data-live=\"/ops/a\" \
                     data-prefix=\"/p\">x=&quot;/</p>";
        assert_eq!(within("/ops", page.to_owned()), below);
        assert_eq!(within("", page.to_owned()), page);
    }

    #[test]
    fn answers_lead_below_the_path() {
        for (name, value, led) in [
            ("location", "/keys", "/ops/keys"),
            (
                "location",
                "https://id.example/auth",
                "https://id.example/auth",
            ),
            ("refresh", "0; url=/signin/done", "0; url=/ops/signin/done"),
            ("refresh", "5", "5"),
        ] {
            let answer = Response::builder().header(name, value).body(()).unwrap();
            assert_eq!(leads("/ops", answer).headers()[name], led);
        }
    }
}
