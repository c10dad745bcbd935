//! What pages of other origins may do with a bucket ("Using cross-origin resource sharing (CORS)"
//! in the S3 user guide): rules in their order, the first that fits counts.

use crate::{
    Error, Result,
    records::codec::{Reader, Writer},
};

const VERSION: u8 = 1;
const WHAT: &str = "a CORS configuration";
/// Rules of one bucket, at most ("CORS configuration").
pub const RULES_MAX: usize = 100;
/// Origins, methods and headers of all rules together, at most: each preflight is compared with
/// them.
const PATTERNS_MAX: usize = 2000;
/// Methods that a rule may name.
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/// The rules of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// In the order that the client gave.
    pub rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsRule {
    /// Its name; empty where it has none.
    pub id: String,
    /// Origins, each with at most one `*`.
    pub origins: Vec<String>,
    /// Methods, of `GET`, `PUT`, `HEAD`, `POST` and `DELETE`.
    pub methods: Vec<String>,
    /// Request headers, each with at most one `*`; case does not matter.
    pub headers: Vec<String>,
    /// Answer headers that a page may read.
    pub expose: Vec<String>,
    /// For how many seconds a browser may remember a preflight's answer.
    pub max_age: Option<u32>,
}

/// What a rule allows to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// The rule.
    pub rule: &'a CorsRule,
    /// All origins are allowed: the answer names none, and credentials are not allowed.
    pub any_origin: bool,
}

impl Cors {
    /// The first rule for this origin, method and these request headers.
    pub fn allowed<'a>(
        &'a self,
        origin: &str,
        method: &str,
        headers: &[&str],
    ) -> Option<Allowed<'a>> {
        self.rules.iter().find_map(|rule| {
            let fitting = rule
                .origins
                .iter()
                .find(|pattern| is_like(pattern, origin))?;
            let is_fine = |name: &&str| {
                let fits = |pattern: &String| {
                    is_like(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
                };
                rule.headers.iter().any(fits)
            };
            let fits = rule.methods.iter().any(|m| m == method) && headers.iter().all(is_fine);
            fits.then_some(Allowed {
                rule,
                any_origin: fitting == "*",
            })
        })
    }

    /// Whether it is one that S3 takes.
    ///
    /// # Errors
    /// `InvalidRequest` says what is wrong.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::InvalidRequest(text));
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            return wrong(format!("A CORS configuration has 1 to {RULES_MAX} rules"));
        }
        let lists = |rule: &CorsRule| rule.origins.len() + rule.headers.len() + rule.methods.len();
        if self.rules.iter().map(lists).sum::<usize>() > PATTERNS_MAX {
            return wrong(format!(
                "The rules of a CORS configuration have at most {PATTERNS_MAX} origins, methods \
                 and headers together"
            ));
        }
        for rule in &self.rules {
            if rule.origins.is_empty() || rule.methods.is_empty() {
                return wrong("A CORS rule needs an AllowedOrigin and an AllowedMethod".to_owned());
            }
            if rule.id.chars().count() > 255 {
                return wrong("The ID of a CORS rule has at most 255 characters".to_owned());
            }
            if let Some(other) = rule.methods.iter().find(|m| !METHODS.contains(&m.as_str())) {
                return wrong(format!(
                    "Found unsupported HTTP method in CORS config. Unsupported method is {other}"
                ));
            }
            for (what, patterns) in [
                ("AllowedOrigin", &rule.origins),
                ("AllowedHeader", &rule.headers),
            ] {
                let many = patterns.iter().find(|p| p.matches('*').count() > 1);
                if let Some(pattern) = many {
                    return wrong(format!(
                        "{what} \"{pattern}\" can not have more than one wildcard."
                    ));
                }
            }
            let exposed = rule.expose.iter().find(|name| name.contains('*'));
            if let Some(name) = exposed {
                return wrong(format!(
                    "ExposeHeader \"{name}\" contains wildcard. We currently do not support \
                     wildcard for ExposeHeader."
                ));
            }
            let all = rule.origins.iter().chain(&rule.headers).chain(&rule.expose);
            let is_plain = |text: &String| text.chars().all(|c| !c.is_control());
            if !all.into_iter().all(is_plain) {
                return wrong("A CORS rule has a control character in it".to_owned());
            }
        }
        Ok(())
    }

    /// The bytes that are stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.count(self.rules.len());
        for rule in &self.rules {
            out.text(&rule.id);
            for list in [&rule.origins, &rule.methods, &rule.headers, &rule.expose] {
                out.count(list.len());
                for text in list {
                    out.text(text);
                }
            }
            match rule.max_age {
                None => out.u8(0),
                Some(seconds) => out.u8(1).u64(u64::from(seconds)),
            };
        }
        out.finish()
    }

    /// Reads them.
    ///
    /// # Errors
    /// `Record` for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, WHAT)?;
        let mut rules = Vec::new();
        for _ in 0..r.count(21)? {
            let id = r.text()?;
            let mut lists: [Vec<String>; 4] = Default::default();
            for list in &mut lists {
                for _ in 0..r.count(4)? {
                    list.push(r.text()?);
                }
            }
            let max_age = match r.u8()? {
                0 => None,
                1 => Some(u32::try_from(r.u64()?).map_err(|_| r.damaged())?),
                _ => return Err(r.damaged()),
            };
            let [origins, methods, headers, expose] = lists;
            rules.push(CorsRule {
                id,
                origins,
                methods,
                headers,
                expose,
                max_age,
            });
        }
        r.end()?;
        Ok(Self { rules })
    }
}

/// Whether `text` is like `pattern`, in which one `*` is any run of characters.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        let all = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        CorsRule {
            origins: all(origins),
            methods: all(methods),
            headers: all(headers),
            ..CorsRule::default()
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let mut second = rule(&["*"], &["GET"], &[]);
        second.max_age = Some(7);
        let cors = Cors {
            rules: vec![
                rule(
                    &["https://*.example.com"],
                    &["GET", "PUT"],
                    &["x-amz-*", "Content-Type"],
                ),
                second,
            ],
        };
        let found = |origin, method, headers: &[&str]| {
            let allowed = cors.allowed(origin, method, headers)?;
            let at = cors.rules.iter().position(|rule| rule == allowed.rule)?;
            Some((at, allowed.any_origin))
        };
        let page = "https://app.example.com";
        assert_eq!(
            found(page, "PUT", &["X-Amz-Date", "content-type"]),
            Some((0, false))
        );
        assert_eq!(found(page, "PUT", &["Authorization"]), None);
        assert_eq!(found(page, "DELETE", &[]), None);
        assert_eq!(found("https://other.org", "GET", &[]), Some((1, true)));
        assert_eq!(found("https://other.org", "PUT", &[]), None);
        // What is before and behind the `*` does not overlap.
        let cors = Cors {
            rules: vec![rule(&["http://aa*aa"], &["GET"], &[])],
        };
        assert!(cors.allowed("http://aaa", "GET", &[]).is_none());
        assert!(cors.allowed("http://aaaa", "GET", &[]).is_some());
    }

    #[test]
    fn rules_read_back_and_wrong_ones_are_refused() {
        let mut one = rule(&["http://a"], &["GET"], &["*"]);
        (one.id, one.expose, one.max_age) = ("one".into(), vec!["ETag".into()], Some(3000));
        let cors = Cors {
            rules: vec![one.clone(), rule(&["*"], &["HEAD"], &[])],
        };
        cors.check().unwrap();
        let bytes = cors.encode();
        assert_eq!(Cors::decode(&bytes).unwrap(), cors);
        for end in 0..bytes.len() {
            assert!(Cors::decode(&bytes[..end]).is_err());
        }
        let wrong = |change: &dyn Fn(&mut CorsRule)| {
            let mut rule = one.clone();
            change(&mut rule);
            Cors { rules: vec![rule] }.check().is_err()
        };
        assert!(wrong(&|rule| rule.methods = vec!["PATCH".into()]));
        assert!(wrong(&|rule| rule.methods = vec!["get".into()]));
        assert!(wrong(&|rule| rule.origins = vec!["http://*.*".into()]));
        assert!(wrong(&|rule| rule.expose = vec!["x-*".into()]));
        assert!(wrong(&|rule| rule.origins.clear()));
        assert!(wrong(&|rule| rule.headers = vec!["a\r\nb".into()]));
        assert!(Cors::default().check().is_err());
        let many = Cors {
            rules: vec![one; RULES_MAX + 1],
        };
        assert!(many.check().is_err());
    }
}
