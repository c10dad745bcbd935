//! What is known of how a request came, and its form between regions.
//!
//! A region that forwards a request relays the head that the customer signed, and the region that
//! acts reads the kind and time of the signature, `User-Agent` and `Referer` there: there is no
//! second description of these. What no head says is in a field of its own
//! ([`RequestFacts::to_text`]). Only the region that forwards says so, whatever the signature
//! proves.

use std::{fmt::Write, net::IpAddr};

use types::{Timestamp, TlsVersion};

use crate::AuthType;

/// Longest field between regions.
pub const FACTS_BYTES_MAX: usize = 256;
/// The version of the form; a later one is not understood.
const VERSION: &str = "1";

/// How a request came. What is `None` is not known: not said by the region that forwards, such as
/// one with an older release, or not yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The address of the client's end of the connection, or of its connection to a proxy that is
    /// trusted to say so; an IPv4 address always as such.
    pub source: Option<IpAddr>,
    /// How that connection was protected.
    pub transport: Option<Transport>,
    /// The version of TLS that it had; `None` where it had none, and where only a proxy knows it.
    pub tls: Option<TlsVersion>,
    /// The kind of signature.
    pub auth: Option<AuthType>,
    /// The time that was signed.
    pub signed_at: Option<Timestamp>,
    /// When its head was there, by the clock of the region that decides.
    pub read_at: Option<Timestamp>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Not at all.
    Clear,
    /// By TLS.
    Tls,
}

/// A field that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the facts of a forwarded request cannot be read")]
pub struct UnreadableFacts;

impl RequestFacts {
    /// Of a request that came here over a connection of a client, whose address a proxy may not
    /// know.
    pub fn of_connection(source: Option<IpAddr>, transport: Transport) -> Self {
        Self {
            source: source.map(|source| source.to_canonical()),
            transport: Some(transport),
            ..Self::default()
        }
    }

    /// The same with the version of TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<TlsVersion>) -> Self {
        Self { tls, ..self }
    }

    /// The same with what a head says of its signature.
    #[must_use]
    pub fn signed(self, auth: AuthType, at: Option<Timestamp>) -> Self {
        Self {
            auth: Some(auth),
            signed_at: at,
            ..self
        }
    }

    /// The same with the time by the clock here.
    #[must_use]
    pub fn read_at(self, now: Timestamp) -> Self {
        Self {
            read_at: Some(now),
            ..self
        }
    }

    /// What no head says, for another region.
    pub fn to_text(&self) -> String {
        let mut text = String::from(VERSION);
        if let Some(source) = self.source {
            let _ = write!(text, ";source={source}");
        }
        match self.transport {
            Some(Transport::Clear) => text.push_str(";transport=clear"),
            Some(Transport::Tls) => text.push_str(";transport=tls"),
            None => {}
        }
        if let Some(version) = self.tls {
            let _ = write!(text, ";tls={}", version.number());
        }
        text
    }

    /// What another region says. Of a later form nothing is known.
    ///
    /// # Errors
    /// It is none, too long, or says something twice.
    pub fn parse(text: &[u8]) -> Result<Self, UnreadableFacts> {
        if text.len() > FACTS_BYTES_MAX {
            return Err(UnreadableFacts);
        }
        let text = std::str::from_utf8(text).map_err(|_| UnreadableFacts)?;
        let mut fields = text.split(';');
        let version = fields.next().unwrap_or_default();
        if version != VERSION {
            let number = version.parse::<u32>();
            return number.map(|_| Self::default()).map_err(|_| UnreadableFacts);
        }
        let mut facts = Self::default();
        for field in fields {
            facts.read_field(field)?;
        }
        Ok(facts)
    }

    fn read_field(&mut self, field: &str) -> Result<(), UnreadableFacts> {
        let (name, value) = field.split_once('=').ok_or(UnreadableFacts)?;
        let repeated = match name {
            "source" => {
                let source: IpAddr = value.parse().map_err(|_| UnreadableFacts)?;
                self.source.replace(source.to_canonical()).is_some()
            }
            "transport" => {
                let transport = match value {
                    "clear" => Transport::Clear,
                    "tls" => Transport::Tls,
                    _ => return Err(UnreadableFacts),
                };
                self.transport.replace(transport).is_some()
            }
            "tls" => {
                let version = TlsVersion::of_number(value).ok_or(UnreadableFacts)?;
                self.tls.replace(version).is_some()
            }
            // Of a later release.
            _ => false,
        };
        match repeated {
            true => Err(UnreadableFacts),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RequestFacts, UnreadableFacts> {
        RequestFacts::parse(text.as_bytes())
    }

    #[test]
    fn facts_arrive_as_they_were_sent() {
        let addresses = ["203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"];
        for (address, transport) in addresses
            .into_iter()
            .flat_map(|a| [Transport::Clear, Transport::Tls].map(|t| (a, t)))
        {
            let facts = RequestFacts::of_connection(address.parse().ok(), transport);
            assert_eq!(read(&facts.to_text()), Ok(facts));
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let facts = facts.with_tls(Some(version));
                assert_eq!(read(&facts.to_text()), Ok(facts));
            }
            // What the head says is read there.
            let signed = facts.signed(AuthType::HeaderV4, Some(Timestamp::from_s(1)));
            assert_eq!(read(&signed.to_text()), Ok(facts));
        }
        let mapped = read("1;source=::ffff:203.0.113.7").unwrap();
        assert_eq!(mapped.source, Some("203.0.113.7".parse().unwrap()));
        let none = RequestFacts::default();
        assert_eq!(read(&none.to_text()), Ok(none));
    }

    #[test]
    fn what_is_not_understood_is_unknown_and_what_is_wrong_is_refused() {
        assert_eq!(read("2;anything"), Ok(RequestFacts::default()));
        let known = read("1;later=yes;transport=tls").unwrap();
        assert_eq!(
            (known.transport, known.source),
            (Some(Transport::Tls), None)
        );
        let long = format!("1;later={}", "a".repeat(FACTS_BYTES_MAX));
        for bad in [
            "",
            "source=203.0.113.7",
            "1;",
            "1;source",
            "1;source=",
            "1;source=203.0.113.7:80",
            "1;source=host.example.com",
            "1;source=203.0.113.7;source=203.0.113.8",
            "1;transport=TLS",
            "1;transport=tls;transport=clear",
            "1;tls=",
            "1;tls=TLSv1.3",
            "1;tls=1.2;tls=1.3",
            &long,
        ] {
            assert_eq!(read(bad), Err(UnreadableFacts), "{bad}");
        }
        assert_eq!(RequestFacts::parse(b"1;source=\xff"), Err(UnreadableFacts));
    }
}
