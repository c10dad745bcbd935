//! The form of a request: names and values, each name once, and none that the action has not.

use std::collections::BTreeMap;

use crate::{IamError, answer::invalid};

/// Fields of one form.
const FIELDS_MAX: usize = 400;
/// Members of one list.
const MEMBERS_MAX: usize = 100;

/// The only list whose members have more than a key and a value.
const CONTEXT: &str = "ContextEntries";

/// The only list whose members are ARNs, in a field of that name.
const ARNS: &str = "PolicyArns";

/// What a request says.
#[derive(Debug, Default)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body of `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// It is none, a name comes twice, or there are too many.
    pub fn parse(body: &[u8]) -> Result<Self, IamError> {
        let text = std::str::from_utf8(body).map_err(|_| invalid("the form is no UTF-8"))?;
        let mut fields = BTreeMap::new();
        for piece in text.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if fields.len() >= FIELDS_MAX {
                return Err(invalid("the form has too many fields"));
            }
            if fields.insert(name.clone(), value).is_some() {
                return Err(invalid(&format!("the field {} comes twice", shown(&name))));
            }
        }
        Ok(Self(fields))
    }

    /// Of fields that are named already.
    pub fn of(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// Without the fields of these names, whatever the case of their letters: of a query, what is
    /// of its signature.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        let is_named = |own: &str| names.iter().any(|name| name.eq_ignore_ascii_case(own));
        self.0.retain(|own, _| !is_named(own));
        self
    }

    /// A field that may be absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// It is not, or empty.
    pub fn need(&self, name: &str) -> Result<&str, IamError> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(invalid(&format!("the field {name} is missing"))),
        }
    }

    /// Whether all fields are among those that the action has: plain ones by their names, lists as
    /// `Name.member.N`, and lists of pairs as `Name.member.N.Key` and `.Value`.
    pub(crate) fn check(&self, fields: &[&str], lists: &[&str]) -> Result<(), IamError> {
        let known = |(name, value): &(&String, &String)| {
            let name = name.as_str();
            // A list without members is sent as its name alone.
            matches!(name, "Action" | "Version")
                || fields.contains(&name)
                || lists.contains(&name) && value.is_empty()
                || lists.iter().any(|list| is_member(list, name))
        };
        match self.0.iter().find(|field| !known(field)) {
            None => Ok(()),
            Some((name, _)) => Err(invalid(&format!("the action has no field {}", shown(name)))),
        }
    }

    /// The members of a list, in order.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<&str>, IamError> {
        let mut members = Vec::new();
        while let Some(value) = self.get(&format!("{name}.member.{}", members.len() + 1)) {
            members.push(value);
        }
        self.check_whole(name, members.len(), 1)?;
        Ok(members)
    }

    /// The ARNs of a list of managed policies.
    pub(crate) fn arns(&self, name: &str) -> Result<Vec<&str>, IamError> {
        let mut members = Vec::new();
        while let Some(value) = self.get(&format!("{name}.member.{}.arn", members.len() + 1)) {
            members.push(value);
        }
        self.check_whole(name, members.len(), 1)?;
        Ok(members)
    }

    /// The pairs of a list.
    pub(crate) fn pairs(&self, name: &str) -> Result<BTreeMap<String, String>, IamError> {
        let mut pairs = BTreeMap::new();
        let mut count = 0;
        loop {
            let member = format!("{name}.member.{}", count + 1);
            let Some(key) = self.get(&format!("{member}.Key")) else {
                break;
            };
            let value = self.get(&format!("{member}.Value"));
            let value = value.ok_or_else(|| invalid(&format!("{member}.Value is missing")))?;
            if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(IamError::new(
                    "InvalidInput",
                    400,
                    "two tags have the same key",
                ));
            }
            count += 1;
        }
        self.check_whole(name, count, 2)?;
        Ok(pairs)
    }

    /// The keys of tags that are to be removed, as conditions ask for them: no values are named.
    pub(crate) fn tag_keys(&self) -> Result<BTreeMap<String, String>, IamError> {
        let keys = self.list("TagKeys")?.into_iter();
        Ok(keys.map(|key| (key.to_owned(), String::new())).collect())
    }

    /// The entries of a context: names of condition keys, and their values.
    pub(crate) fn context(&self) -> Result<Vec<(&str, Vec<&str>)>, IamError> {
        let mut entries = Vec::new();
        let mut fields = 0;
        loop {
            let member = format!("{CONTEXT}.member.{}", entries.len() + 1);
            let Some(name) = self.get(&format!("{member}.ContextKeyName")) else {
                break;
            };
            fields += 1 + usize::from(self.get(&format!("{member}.ContextKeyType")).is_some());
            let mut values = Vec::new();
            while let Some(value) = self.get(&format!(
                "{member}.ContextKeyValues.member.{}",
                values.len() + 1
            )) {
                values.push(value);
            }
            fields += values.len();
            entries.push((name, values));
        }
        self.check_whole(CONTEXT, fields, 1)?;
        Ok(entries)
    }

    /// Whether a list has no members beside those that were found.
    fn check_whole(&self, name: &str, found: usize, each: usize) -> Result<(), IamError> {
        let all = self.0.keys().filter(|field| is_member(name, field)).count();
        match all == found * each && found <= MEMBERS_MAX {
            true => Ok(()),
            false => Err(invalid(&format!(
                "the members of {name} are numbered from 1 on, and at most {MEMBERS_MAX}"
            ))),
        }
    }
}

fn is_member(list: &str, name: &str) -> bool {
    let rest = name
        .strip_prefix(list)
        .and_then(|r| r.strip_prefix(".member."));
    let Some(rest) = rest else { return false };
    let (number, part) = rest.split_once('.').unwrap_or((rest, ""));
    let known = match (list, part) {
        (CONTEXT, "ContextKeyName" | "ContextKeyType") => true,
        (CONTEXT, part) => part
            .strip_prefix("ContextKeyValues.member.")
            .is_some_and(is_number),
        (ARNS, part) => part == "arn",
        (_, "" | "Key" | "Value") => true,
        _ => false,
    };
    known && is_number(number)
}

fn is_number(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit())
}

fn shown(name: &str) -> String {
    types::text::shown(name, 64).into_owned()
}

fn decoded(text: &str) -> Result<String, IamError> {
    let wrong = || invalid("the form is not percent-encoded");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next(), bytes.next()];
                let [Some(high), Some(low)] = digits else {
                    return Err(wrong());
                };
                let mut one = [0];
                hex::decode_to_slice([high, low], &mut one).map_err(|_| wrong())?;
                out.push(one[0]);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_strictly() {
        let form = Form::parse(b"Action=CreateUser&UserName=a%2Bb+c&Tags.member.1.Key=K").unwrap();
        assert_eq!(form.get("UserName"), Some("a+b c"));
        assert!(form.pairs("Tags").is_err());
        for bad in ["A=1&A=2", "A=%", "A=%4", "A=%zz", "A=%ff", "A=%C3"] {
            assert!(Form::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Form::parse(b"A=\xff").is_err());
        let many: String = (0..=FIELDS_MAX).map(|n| format!("f{n}=1&")).collect();
        assert!(Form::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn fields_that_an_action_has_not_are_refused() {
        let form = |text: &str| Form::parse(text.as_bytes()).unwrap();
        let check = |text: &str| form(text).check(&["UserName"], &["Tags"]);
        assert!(check("Action=X&Version=Y&UserName=a&Tags.member.1.Key=k").is_ok());
        assert!(check("Tags=").is_ok());
        let context = |text: &str| form(text).check(&[], &["ContextEntries"]).is_ok();
        assert!(context(
            "ContextEntries.member.1.ContextKeyValues.member.2=v"
        ));
        assert!(!context(
            "ContextEntries.member.1.ContextKeyValues.member.x=v"
        ));
        assert!(!context("ContextEntries.member.1.Key=v"));
        for bad in [
            "username=a",
            "PolicyDocument=x",
            "Tags=1",
            "Tags.member.x.Key=k",
            "Tags.member.1.Other=k",
            "Tags.member..Key=k",
            "Tags.1.Key=k",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_whole() {
        let form = |text: &str| Form::parse(text.as_bytes()).unwrap();
        let list = form("L.member.1=a&L.member.2=b");
        assert_eq!(list.list("L").unwrap(), ["a", "b"]);
        assert!(form("").list("L").unwrap().is_empty());
        for bad in ["L.member.2=a", "L.member.1=a&L.member.3=b", "L.member.01=a"] {
            assert!(form(bad).list("L").is_err(), "{bad}");
        }
        let pairs = form("T.member.1.Key=a&T.member.1.Value=&T.member.2.Key=b&T.member.2.Value=c");
        assert_eq!(pairs.pairs("T").unwrap().len(), 2);
        for bad in [
            "T.member.1.Value=v",
            "T.member.2.Key=a&T.member.2.Value=v",
            "T.member.1.Key=a&T.member.1.Value=v&T.member.2.Key=a&T.member.2.Value=v",
        ] {
            assert!(form(bad).pairs("T").is_err(), "{bad}");
        }
    }
}
