//! Numbers, times and addresses in documents and requests.

use std::net::{IpAddr, Ipv6Addr};

use types::Timestamp;

use super::text::Chars;

/// Digits after the point of a number. More are refused.
const FRACTION: u32 = 9;
/// Most digits before the point.
const WHOLE: usize = 18;

/// A decimal number, times 10 to the ninth.
pub(super) fn number(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
        None => (digits, &[][..]),
    };
    let bare = point.is_some() && fraction.is_empty();
    if whole.is_empty() || bare || whole.len() > WHOLE || fraction.len() > FRACTION as usize {
        return None;
    }
    let mut number: i128 = 0;
    for byte in whole.iter().chain(fraction) {
        number = number * 10 + i128::from(char::from(*byte).to_digit(10)?);
    }
    number *= 10i128.pow(FRACTION - fraction.len() as u32);
    Some(if negative { -number } else { number })
}

/// A whole number as [`number`] has it.
pub(super) fn whole(number: i64) -> i128 {
    i128::from(number) * 10i128.pow(FRACTION)
}

/// A time as text, as `aws:CurrentTime` has it.
pub(super) fn written<'a>(at: Timestamp) -> Chars<'a> {
    let (days, second) = (at.s() / 86_400, at.s() % 86_400);
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second % 3600 / 60, second % 60);
    Chars::written(format_args!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// The date that is so many days after 1970-01-01. Years begin in March here, so that the day of a
/// leap year is the last.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let civil = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(civil <= 2);
    (year, civil, day - (153 * month + 2) / 5 + 1)
}

fn days_before(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time in milliseconds since the epoch: ISO 8601 from a date to fractions of a second, with an
/// offset or `Z` (without one it is UTC), or whole seconds since the epoch.
pub(super) fn time(text: &[u8]) -> Option<i128> {
    if text.iter().all(u8::is_ascii_digit) {
        return Some(number(text)? / 10i128.pow(FRACTION - 3));
    }
    let mut text = Reader(text);
    let year = text.digits(4)?;
    text.take(b'-')?;
    let month = text.digits(2)?;
    let day = match text.take(b'-') {
        Some(()) => text.digits(2)?,
        None => 1,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i128::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return None;
    }
    let mut ms = days_before(year, month, day) * 86_400_000;
    if text.0.is_empty() {
        return Some(ms);
    }
    text.take(b'T').or_else(|| text.take(b't'))?;
    let hour = text.digits(2)?;
    text.take(b':')?;
    let minute = text.digits(2)?;
    let mut second = 0;
    let mut fraction = 0;
    if text.take(b':').is_some() {
        second = text.digits(2)?;
        if text.take(b'.').is_some() {
            fraction = text.thousandths()?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    ms += ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    let offset = text.offset()?;
    text.0.is_empty().then_some(ms - offset * 60_000)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    fn digits(&mut self, count: usize) -> Option<i128> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, byte| {
            Some(number * 10 + i128::from(char::from(*byte).to_digit(10)?))
        })
    }

    /// What follows a point, in thousandths; finer ones are dropped.
    fn thousandths(&mut self) -> Option<i128> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let digit = |n: usize| digits.get(n).map_or(0, |b| i128::from(b - b'0'));
        (count > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// Minutes before UTC.
    fn offset(&mut self) -> Option<i128> {
        if self.0.is_empty() || self.take(b'Z').or_else(|| self.take(b'z')).is_some() {
            return Some(0);
        }
        let sign = match self.take(b'+') {
            Some(()) => 1,
            None => self.take(b'-').map(|()| -1)?,
        };
        let hour = self.digits(2)?;
        let _ = self.take(b':');
        let minute = self.digits(2)?;
        (hour <= 23 && minute <= 59).then_some(sign * (hour * 60 + minute))
    }
}

/// A range of addresses. One of IPv4 holds none of IPv6, and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    pub v4: bool,
    /// The first address, aligned to the left.
    pub first: u128,
    pub bits: u8,
}

fn aligned(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (true, u128::from(u32::from(v4)) << 96),
        IpAddr::V6(v6) => (false, u128::from(v6)),
    }
}

impl Network {
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let plain = bits.bytes().all(|b| b.is_ascii_digit());
                (address, Some(bits.parse::<u8>().ok().filter(|_| plain)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (v4, first) = aligned(address);
        // An address of IPv4 that is written as one of IPv6 counts its bits as one of IPv6.
        let before = if v4 && address.is_ipv6() { 96 } else { 0 };
        let most = if v4 { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.checked_sub(before)?,
        };
        (bits <= most).then_some(Self { v4, first, bits })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (v4, address) = aligned(address);
        let differ = (address ^ self.first).checked_shr(128 - u32::from(self.bits));
        v4 == self.v4 && (self.bits == 0 || differ == Some(0))
    }
}

/// The address in a text.
pub(super) fn address(chars: &Chars<'_>) -> Option<IpAddr> {
    let mut bytes = [0; Ipv6Addr::BITS as usize / 2];
    let mut len = 0;
    for byte in chars.bytes() {
        *bytes.get_mut(len)? = byte;
        len += 1;
    }
    std::str::from_utf8(bytes.get(..len)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimals() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1000", Some(1_000_000_000_000)),
            ("1.5", Some(1_500_000_000)),
            ("-1.000000001", Some(-1_000_000_001)),
            ("+2", Some(2_000_000_000)),
            ("007", Some(7_000_000_000)),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        for bad in [
            "",
            "-",
            ".5",
            "1.",
            "1e3",
            "1,5",
            " 1",
            "0x1",
            "1.0000000001",
            "1234567890123456789",
        ] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn times_are_read_as_jiff_reads_them() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.999Z",
            "2100-03-01T00:00:00+05:30",
            "1969-12-31T23:59:59Z",
            "0001-01-01T00:00:00-01:00",
        ] {
            let expected: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(
                time(text.as_bytes()),
                Some(expected.as_millisecond().into())
            );
        }
        for (text, same) in [
            ("2026-11-29", "2026-11-29T00:00:00Z"),
            ("2026-11", "2026-11-01T00:00:00Z"),
            ("2026-11-29T10:20", "2026-11-29T10:20:00Z"),
            ("2026-11-29T10:20:30", "2026-11-29T10:20:30Z"),
            ("2026-11-29T10:20:30.1239Z", "2026-11-29T10:20:30.123Z"),
            ("2026-11-29T10:20:30+0530", "2026-11-29T04:50:30Z"),
            ("1795947630", "2026-11-29T10:20:30Z"),
        ] {
            assert_eq!(time(text.as_bytes()), time(same.as_bytes()), "{text}");
        }
        for bad in [
            "",
            "2026-13-01",
            "2026-02-29",
            "2026-11-29T24:00:00Z",
            "2026-11-29T10:20:30.Z",
            "2026-11-29T10Z",
            "2026-11-29 10:20:30Z",
            "2026-11-29T10:20:30Zx",
            "tomorrow",
            "-1",
        ] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn times_are_written_to_the_second() {
        for s in [0, 951_827_696, 1_795_947_630, 253_402_300_799] {
            let at = Timestamp::from_s(s);
            let text = written(at);
            assert_eq!(
                text.whole(),
                Some(&at.iso8601().replace(".000", "").into_bytes()[..])
            );
            assert_eq!(time(text.whole().unwrap()), Some(i128::from(at.ms())));
        }
    }

    #[test]
    fn addresses_of_ipv4_are_the_same_in_either_form() {
        let within = |network: &str, address: &str| {
            let network = Network::parse(network).unwrap();
            network.contains(address.parse().unwrap())
        };
        for (network, address, expected) in [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.77/24", "203.0.113.1", true),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.7", false),
            ("::/0", "2001:db8::1", true),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            assert_eq!(within(network, address), expected, "{network} {address}");
        }
        for bad in [
            "",
            "203.0.113",
            "203.0.113.0/33",
            "203.0.113.0/",
            "203.0.113.0/+8",
            "::/129",
            "::ffff:203.0.113.0/24",
            "*",
            "203.0.113.*",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
