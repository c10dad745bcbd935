//! What the listener does for the region's own console: a browser that opens the endpoint is led
//! there, and pages of that origin may send requests here, in whatever bucket.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use objects::{BucketDocuments, Cors, CorsRule};

use crate::{
    beside::has_one_reading, body::ResponseBody, cors, limits::GatewayConfig,
    request::without_port, server::Gateway, target::bucket_of_host,
};

/// Answer headers that the console's pages read.
const EXPOSED: [&str; 9] = [
    "etag",
    "x-amz-version-id",
    "x-amz-delete-marker",
    "x-amz-request-id",
    "x-amz-bucket-region",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha256",
    "content-range",
    "last-modified",
];

/// The longest page of the console that is led to, encoded: a bucket's with a key.
const NEXT_BYTES_MAX: usize = 4096;

/// The region's console, as the listener knows it.
pub(crate) struct ConsolePages {
    origin: HeaderValue,
    address: HeaderValue,
    rules: Cors,
    /// The names under which `bucket.domain` is a bucket.
    domains: Vec<String>,
}

impl ConsolePages {
    /// As configured. An origin that no header can carry is none.
    pub(crate) fn of(config: &GatewayConfig) -> Option<Self> {
        let address = config.console.as_ref()?;
        let (scheme, rest) = address.split_once("://")?;
        let host = rest.split('/').next().unwrap_or_default();
        let origin = &format!("{scheme}://{host}");
        let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
        Some(Self {
            domains: config.domains.clone(),
            origin: HeaderValue::try_from(origin).ok()?,
            address: HeaderValue::try_from(format!("{address}/")).ok()?,
            rules: Cors {
                rules: vec![CorsRule {
                    id: "console".to_owned(),
                    origins: vec![origin.clone()],
                    methods: texts(&["GET", "HEAD", "PUT", "POST", "DELETE"]),
                    headers: texts(&["*"]),
                    expose: texts(&EXPOSED),
                    max_age: Some(600),
                }],
            },
        })
    }

    /// The rule for a page of the console, if one of these asks.
    pub(crate) fn rules_for(&self, headers: &HeaderMap) -> Option<&Cors> {
        (headers.get(header::ORIGIN) == Some(&self.origin)).then_some(&self.rules)
    }

    /// Leads a browser to the console that opens the endpoint itself, and to the page there that a
    /// console of another region names as `next`: the console decides whether that is one of its
    /// pages. No client of S3 asks for a page without a signature. At the host of a bucket it is
    /// the bucket that is asked for.
    pub(crate) fn lead<B>(&self, request: &Request<B>) -> Option<Response<ResponseBody>> {
        let (uri, headers) = (request.uri(), request.headers());
        if uri.path() != "/" || *request.method() != Method::GET {
            return None;
        }
        let address = match uri.query() {
            None => self.address.clone(),
            Some(query) => self.page(query)?,
        };
        let accept = headers.get(header::ACCEPT)?.as_bytes();
        let is_page = accept.windows(9).any(|text| text == b"text/html");
        let is_signed = headers.contains_key(header::AUTHORIZATION);
        if !is_page || is_signed || !has_one_reading(uri, headers) || self.is_bucket(request) {
            return None;
        }
        let mut answer = Response::new(ResponseBody::Empty);
        *answer.status_mut() = StatusCode::SEE_OTHER;
        let out = answer.headers_mut();
        out.insert(header::LOCATION, address);
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        out.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        out.insert(header::SERVER, HeaderValue::from_static("Dhow"));
        Some(answer)
    }
}

impl ConsolePages {
    /// Whether the host names a bucket.
    fn is_bucket<B>(&self, request: &Request<B>) -> bool {
        let named = request.uri().authority().map(|named| named.as_str());
        let host = request.headers().get(header::HOST);
        let host = named.or_else(|| host.and_then(|host| host.to_str().ok()));
        let host = without_port(host.unwrap_or_default());
        bucket_of_host(host, &self.domains).is_some() && !types::planted("console-leads-at-buckets")
    }

    /// The console's page for signing in, which goes on to the one that the query names.
    fn page(&self, query: &str) -> Option<HeaderValue> {
        let next = query.strip_prefix("next=")?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"%-._~".contains(&c);
        if next.len() > NEXT_BYTES_MAX || !next.bytes().all(plain) {
            return None;
        }
        let address = self.address.to_str().ok()?;
        HeaderValue::try_from(format!("{address}signin?next={next}")).ok()
    }
}

impl Gateway {
    /// The console, if one of its pages asks.
    pub(crate) fn asked_by_console(&self, headers: &HeaderMap) -> Option<&ConsolePages> {
        let console = self.console.as_ref()?;
        console.rules_for(headers).map(|_| console)
    }
}

/// Says in an answer what the page may read that asks: the console's, or another that the bucket's
/// rules allow.
pub(crate) fn add_cors(
    console: Option<&ConsolePages>,
    page: Option<&(HeaderValue, Arc<BucketDocuments>)>,
    method: &Method,
    out: &mut HeaderMap,
) {
    match console {
        Some(console) => cors::add_rules(&console.rules, &console.origin, method, out),
        None => cors::add_cors(page, method, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> ConsolePages {
        let config = GatewayConfig {
            console: Some("http://127.0.0.1:9004".to_owned()),
            ..GatewayConfig::default()
        };
        ConsolePages::of(&config).unwrap()
    }

    fn led(uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        pages().lead(&request.body(()).unwrap()).is_some()
    }

    #[test]
    fn only_an_unsigned_page_of_the_endpoint_itself_leads_to_the_console() {
        let page = ("accept", "text/html,application/xhtml+xml;q=0.9");
        assert!(led("/", &[page]));
        assert!(!led("/", &[]) && !led("/", &[("accept", "*/*")]));
        assert!(!led("/", &[page, ("authorization", "AWS4-HMAC-SHA256 x")]));
        assert!(!led("/bucket", &[page]) && !led("/?list-type=2", &[page]));
        for (host, leads) in [
            ("localhost:9000", true),
            ("127.0.0.1", true),
            ("console.example.net", true),
            ("photos.localhost:9000", false),
            ("PHOTOS.localhost", false),
        ] {
            assert_eq!(led("/", &[page, ("host", host)]), leads, "{host}");
            assert_eq!(led("/?next=%2F", &[page, ("host", host)]), leads, "{host}");
        }
        assert!(!led("http://photos.localhost/", &[page]));
    }

    #[test]
    fn a_page_that_another_console_names_is_led_to_by_the_sign_in() {
        let to = |query: &str| {
            let request = Request::builder().uri(format!("/?{query}"));
            let request = request.header("accept", "text/html").body(()).unwrap();
            let led = pages().lead(&request)?;
            let to = led.headers()[header::LOCATION].to_str().unwrap();
            Some(to.to_owned())
        };
        let page = "next=%2Fb%2Fphotos%3Fprefix%3Da";
        let there = format!("http://127.0.0.1:9004/signin?{page}");
        assert_eq!(to(page), Some(there));
        let long = format!("next={}", "a".repeat(NEXT_BYTES_MAX + 1));
        for bad in [
            "next=/b",
            "next=a&next=b",
            "next=a&prefix=b",
            "next=a?b",
            "x=a",
            &long,
        ] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_console_below_a_path_is_led_to_and_its_origin_has_none() {
        let config = GatewayConfig {
            console: Some("https://ops.example/dhow".to_owned()),
            ..GatewayConfig::default()
        };
        let pages = ConsolePages::of(&config).unwrap();
        assert_eq!(pages.address, "https://ops.example/dhow/");
        assert_eq!(pages.origin, "https://ops.example");
    }

    #[test]
    fn only_the_console_itself_has_the_rule() {
        let mut headers = HeaderMap::new();
        for (origin, may) in [
            ("http://127.0.0.1:9004", true),
            ("http://127.0.0.1:9005", false),
            ("https://127.0.0.1:9004", false),
            ("null", false),
        ] {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(pages().rules_for(&headers).is_some(), may, "{origin}");
        }
    }
}
