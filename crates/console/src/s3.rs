//! Requests to S3 and what its answers say.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use quick_xml::events::Event;

use crate::{call::Call, fault::Fault};

/// A request to S3 that a page makes.
pub struct S3Ask<'a> {
    /// `GET` and so on.
    pub method: &'a Method,
    bucket: &'a str,
    key: &'a str,
    query: Vec<(&'a str, String)>,
    /// More headers, which are signed: lower-case names.
    pub headers: Vec<(&'a str, String)>,
    /// The body.
    pub body: Bytes,
    takes: Vec<StatusCode>,
}

impl<'a> S3Ask<'a> {
    /// To the service itself.
    pub fn new(method: &'a Method) -> Self {
        Self {
            method,
            bucket: "",
            key: "",
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            takes: Vec::new(),
        }
    }

    /// To a bucket.
    pub fn bucket(method: &'a Method, bucket: &'a str) -> Self {
        Self {
            bucket,
            ..Self::new(method)
        }
    }

    /// To the public access block of an account.
    pub fn account_block(method: &'a Method, account: &str) -> Self {
        Self::object(method, "v20180820", "configuration/publicAccessBlock")
            .header("x-amz-account-id", account.to_owned())
    }

    /// To a key.
    pub fn object(method: &'a Method, bucket: &'a str, key: &'a str) -> Self {
        Self {
            key,
            ..Self::bucket(method, bucket)
        }
    }

    /// With a parameter.
    pub fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a parameter, unless there is no value.
    pub fn maybe(self, name: &'a str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// With a header.
    pub fn header(mut self, name: &'a str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a body.
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// This status is an answer, too.
    pub fn or(mut self, status: StatusCode) -> Self {
        self.takes.push(status);
        self
    }

    /// Whether a status that is no success is an answer all the same.
    pub fn takes(&self, status: StatusCode) -> bool {
        self.takes.contains(&status)
    }

    /// Path and query, percent-encoded.
    pub fn target(&self) -> (String, String) {
        let mut path = String::from("/");
        if !self.bucket.is_empty() {
            path.push_str(self.bucket);
            path.push('/');
            path.push_str(&access::sign::encode_path(self.key));
        }
        let pairs: Vec<(&str, &str)> = self.query.iter().map(|(n, v)| (*n, v.as_str())).collect();
        (path, crate::fields::query(&pairs))
    }
}

/// What S3 answered.
pub struct S3Answer(pub Response<Bytes>);

impl S3Answer {
    /// The body as XML.
    pub fn xml(&self) -> Result<Node, Fault> {
        Node::parse(self.0.body()).ok_or_else(|| Fault::Failed("an answer is no XML".into()))
    }

    /// A header, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.0.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

/// An element of a document.
#[derive(Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    text: String,
    children: Vec<Node>,
}

/// Elements in elements, at most.
const DEPTH_MAX: usize = 32;

impl Node {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = quick_xml::Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) if open.len() < DEPTH_MAX => open.push(Self {
                    name: start.local_name().as_ref().to_owned(),
                    ..Self::default()
                }),
                Event::Empty(start) => open.last_mut()?.children.push(Self {
                    name: start.local_name().as_ref().to_owned(),
                    ..Self::default()
                }),
                Event::Text(text) => {
                    let text: &str = &text;
                    open.last_mut()?.text.push_str(text);
                }
                Event::GeneralRef(name) => {
                    let node = open.last_mut()?;
                    match name.resolve_char_ref().ok()? {
                        Some(character) => node.text.push(character),
                        None => {
                            let name: &str = &name;
                            let known = quick_xml::escape::resolve_predefined_entity(name)?;
                            node.text.push_str(known);
                        }
                    }
                }
                Event::End(_) => {
                    let ended = open.pop()?;
                    open.last_mut()?.children.push(ended);
                }
                Event::Eof if open.len() == 1 => return open.pop()?.children.pop(),
                Event::Start(_) | Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first child of a name, without the rest.
    pub fn take(self, name: &str) -> Option<Self> {
        self.children.into_iter().find(|child| child.name == name)
    }

    /// The members of a list of IAM's.
    pub fn members(&self, name: &str) -> &[Self] {
        self.child(name).map_or(&[], |list| list.children())
    }

    /// The children of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// All children.
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// The text of a child; empty without one.
    pub fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.as_str())
    }

    /// Its own text.
    pub fn own(&self) -> &str {
        &self.text
    }
}

/// What S3 refuses, for a page.
pub fn fault(call: &Call<'_>, answer: &Response<Bytes>) -> Fault {
    let root = Node::parse(answer.body()).unwrap_or_default();
    // IAM has its error in an element more.
    let error = root.child("Error").unwrap_or(&root);
    let (code, message) = (error.text("Code"), error.text("Message"));
    let said = match (code, message) {
        // HEAD has no body.
        ("", "") if answer.status() == StatusCode::FORBIDDEN => {
            call.t("The key may not read this object.").into_owned()
        }
        ("", "") => answer.status().to_string(),
        (code, message) => format!("{message} ({code})"),
    };
    match answer.status() {
        StatusCode::NOT_FOUND => Fault::Missing(match code {
            "NoSuchBucket" => call.t("There is no bucket of this name."),
            "NoSuchVersion" => call.t("There is no such version of this object."),
            "NoSuchKey" | "" => call.t("There is no object with this key."),
            _ => said.into(),
        }),
        StatusCode::FORBIDDEN => Fault::Refused(said.into()),
        StatusCode::NOT_IMPLEMENTED => Fault::NotImplemented(said),
        StatusCode::SERVICE_UNAVAILABLE => Fault::Busy(said),
        status if status.is_client_error() => Fault::Bad(said.into()),
        _ => Fault::Failed(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_its_references() {
        let text = "<?xml version=\"1.0\"?><A xmlns=\"x\"><B>a &lt;b&gt; &#x26; c</B><B/>\
                    <C><D>1</D></C></A>";
        let root = Node::parse(text.as_bytes()).unwrap();
        assert_eq!((&*root.name, root.text("B")), ("A", "a <b> & c"));
        assert_eq!(root.all("B").count(), 2);
        assert_eq!(root.child("C").unwrap().text("D"), "1");
    }

    #[test]
    fn what_is_no_document_is_none() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for bad in ["", "text", "<a>", "<a>&unknown;</a>", "<a></b>", &deep] {
            assert!(Node::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_encoded_in_the_path() {
        let ask = S3Ask::object(&Method::GET, "b", "a b/../%/ü").query("versionId", "a&b");
        let (path, query) = ask.target();
        assert_eq!(path, "/b/a%20b/../%25/%C3%BC");
        assert_eq!(query, "versionId=a%26b");
    }
}
