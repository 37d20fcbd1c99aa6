//! When an event is due: real time, a multiple of it, a fixed rate, or at once.
//!
//! Pure arithmetic; the caller has the clock and does the waiting.

use std::time::Duration;

use crate::error::{Error, Result};

/// How fast events leave.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Rate {
    /// As fast as they are made.
    #[default]
    Unlimited,
    /// So many a second.
    PerSecond(f64),
    /// Event time passes so many times faster than the clock: 1 is real time.
    TimesRealTime(f64),
}

impl Rate {
    /// Reads `max`, `5000` (events a second), `realtime` or `10x`.
    pub fn parse(text: &str) -> Result<Self> {
        let positive = |number: &str| number.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
        match text.trim() {
            "max" => Some(Self::Unlimited),
            "realtime" => Some(Self::TimesRealTime(1.0)),
            text => match text.strip_suffix('x') {
                Some(times) => positive(times).map(Self::TimesRealTime),
                None => positive(text).map(Self::PerSecond),
            },
        }
        .ok_or_else(|| {
            Error::config(format!("\"{text}\" is not a rate"))
                .hint("write max, a number of events a second (5000), realtime, or a multiple of it (10x)")
        })
    }
}

/// Says how long to wait before each event.
#[derive(Debug, Clone)]
pub struct Pacer {
    rate: Rate,
    sent: u64,
    first_ms: Option<i64>,
}

impl Pacer {
    /// Nothing has been sent yet.
    pub fn new(rate: Rate) -> Self {
        Self { rate, sent: 0, first_ms: None }
    }

    /// Counts one event, with its event time in milliseconds, and returns how long to wait before it may leave;
    /// `elapsed` is the time since the first one left. Late events leave at once.
    pub fn wait(&mut self, time_ms: i64, elapsed: Duration) -> Duration {
        let due_seconds = match self.rate {
            Rate::Unlimited => return Duration::ZERO,
            Rate::PerSecond(rate) => self.sent as f64 / rate,
            Rate::TimesRealTime(times) => {
                let first_ms = *self.first_ms.get_or_insert(time_ms);
                time_ms.saturating_sub(first_ms).max(0) as f64 / 1_000.0 / times
            }
        };
        self.sent += 1;
        Duration::try_from_secs_f64(due_seconds).unwrap_or(Duration::MAX).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let check = |text: &str, wanted: Option<Rate>| assert_eq!(Rate::parse(text).ok(), wanted, "{text}");
        check("max", Some(Rate::Unlimited));
        check("5000", Some(Rate::PerSecond(5_000.0)));
        check("0.5", Some(Rate::PerSecond(0.5)));
        check("realtime", Some(Rate::TimesRealTime(1.0)));
        check("10x", Some(Rate::TimesRealTime(10.0)));
        for bad in ["", "x", "0", "-1", "0x", "nan", "inf", "fast", "10 000"] {
            check(bad, None);
        }
    }

    #[test]
    fn events_wait_until_they_are_due() {
        let second = Duration::from_secs(1);
        let mut fixed = Pacer::new(Rate::PerSecond(2.0));
        assert_eq!(fixed.wait(0, Duration::ZERO), Duration::ZERO);
        assert_eq!(fixed.wait(0, Duration::ZERO), second / 2);
        assert_eq!(fixed.wait(0, second / 4), second * 3 / 4);
        assert_eq!(fixed.wait(0, second * 9), Duration::ZERO);

        let mut real = Pacer::new(Rate::TimesRealTime(2.0));
        assert_eq!(real.wait(10_000, Duration::ZERO), Duration::ZERO);
        assert_eq!(real.wait(14_000, second), second);
        assert_eq!(real.wait(9_000, second), Duration::ZERO);

        let mut unlimited = Pacer::new(Rate::Unlimited);
        assert_eq!(unlimited.wait(10, Duration::ZERO), Duration::ZERO);
        assert_eq!(unlimited.wait(i64::MAX, Duration::ZERO), Duration::ZERO);
    }
}
