//! What a bucket's replication configuration says: which versions go to which other bucket.

use types::{BucketName, Timestamp};

use crate::{
    Result,
    records::codec::{Reader, Writer},
};

const VERSION: u8 = 1;

const FLAG_ENABLED: u8 = 1;
const FLAG_MARKERS: u8 = 2;
const FLAG_EXISTING: u8 = 4;
const FLAG_FILTER: u8 = 8;

/// One rule ("ReplicationRule" in the S3 API reference).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in the configuration.
    pub id: String,
    /// Among rules for one destination that fit a version the highest decides.
    pub priority: i32,
    /// Whether it counts.
    pub enabled: bool,
    /// Keys begin with it.
    pub prefix: String,
    /// Versions have all of these tags.
    pub tags: Vec<(String, String)>,
    /// Whether it was given with a `Filter`, and so comes back with one.
    pub filtered: bool,
    /// Delete markers go too.
    pub delete_markers: bool,
    /// Versions that were there before the rule go too.
    pub existing: bool,
    /// Where to.
    pub destination: BucketName,
    /// Since when it is in force.
    pub since: Timestamp,
}

/// A bucket's replication configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The role that the client named. It is kept and given back; the owner's buckets need none.
    pub role: String,
    /// The rules, as they were given.
    pub rules: Vec<Rule>,
}

/// A version, as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The object's key.
    pub key: &'a str,
    /// When it was written.
    pub written: Timestamp,
    /// Its tags.
    pub tags: &'a [(String, String)],
    /// It is a delete marker.
    pub delete_marker: bool,
}

impl Rule {
    /// Whether a version is what the rule is about; a marker may be and yet not go.
    fn fits(&self, version: Candidate<'_>) -> bool {
        self.enabled
            && version.key.starts_with(&self.prefix)
            && self.tags.iter().all(|tag| version.tags.contains(tag))
            && (self.existing || version.written >= self.since)
    }
}

impl Rules {
    /// Whether a version goes to `destination`: the rule with the highest priority that fits it
    /// decides.
    pub fn send(&self, version: Candidate<'_>, destination: &BucketName) -> bool {
        let fitting = self.rules.iter();
        let fitting = fitting.filter(|r| r.destination == *destination && r.fits(version));
        let decides = fitting.max_by_key(|rule| rule.priority);
        decides.is_some_and(|rule| !version.delete_marker || rule.delete_markers)
    }

    /// The buckets that enabled rules name, each once, in order.
    pub fn destinations(&self) -> Vec<BucketName> {
        let enabled = self.rules.iter().filter(|rule| rule.enabled);
        let mut all: Vec<BucketName> = enabled.map(|rule| rule.destination.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Rules that were in force before are so since then; the others since `now`.
    #[must_use]
    pub fn following_on(mut self, before: Option<&Self>, now: Timestamp) -> Self {
        for rule in &mut self.rules {
            rule.since = now;
            let same = before.and_then(|before| {
                let mut old = before.rules.iter();
                old.find(|old| {
                    Rule {
                        since: now,
                        ..(*old).clone()
                    } == *rule
                })
            });
            rule.since = same.map_or(now, |old| old.since);
        }
        self
    }

    /// A number that differs between configurations.
    pub fn generation(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.encode())
    }

    /// The bytes of it that are stored and travel.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.text(&self.role).count(self.rules.len());
        for rule in &self.rules {
            let flags = [
                (rule.enabled, FLAG_ENABLED),
                (rule.delete_markers, FLAG_MARKERS),
                (rule.existing, FLAG_EXISTING),
                (rule.filtered, FLAG_FILTER),
            ];
            let set = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag);
            out.u8(set.sum()).text(&rule.id);
            out.raw(&rule.priority.to_be_bytes()).text(&rule.prefix);
            out.pairs(&rule.tags).text(&rule.destination);
            out.u64(rule.since.ms());
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a replication configuration")?;
        let role = r.text()?;
        let mut rules = Vec::new();
        for _ in 0..r.count(29)? {
            let flags = r.u8()?;
            let id = r.text()?;
            let priority = r.raw(4)?.try_into().map_err(|_| r.damaged())?;
            rules.push(Rule {
                id,
                priority: i32::from_be_bytes(priority),
                enabled: flags & FLAG_ENABLED != 0,
                prefix: r.text()?,
                tags: r.pairs()?,
                filtered: flags & FLAG_FILTER != 0,
                delete_markers: flags & FLAG_MARKERS != 0,
                existing: flags & FLAG_EXISTING != 0,
                destination: BucketName::new(&r.text()?)?,
                since: r.time()?,
            });
        }
        r.end()?;
        Ok(Self { role, rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, priority: i32, to: &str) -> Rule {
        Rule {
            id: id.to_owned(),
            priority,
            enabled: true,
            prefix: String::new(),
            tags: Vec::new(),
            filtered: true,
            delete_markers: false,
            existing: false,
            destination: BucketName::new(to).unwrap(),
            since: Timestamp::from_ms(100),
        }
    }

    fn version<'a>(key: &'a str, tags: &'a [(String, String)]) -> Candidate<'a> {
        Candidate {
            key,
            written: Timestamp::from_ms(100),
            tags,
            delete_marker: false,
        }
    }

    fn rules(rules: Vec<Rule>) -> Rules {
        let role = "arn:aws:iam::1:role/r".to_owned();
        Rules { role, rules }
    }

    #[test]
    fn the_highest_rule_that_fits_decides_for_each_destination() {
        let (one, two) = (
            BucketName::new("one").unwrap(),
            BucketName::new("two").unwrap(),
        );
        let tag = [("colour".to_owned(), "blue".to_owned())];
        let all = rules(vec![
            Rule {
                delete_markers: true,
                ..rule("all", 1, "one")
            },
            Rule {
                prefix: "logs/".to_owned(),
                ..rule("logs", 2, "one")
            },
            Rule {
                tags: tag.to_vec(),
                ..rule("blue", 3, "two")
            },
            Rule {
                enabled: false,
                ..rule("off", 9, "one")
            },
        ]);
        assert_eq!(all.destinations(), [one.clone(), two.clone()]);
        let marker = |key| Candidate {
            delete_marker: true,
            ..version(key, &[])
        };
        assert!(all.send(version("a", &[]), &one) && !all.send(version("a", &[]), &two));
        assert!(all.send(version("a", &tag), &two));
        assert!(all.send(marker("a"), &one) && !all.send(marker("logs/a"), &one));
        let early = Candidate {
            written: Timestamp::from_ms(99),
            ..version("a", &[])
        };
        assert!(!all.send(early, &one));
        let existing = rules(vec![Rule {
            existing: true,
            ..rule("all", 1, "one")
        }]);
        assert!(existing.send(early, &one));
    }

    #[test]
    fn a_configuration_reads_back_and_nothing_shorter_does() {
        let tag = ("a".to_owned(), "b".to_owned());
        let all = rules(vec![
            Rule {
                tags: vec![tag],
                prefix: "p".to_owned(),
                ..rule("x", -3, "one")
            },
            Rule {
                enabled: false,
                existing: true,
                filtered: false,
                ..rule("y", 3, "two")
            },
        ]);
        let bytes = all.encode();
        assert_eq!(Rules::decode(&bytes).unwrap(), all);
        for len in 0..bytes.len() {
            assert!(Rules::decode(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_rule_that_stays_stands_since_it_was_made() {
        let before = rules(vec![rule("stays", 1, "one"), rule("changes", 2, "one")]);
        let changed = Rule {
            priority: 3,
            ..rule("changes", 2, "one")
        };
        let now = Timestamp::from_ms(500);
        let after = rules(vec![rule("stays", 1, "one"), changed]).following_on(Some(&before), now);
        assert_eq!(after.rules[0].since.ms(), 100);
        assert_eq!(after.rules[1].since.ms(), 500);
        assert_ne!(after.generation(), before.generation());
        let anew = before.clone().following_on(None, now);
        assert_eq!(anew.rules[0].since.ms(), 500);
    }
}
