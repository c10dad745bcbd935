//! Answers: a tree, which is XML for IAM's clients and JSON for the command line.

use cloud::CloudError;
use serde_json::Value;
use types::Timestamp;

/// Whose documents answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// IAM's.
    Iam,
    /// STS's.
    Sts,
}

impl Api {
    const fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamError {
    /// IAM's code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// For people.
    pub message: String,
}

impl IamError {
    /// With these words.
    pub fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            status,
            message: message.into(),
        }
    }

    /// As a document.
    pub fn xml(&self, api: Api, request_id: &str) -> String {
        let mut out = format!("<ErrorResponse xmlns=\"{}\"><Error>", api.namespace());
        let fault = if self.status >= 500 {
            "Receiver"
        } else {
            "Sender"
        };
        for (name, text) in [
            ("Type", fault),
            ("Code", self.code),
            ("Message", &*self.message),
        ] {
            element(&mut out, name, text);
        }
        out.push_str("</Error>");
        element(&mut out, "RequestId", request_id);
        out + "</ErrorResponse>\n"
    }
}

/// A request that says what cannot be.
pub(crate) fn invalid(message: &str) -> IamError {
    IamError::new("ValidationError", 400, message)
}

/// What is asked for is not there.
pub(crate) fn missing(message: impl Into<String>) -> IamError {
    IamError::new("NoSuchEntity", 404, message)
}

impl From<CloudError> for IamError {
    fn from(error: CloudError) -> Self {
        let (code, status) = match &error {
            CloudError::NoUser(_) | CloudError::NoKey(_) | CloudError::NoEntity(_) => {
                ("NoSuchEntity", 404)
            }
            CloudError::Exists(_) | CloudError::KeyExists(_) => ("EntityAlreadyExists", 409),
            CloudError::Conflict(_) => ("DeleteConflict", 409),
            CloudError::Limit(_) => ("LimitExceeded", 409),
            CloudError::Policy(_) => ("MalformedPolicyDocument", 400),
            CloudError::Invalid(_) => ("ValidationError", 400),
            CloudError::Tags(_) => ("InvalidInput", 400),
            CloudError::Refused(_) => ("UnmodifiableEntity", 400),
            CloudError::SlowDown(_) => ("Throttling", 400),
            _ => {
                tracing::error!(%error, "a change of identities failed");
                ("ServiceFailure", 500)
            }
        };
        Self::new(code, status, error.to_string())
    }
}

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Flag(bool),
    /// Fields in their order.
    Fields(Vec<(&'static str, Node)>),
    /// Members in their order.
    List(Vec<Node>),
    /// Numbers by name.
    Map(Vec<(&'static str, u64)>),
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Node {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A time as IAM writes it, without fractions.
pub(crate) fn time(ms: u64) -> Node {
    let text = Timestamp::from_ms(ms).iso8601();
    let whole = text.split_once('.').map_or(&*text, |(whole, _)| whole);
    Node::Text(format!("{whole}Z"))
}

/// The answer to an action that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    api: Api,
    action: &'static str,
    /// `None` for actions whose answers say nothing.
    result: Option<Node>,
}

impl Answer {
    pub(crate) fn new(action: &'static str, result: Option<Node>) -> Self {
        Self::of(Api::Iam, action, result)
    }

    pub(crate) fn of(api: Api, action: &'static str, result: Option<Node>) -> Self {
        Self {
            api,
            action,
            result,
        }
    }

    /// As IAM's clients read it.
    pub fn xml(&self, request_id: &str) -> String {
        let action = self.action;
        let mut out = format!("<{action}Response xmlns=\"{}\">", self.api.namespace());
        if let Some(result) = &self.result {
            write(&mut out, &format!("{action}Result"), result);
        }
        out.push_str("<ResponseMetadata>");
        element(&mut out, "RequestId", request_id);
        out + &format!("</ResponseMetadata></{action}Response>\n")
    }

    /// The same for scripts.
    pub fn json(&self) -> Value {
        self.result
            .as_ref()
            .map_or_else(|| Value::Object(Default::default()), json)
    }
}

fn json(node: &Node) -> Value {
    match node {
        Node::Flag(flag) => Value::Bool(*flag),
        Node::Text(text) => Value::String(text.clone()),
        Node::Fields(fields) => {
            let pair = |(name, node): &(&'static str, Node)| ((*name).to_owned(), json(node));
            Value::Object(fields.iter().map(pair).collect())
        }
        Node::List(members) => Value::Array(members.iter().map(json).collect()),
        Node::Map(entries) => {
            let pair =
                |(name, number): &(&'static str, u64)| ((*name).to_owned(), (*number).into());
            Value::Object(entries.iter().map(pair).collect())
        }
    }
}

fn write(out: &mut String, name: &str, node: &Node) {
    match node {
        Node::Text(text) => return element(out, name, text),
        Node::Flag(flag) => return element(out, name, if *flag { "true" } else { "false" }),
        _ => {}
    }
    out.push_str(&format!("<{name}>"));
    match node {
        Node::Text(_) | Node::Flag(_) => {}
        Node::Fields(fields) => fields
            .iter()
            .for_each(|(name, node)| write(out, name, node)),
        Node::List(members) => members.iter().for_each(|node| write(out, "member", node)),
        Node::Map(entries) => entries.iter().for_each(|(name, number)| {
            out.push_str("<entry>");
            element(out, "key", name);
            element(out, "value", &number.to_string());
            out.push_str("</entry>");
        }),
    }
    out.push_str(&format!("</{name}>"));
}

fn element(out: &mut String, name: &str, text: &str) {
    out.push_str(&format!("<{name}>"));
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", c as u32)),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_xml_and_json() {
        let user = Node::Fields(vec![
            ("UserName", "a<b&c".into()),
            ("Tags", Node::List(vec![])),
        ]);
        let list = Node::List(vec![user.clone(), "x".into()]);
        let answer = Answer::new(
            "ListUsers",
            Some(Node::Fields(vec![
                ("Users", list),
                ("IsTruncated", false.into()),
            ])),
        );
        assert_eq!(
            answer.xml("R"),
            "<ListUsersResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <ListUsersResult><Users><member><UserName>a&lt;b&amp;c</UserName><Tags></Tags>\
             </member><member>x</member></Users><IsTruncated>false</IsTruncated></ListUsersResult>\
             <ResponseMetadata><RequestId>R</RequestId></ResponseMetadata></ListUsersResponse>\n"
        );
        let json = serde_json::json!({
            "Users": [{"UserName": "a<b&c", "Tags": []}, "x"], "IsTruncated": false,
        });
        assert_eq!(answer.json(), json);
        assert_eq!(
            Answer::new("DeleteUser", None).json(),
            serde_json::json!({})
        );
        assert_eq!(time(1000), "1970-01-01T00:00:01Z".into());
    }

    #[test]
    fn an_error_names_its_code() {
        let error = IamError::new("NoSuchEntity", 404, "no \"x\"");
        assert_eq!(
            error.xml(Api::Iam, "R"),
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
             <Type>Sender</Type><Code>NoSuchEntity</Code><Message>no &quot;x&quot;</Message>\
             </Error><RequestId>R</RequestId></ErrorResponse>\n"
        );
    }
}
