//! How long an issuer asks to be left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

/// No longer pause is read; how long one is believed is for the session to say.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The pause that `Retry-After` asks for (RFC 9110 section 10.2.3). None, or a moment that has passed, asks for nothing.
///
/// A moment is measured against the answer's own `Date`, since the two clocks may differ, and else against `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    let pause = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that are too many for a number are a long pause all the same.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = |text| httpdate::parse_http_date(text).ok();
        let from = self::text(headers, DATE).and_then(date).unwrap_or(now);
        date(text)?.duration_since(from).ok()?
    };
    (!pause.is_zero()).then(|| pause.min(LONGEST))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        // Retry-After, Date, the pause in seconds
        let cases: [(&[u8], Option<&str>, Option<u64>); 19] = [
            (b"120", None, Some(120)),
            (b" 7 ", None, Some(7)),
            (b"86401", None, Some(86_400)),
            (b"99999999999999999999999999", None, Some(86_400)),
            (b"0", None, None),
            (b"", None, None),
            (b"-5", None, None),
            (b"1.5", None, None),
            (b"soon", None, None),
            (b"\xFF", None, None),
            (b"Sun, 06 Nov 1994 08:50:37 GMT", None, Some(60)),
            (b"Sunday, 06-Nov-94 08:50:37 GMT", None, Some(60)),
            (b"Sun Nov  6 08:50:37 1994", None, Some(60)),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", None, None),
            (b"Sun, 06 Nov 1994 08:00:00 GMT", None, None),
            (b"Fri, 31 Dec 9999 23:59:59 GMT", None, Some(86_400)),
            (b"Sun, 99 Nov 1994 08:49:37 GMT", None, None),
            (b"Sun, 06 Nov 1994 08:50:37 GMT", Some("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30)),
            (b"Sun, 06 Nov 1994 08:50:37 GMT", Some("yesterday"), Some(60)),
        ];
        for (written, date, expected) in cases {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_bytes(written).unwrap())]);
            headers.extend(date.map(|date| (DATE, HeaderValue::from_str(date).unwrap())));
            let found = retry_after(&headers, now).map(|pause| pause.as_secs());
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(written));
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
