//! Points in time and their text forms: HTTP dates (RFC 9110 section 5.6.7), the ISO 8601 form of
//! S3's XML, and the basic ISO form of signatures (`YYYYMMDDTHHMMSSZ`).

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    weekday: usize,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Appends a text and a number of so many digits; `format!` costs several times as much.
fn push(out: &mut String, text: &str, digits: u32, number: u64) {
    out.push_str(text);
    // The usual case of each form, without a loop.
    if digits == 2 && number < 100 {
        out.push(char::from(b'0' + (number / 10) as u8));
        out.push(char::from(b'0' + (number % 10) as u8));
        return;
    }
    // More digits than are asked for are kept: a year beyond 9999 stays what it is.
    let digits = match digits {
        0 => 0,
        _ => digits.max(number.checked_ilog10().map_or(1, |n| n + 1)),
    };
    for place in (0..digits).rev() {
        let digit = number / 10u64.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }
    /// From seconds since the epoch.
    pub const fn from_s(s: u64) -> Self {
        Self(s * 1000)
    }
    /// Milliseconds since the epoch.
    pub const fn ms(self) -> u64 {
        self.0
    }
    /// Whole seconds since the epoch.
    pub const fn s(self) -> u64 {
        self.0 / 1000
    }

    // Days-to-date by eras of 400 years, counted from March 1st of year 0.
    fn civil(self) -> Civil {
        let s = self.s();
        let days = s / 86_400;
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z - era * 146_097;
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Civil {
            year: yoe + era * 400 + u64::from(month <= 2),
            month,
            day: doy - (153 * mp + 2) / 5 + 1,
            hour: s % 86_400 / 3600,
            minute: s % 3600 / 60,
            second: s % 60,
            weekday: ((days + 4) % 7) as usize,
        }
    }

    /// `Wed, 21 Oct 2015 07:28:00 GMT`.
    pub fn http_date(self) -> String {
        let c = self.civil();
        if c.year <= 9999 {
            // Every answer has such a date: put together in place, by pairs of digits.
            let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
            text[..3].copy_from_slice(DAYS[c.weekday].as_bytes());
            text[8..11].copy_from_slice(MONTHS[(c.month - 1) as usize].as_bytes());
            for (at, number) in [
                (5, c.day),
                (12, c.year / 100),
                (14, c.year % 100),
                (17, c.hour),
                (20, c.minute),
                (23, c.second),
            ] {
                text[at] = b'0' + (number / 10) as u8;
                text[at + 1] = b'0' + (number % 10) as u8;
            }
            return std::str::from_utf8(&text).unwrap_or_default().to_owned();
        }
        format!(
            "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
            DAYS[c.weekday],
            c.day,
            MONTHS[(c.month - 1) as usize],
            c.year,
            c.hour,
            c.minute,
            c.second
        )
    }

    /// `2015-10-21T07:28:00.123Z`, as in S3's XML.
    pub fn iso8601(self) -> String {
        let c = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            c.year,
            c.month,
            c.day,
            c.hour,
            c.minute,
            c.second,
            self.0 % 1000
        )
    }

    /// `2015-10-21T07:28:00Z`, as in S3's errors.
    pub fn iso8601_seconds(self) -> String {
        let mut text = self.iso8601();
        text.truncate(text.len() - ".000Z".len());
        text.push('Z');
        text
    }

    /// `20151021T072800Z`, as in signatures.
    pub fn iso_basic(self) -> String {
        let c = self.civil();
        let mut out = String::with_capacity(16);
        for (text, digits, number) in [
            ("", 4, c.year),
            ("", 2, c.month),
            ("", 2, c.day),
            ("T", 2, c.hour),
            ("", 2, c.minute),
            ("", 2, c.second),
            ("Z", 0, 0),
        ] {
            push(&mut out, text, digits, number);
        }
        out
    }

    /// Reads `20151021T072800Z`; anything else is `None`.
    pub fn parse_iso_basic(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() != 16 || b[8] != b'T' || b[15] != b'Z' {
            return None;
        }
        let num = |r: std::ops::Range<usize>| -> Option<u64> {
            b[r].iter().try_fold(0u64, |n, c| {
                c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0'))
            })
        };
        Self::from_civil(
            num(0..4)?,
            num(4..6)?,
            num(6..8)?,
            num(9..11)?,
            num(11..13)?,
            num(13..15)?,
        )
    }

    fn from_civil(y: u64, m: u64, d: u64, h: u64, min: u64, s: u64) -> Option<Self> {
        if !(1970..=9999).contains(&y) || !(1..=12).contains(&m) || h > 23 || min > 59 || s > 59 {
            return None;
        }
        let leap = y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let month_days = [
            31,
            28 + u64::from(leap),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        if d == 0 || d > month_days[(m - 1) as usize] {
            return None;
        }
        let yy = if m <= 2 { y - 1 } else { y };
        let era = yy / 400;
        let yoe = yy - era * 400;
        let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        let days = era * 146_097 + doe - 719_468;
        Some(Self::from_s(days * 86_400 + h * 3600 + min * 60 + s))
    }

    /// Reads any of the three HTTP date forms of RFC 9110; anything else is `None`.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        if let Some(t) = Self::parse_imf_fixdate(text) {
            return Some(t);
        }
        // RFC 850 (two-digit year: nearest century not far in the future) and asctime.
        let parts: Vec<&str> = text
            .split([' ', '-', ','])
            .filter(|p| !p.is_empty())
            .collect();
        let month = |m: &str| MONTHS.iter().position(|x| *x == m).map(|i| i as u64 + 1);
        let clock = |t: &str| -> Option<(u64, u64, u64)> {
            let mut it = t.split(':').map(|n| n.parse().ok());
            Some((it.next()??, it.next()??, it.next()??))
        };
        match parts.as_slice() {
            [_, day, mon, year, time, "GMT"] if year.len() == 2 => {
                let yy: u64 = year.parse().ok()?;
                let (h, m, s) = clock(time)?;
                let year = if yy < 70 { 2000 + yy } else { 1900 + yy };
                Self::from_civil(year, month(mon)?, day.parse().ok()?, h, m, s)
            }
            [_, mon, day, time, year] => {
                let (h, m, s) = clock(time)?;
                Self::from_civil(year.parse().ok()?, month(mon)?, day.parse().ok()?, h, m, s)
            }
            _ => None,
        }
    }

    fn parse_imf_fixdate(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split([' ', ':']).filter(|p| !p.is_empty()).collect();
        let [day_name, day, month, year, h, m, s, "GMT"] = parts.as_slice() else {
            return None;
        };
        if !day_name.ends_with(',') || year.len() != 4 {
            return None;
        }
        let month = MONTHS.iter().position(|x| x == month)? as u64 + 1;
        Self::from_civil(
            year.parse().ok()?,
            month,
            day.parse().ok()?,
            h.parse().ok()?,
            m.parse().ok()?,
            s.parse().ok()?,
        )
    }

    /// Reads the extended ISO 8601 / RFC 3339 form (`2015-10-21T07:28:00[.123]Z` or an offset).
    pub fn parse_iso8601(text: &str) -> Option<Self> {
        let t: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(t.as_millisecond()).ok().map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso8601())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_of_a_known_moment() {
        let t = Timestamp::from_ms(1_445_412_480_123);
        assert_eq!(t.http_date(), "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(t.iso8601(), "2015-10-21T07:28:00.123Z");
        assert_eq!(t.iso_basic(), "20151021T072800Z");
        let late = Timestamp::from_s(253_402_300_800);
        assert_eq!(late.http_date(), "Sat, 01 Jan 10000 00:00:00 GMT");
        assert_eq!(late.iso_basic(), "100000101T000000Z");
    }

    #[test]
    fn every_day_of_two_centuries_reads_back() {
        for day in 0..73_000u64 {
            let t = Timestamp::from_s(day * 86_400 + day % 86_400);
            assert_eq!(Timestamp::parse_http_date(&t.http_date()), Some(t));
            assert_eq!(Timestamp::parse_iso_basic(&t.iso_basic()), Some(t));
            assert_eq!(Timestamp::parse_iso8601(&t.iso8601()), Some(t));
        }
    }

    #[test]
    fn obsolete_http_dates_are_read() {
        let t = Some(Timestamp::from_s(784_111_777));
        assert_eq!(
            Timestamp::parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"),
            t
        );
        assert_eq!(Timestamp::parse_http_date("Sun Nov  6 08:49:37 1994"), t);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "20151321T072800Z",
            "20150230T000000Z",
            "2015102T072800Z",
            "x",
            "",
        ] {
            assert_eq!(Timestamp::parse_iso_basic(bad), None, "{bad}");
        }
        for bad in [
            "Wed, 31 Feb 2015 07:28:00 GMT",
            "Wed 21 Oct 2015",
            "yesterday",
        ] {
            assert_eq!(Timestamp::parse_http_date(bad), None, "{bad}");
        }
    }
}
