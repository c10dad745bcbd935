//! A reader of JSON (RFC 8259, strict) that knows where each value stands in the text, and refuses
//! a name that an object has twice. Both are needed to say where a policy is wrong, and to be sure
//! that nobody else reads another policy in the same text.

/// Deepest nesting of objects and lists.
pub(super) const DEPTH_MAX: usize = 8;

/// A value, and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    /// Offset in the text, in bytes.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
    pub value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text. No name is there twice.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    pub name: String,
    /// Where its name begins.
    pub at: usize,
    pub node: Node,
}

/// What is no JSON, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub at: usize,
    pub why: &'static str,
}

/// A text that was read.
pub(super) struct Read {
    pub node: Node,
    /// Its length without the white space between the values.
    pub bytes: usize,
}

/// Reads all of `text`.
pub(super) fn read(text: &str) -> Result<Read, Wrong> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        blank: 0,
    };
    let node = reader.value(0)?;
    reader.skip();
    match reader.at == text.len() {
        true => Ok(Read {
            node,
            bytes: text.len() - reader.blank,
        }),
        false => Err(reader.wrong("the text goes on after the policy")),
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// White space so far, outside of strings.
    blank: usize,
}

impl Reader<'_> {
    fn wrong(&self, why: &'static str) -> Wrong {
        Wrong { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
            self.blank += 1;
        }
    }

    /// Takes the byte if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self, depth: usize) -> Result<Node, Wrong> {
        self.skip();
        let at = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => return Err(self.wrong("too deep")),
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.wrong("a value is missing")),
        };
        let end = self.at;
        Ok(Node { at, end, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Wrong> {
        match self.bytes[self.at..].starts_with(word.as_bytes()) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => Err(self.wrong("a value is missing")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.skip();
        if self.take(b']') {
            return Ok(Value::List(nodes));
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            self.skip();
            if self.take(b']') {
                return Ok(Value::List(nodes));
            }
            if !self.take(b',') {
                return Err(self.wrong("',' or ']' is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Wrong> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        self.skip();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name is missing"));
            }
            let name = self.string()?;
            if members.iter().any(|member| member.name == name) {
                return Err(Wrong {
                    at,
                    why: "the object has this name twice",
                });
            }
            self.skip();
            if !self.take(b':') {
                return Err(self.wrong("':' is missing"));
            }
            let node = self.value(depth + 1)?;
            members.push(Member { name, at, node });
            self.skip();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("',' or '}' is missing"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.wrong("a digit is missing")),
        }
    }

    fn number(&mut self) -> Result<String, Wrong> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.text[start..self.at].to_owned())
    }

    fn string(&mut self) -> Result<String, Wrong> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            // Quotes, backslashes and control characters are never inside a character.
            while self
                .peek()
                .is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20)
            {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.wrong("a control character in a string")),
                None => return Err(self.wrong("a string does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Wrong> {
        self.at += 1;
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(self.wrong("an unknown escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn code_point(&mut self) -> Result<char, Wrong> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(self.wrong("half of a pair of surrogates"));
                }
                match self.hex4()? {
                    second @ 0xdc00..=0xdfff => {
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => return Err(self.wrong("half of a pair of surrogates")),
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.wrong("half of a pair of surrogates"))
    }

    fn hex4(&mut self) -> Result<u32, Wrong> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("four hex digits are missing"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> usize {
        read(text).map(|_| ()).unwrap_err().at
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_begins_to_be_wrong() {
        for (text, place) in [
            ("", 0),
            (" ", 1),
            ("{", 1),
            ("{} x", 3),
            ("{}{}", 2),
            ("{\"a\":1,}", 7),
            ("{\"a\" 1}", 5),
            ("{\"a\":1 \"b\":2}", 7),
            ("{\"a\":1,\"a\":2}", 7),
            ("{\"a\":1,\"\\u0061\":2}", 7),
            ("{a:1}", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("1e+", 3),
            ("+1", 0),
            (".5", 0),
            ("tru", 0),
            ("True", 0),
            ("\"a", 2),
            ("\"\n\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 5),
            ("\"\\ud800\"", 7),
            ("\"\\ud800\\u0041\"", 13),
            ("\"\\udc00\"", 7),
            ("[[[[[[[[[1]]]]]]]]]", 8),
            ("\u{feff}{}", 0),
            ("'a'", 0),
            ("{} // x", 3),
        ] {
            assert_eq!(at(text), place, "{text}");
        }
    }

    #[test]
    fn values_are_read_as_serde_reads_them() {
        for text in [
            "null",
            " [true, false , null,-0.5e+10,0]\n",
            "{\"a\":{\"b\":[\"\\u00e9\\ud83d\\ude00\\n\\/\"]},\"\":\"é\"}",
            "[[[[[[[[]]]]]]]]",
        ] {
            let own = plain(&read(text).map(|read| read.node).unwrap());
            let serde: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(own, serde, "{text}");
        }
    }

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => serde_json::from_str(n).unwrap(),
            Value::Text(t) => t.as_str().into(),
            Value::List(nodes) => nodes.iter().map(plain).collect(),
            Value::Object(members) => members
                .iter()
                .map(|member| (member.name.clone(), plain(&member.node)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    #[test]
    fn white_space_outside_of_strings_is_not_counted() {
        let read = read(" { \"a b\" :\n[1,\t2 ] } ").map(|read| read.bytes);
        assert_eq!(read.unwrap(), "{\"a b\":[1,2]}".len());
    }
}
