//! Times as issuers write them: lifetimes and moments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// More seconds since 1970 than this are taken for milliseconds: it is the year 5138 in the one, 1973 in the other.
const MOST_SECONDS: f64 = 1e11;

/// The last second of the year 9999; a moment after it is none.
const LAST_MOMENT: Duration = Duration::from_secs(253_402_300_799);

/// The longest lifetime read, that of `i32::MAX` seconds; see [`Tokens::with_expires_in`](crate::Tokens::with_expires_in).
const LONGEST_LIFE: f64 = i32::MAX as f64;

/// A lifetime that counts this unit, in whole seconds; `None` if it says nothing.
pub(crate) fn lifetime(value: &Value, unit: Duration) -> Option<Duration> {
    let seconds = number(value)? * unit.as_secs_f64();
    let life = Duration::try_from_secs_f64(seconds.min(LONGEST_LIFE)).ok()?;
    Some(Duration::from_secs(life.as_secs())).filter(|life| !life.is_zero())
}

/// A moment in seconds or milliseconds since 1970; `None` if it says nothing.
pub(crate) fn moment(value: &Value) -> Option<SystemTime> {
    let number = number(value)?;
    let seconds = if number > MOST_SECONDS { number / 1000.0 } else { number };
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|since| *since <= LAST_MOMENT)?;
    UNIX_EPOCH.checked_add(since)
}

/// A number above zero, written as one or as a text.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.is_finite() && number > 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn value(written: &str) -> Value {
        serde_json::from_str(written).unwrap()
    }

    #[test]
    fn a_lifetime_is_read_in_every_form_it_is_written_in() {
        let cases = [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("\" 3600 \"", Some(3600)),
            ("3600.0", Some(3600)),
            ("3599.9", Some(3599)),
            ("\"3600.0\"", Some(3600)),
            ("3.6e3", Some(3600)),
            ("null", None),
            ("0", None),
            ("\"0\"", None),
            ("0.4", None),
            ("-1", None),
            ("\"-3600\"", None),
            ("\"\"", None),
            ("\"soon\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("true", None),
            ("[3600]", None),
            ("{\"s\":3600}", None),
            ("2147483648", Some(2_147_483_647)),
            ("18446744073709551616", Some(2_147_483_647)),
            ("1e300", Some(2_147_483_647)),
        ];
        for (written, expected) in cases {
            let life = lifetime(&value(written), SECOND);
            assert_eq!(life, expected.map(Duration::from_secs), "{written}");
        }
        let cases =
            [("3600000", Some(3600)), ("\"3599999\"", Some(3599)), ("999", None), ("1e300", Some(2_147_483_647))];
        for (written, expected) in cases {
            let life = lifetime(&value(written), Duration::from_millis(1));
            assert_eq!(life, expected.map(Duration::from_secs), "{written} ms");
        }
    }

    #[test]
    fn a_moment_of_expiry_is_read_in_seconds_and_in_milliseconds() {
        let cases = [
            ("1900000000", Some(1_900_000_000)),
            ("\"1900000000\"", Some(1_900_000_000)),
            ("1900000000000", Some(1_900_000_000)),
            ("1900000000.9", Some(1_900_000_000)),
            ("0", None),
            ("-5", None),
            ("1e300", None),
            ("\"2030-03-17T17:46:40Z\"", None),
            ("null", None),
        ];
        for (written, expected) in cases {
            let since = moment(&value(written)).map(|moment| moment.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(since, expected, "{written}");
        }
    }
}
