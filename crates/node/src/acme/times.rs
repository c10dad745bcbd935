//! When a certificate is ordered.

use std::time::Duration;

use listener::Good;
use types::Timestamp;

use super::Failed;

/// The first pause after a failure is a two-hundredth of the certificate's life, and no longer than
/// this. Each one after it is twice as long, up to a twentieth of the life or the second bound. So
/// five orders fail within the first hour, which is what Let's Encrypt allows.
const FIRST_PAUSE_MAX: Duration = Duration::from_secs(120);
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The life of a certificate before there is one.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// So many failures count after a start: whoever has put right what was wrong, and starts the
/// region again, waits for a quarter of an hour at most.
const COUNT_AT_START_MAX: u32 = 4;

fn life(issued: Option<&Good>) -> Duration {
    issued.map_or(LIFE, |good| {
        let ms = good.not_after.ms().saturating_sub(good.not_before.ms());
        Duration::from_millis(ms)
    })
}

/// `part` of a jitter between 0 and 1.
fn share(part: Duration, jitter: u64) -> Duration {
    let thousandth = u32::try_from(jitter % 1000).unwrap_or(0);
    part * thousandth / 1000
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_ms(at.ms().saturating_add(ms))
}

/// When the next order is due after one that did not fail: at two thirds of the certificate's life,
/// or up to a twentieth of it before, so that regions do not all come at once; at once where there
/// is none for these names. `kept` is when one was last issued to this process: with a clock that
/// is wrong a third of its life passes all the same before the next.
pub(super) fn due(
    issued: Option<&Good>,
    names: &[String],
    kept: Option<Timestamp>,
    jitter: u64,
) -> Timestamp {
    let long = life(issued);
    let soonest = kept.map_or(Timestamp::from_ms(0), |at| after(at, long / 3));
    match issued.filter(|good| names.iter().all(|name| good.names.contains(name))) {
        None => soonest,
        Some(good) => {
            let wait = (long / 3 * 2).saturating_sub(share(long / 20, jitter));
            after(good.not_before, wait).max(soonest)
        }
    }
}

/// When the next order is due, after one that failed. The server may ask for a longer pause.
pub(super) fn again(
    failed: &Failed,
    issued: Option<&Good>,
    retry_after: Option<Duration>,
    jitter: u64,
) -> Timestamp {
    let long = life(issued);
    let first = (long / 200).clamp(PAUSE_MIN, FIRST_PAUSE_MAX);
    let most = (long / 20).clamp(first, PAUSE_MAX);
    let doubled = failed.count.saturating_sub(1).min(20);
    let pause = first.saturating_mul(1 << doubled).min(most);
    let pause = pause + share(pause / 10, jitter);
    after(
        Timestamp::from_ms(failed.at_ms),
        pause.max(retry_after.unwrap_or_default()),
    )
}

/// What counts of earlier failures after a start.
pub(super) fn at_start(failed: Failed) -> Failed {
    Failed {
        count: failed.count.min(COUNT_AT_START_MAX),
        ..failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn good(life_s: u64) -> Good {
        Good {
            names: vec!["a.example".into(), "b.example".into()],
            not_before: Timestamp::from_s(1_000_000),
            not_after: Timestamp::from_s(1_000_000 + life_s),
        }
    }

    fn failed(count: u32) -> Failed {
        Failed {
            count,
            at_ms: 5_000_000,
            names: Vec::new(),
        }
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_a_little_before() {
        let names = ["a.example".to_owned()];
        let issued = good(90 * DAY);
        let at = |jitter| due(Some(&issued), &names, None, jitter).s() - 1_000_000;
        assert_eq!(at(0), 60 * DAY);
        for jitter in [1, 500, 999, u64::MAX] {
            assert!((55 * DAY..60 * DAY).contains(&at(jitter)), "{jitter}");
        }
    }

    #[test]
    fn what_is_missing_is_due_at_once_and_nothing_twice_within_a_third_of_its_life() {
        let other = ["c.example".to_owned()];
        assert_eq!(due(None, &other, None, 7).ms(), 0);
        assert_eq!(due(Some(&good(90 * DAY)), &other, None, 7).ms(), 0);
        // The clock is ahead: what was just issued is old already.
        let kept = Timestamp::from_s(1_000_000 + 80 * DAY);
        let names = ["a.example".to_owned()];
        let next = due(Some(&good(90 * DAY)), &names, Some(kept), 7);
        assert_eq!(next.s() - kept.s(), 30 * DAY);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_a_server_may_ask_for_longer_ones() {
        let pause = |count, issued: Option<&Good>, asked| {
            let at = again(&failed(count), issued, asked, 0);
            (at.ms() - 5_000_000) / 1000
        };
        assert_eq!(
            [1, 2, 3, 4, 5].map(|n| pause(n, None, None)),
            [120, 240, 480, 960, 1920]
        );
        assert_eq!(pause(u32::MAX, None, None), 6 * 3600);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(pause(1, None, hour), 3600);
        assert_eq!(pause(30, None, hour), 6 * 3600);
        // Of ten minutes.
        let short = good(600);
        assert_eq!([1, 2, 9].map(|n| pause(n, Some(&short), None)), [3, 6, 30]);
        let jittered = again(&failed(1), None, None, 999).ms() - 5_000_000;
        assert!((120_000..=132_000).contains(&jittered));
        assert_eq!(at_start(failed(50)).count, 4);
    }
}
