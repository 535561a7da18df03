//! Redirects: whether a client may follow one with what was placed on the request.

use reqwest::Url;

use crate::policy::origins::Origins;

/// Whether a request that began at `first` may be led on to `next`, by a client whose middlewares have these origins each.
///
/// What began within the origins of one of them may carry its tokens in headers that stay on it wherever it is led, so it stays
/// within its own. What began elsewhere carries none, and may go anywhere.
pub(crate) fn may_follow(each: &[Origins], first: &Url, next: &Url) -> bool {
    each.iter().all(|origins| !origins.allows(first) || origins.allows(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_carry_tokens_leaves_the_origins() {
        let origins = Origins::new("https://api.example.com").unwrap();
        let origins = origins.and("https://*.example.org").unwrap().and("http://localhost:8080").unwrap();
        let inside = [
            "https://api.example.com/",
            "https://api.example.com:443/a?b#c",
            "https://user@api.example.com/",
            "HTTPS://API.EXAMPLE.COM/",
            "https://a.example.org/",
            "https://b.a.example.org/",
            "http://localhost:8080/",
        ];
        let outside = [
            "http://api.example.com/",
            "http://api.example.com:443/",
            "https://api.example.com:8443/",
            "https://api.example.com./",
            "https://example.com/",
            "https://v2.api.example.com/",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "https://example.org/",
            "http://a.example.org/",
            "https://a.example.org:8443/",
            "https://aexample.org/",
            "http://localhost/",
            "http://localhost:8081/",
            "http://127.0.0.1:8080/",
            "https://localhost:8080/",
            "ftp://api.example.com/",
        ];
        let url = |text: &str| Url::parse(text).unwrap();
        let mut cases = 0;
        for (first, next, expected) in inside
            .iter()
            .flat_map(|first| inside.iter().map(move |next| (first, next, true)))
            .chain(inside.iter().flat_map(|first| outside.iter().map(move |next| (first, next, false))))
            .chain(outside.iter().flat_map(|first| inside.iter().chain(&outside).map(move |next| (first, next, true))))
        {
            assert_eq!(
                may_follow(std::slice::from_ref(&origins), &url(first), &url(next)),
                expected,
                "{first} to {next}"
            );
            cases += 1;
        }
        assert_eq!(cases, 24 * 24);
        println!("figure: redirect_policy_cases = {cases} pairs");
    }
    /// Each middleware of a client for itself: no redirect leads from the origins of one to those of another.
    #[test]
    fn what_is_allowed_to_one_is_not_allowed_to_another() {
        let origins = |text: &str| Origins::new(text).unwrap();
        let each = [
            origins("https://a.example.com").and("https://shared.example.net").unwrap(),
            origins("https://*.example.com"),
            origins("https://b.example.org").and("https://shared.example.net").unwrap(),
        ];
        let cases = [
            ("https://a.example.com", "https://a.example.com", true),
            // Allowed to the second one, but not to the first, and the other way round.
            ("https://a.example.com", "https://b.example.com", false),
            ("https://a.example.com", "https://shared.example.net", false),
            ("https://b.example.com", "https://c.b.example.com", true),
            ("https://b.example.com", "https://a.example.com", true),
            ("https://b.example.com", "https://b.example.org", false),
            ("https://b.example.org", "https://shared.example.net", true),
            ("https://b.example.org", "https://b.example.com", false),
            ("https://shared.example.net", "https://shared.example.net", true),
            ("https://shared.example.net", "https://b.example.org", false),
            ("https://elsewhere.example", "https://a.example.com", true),
            ("https://elsewhere.example", "https://another.example", true),
        ];
        for (first, next, expected) in cases {
            let (first, next) = (Url::parse(first).unwrap(), Url::parse(next).unwrap());
            assert_eq!(may_follow(&each, &first, &next), expected, "{first} to {next}");
        }
    }
}
