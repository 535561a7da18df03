//! Tokens go to the origins that were named, and nowhere else, however a URL is written.

use proptest::prelude::*;
use reqwest::Url;
use reqwest_auth_refresh::{InvalidOrigin, Origins};

/// URLs as they may reach a client, under the origins that the program named.
struct Group {
    origins: fn() -> Result<Origins, InvalidOrigin>,
    /// They go to those origins.
    allowed: &'static [&'static str],
    /// They go elsewhere.
    refused: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group {
        origins: || Origins::new("https://api.example.com"),
        allowed: &[
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com/me",
            "https://api.example.com/me?x=1#y",
            "https://api.example.com?x=1",
            "https://api.example.com#y",
            // The scheme's own port.
            "https://api.example.com:443/",
            "https://api.example.com:0443/",
            "https://api.example.com:/",
            // Case.
            "HTTPS://api.example.com/",
            "hTTps://API.EXAMPLE.COM/",
            "https://Api.Example.Com:443/me",
            // Slashes that a parser mends.
            "https:api.example.com/",
            "https:/api.example.com/",
            "https:///api.example.com/",
            "https:////api.example.com/",
            "https:\\\\api.example.com\\me",
            "https:/\\api.example.com/",
            // Characters that a parser drops.
            "  https://api.example.com/  ",
            "\u{1}https://api.example.com/",
            "https://api.exam\tple.com/",
            "https://api.example\r\n.com/",
            "ht\ntps://api.example.com/",
            "https://ap\u{ad}i.example.com/",
            "https://api\u{200b}.example.com/",
            // Other ways to write the same host.
            "https://api%2Eexample%2ecom/",
            "https://%61pi.example.com/",
            "https://%41%50%49.example.com/",
            "https://\u{ff41}\u{ff50}\u{ff49}.example.com/",
            "https://api\u{3002}example\u{ff0e}com/",
            "https://\u{24d0}pi.example.com/",
            // User info.
            "https://user@api.example.com/",
            "https://user:secret@api.example.com/",
            "https://@api.example.com/",
            "https://:@api.example.com/",
            "https://:secret@api.example.com/",
            "https://evil.example@api.example.com/",
            "https://evil.example:443@api.example.com:443/",
            "https://evil.example%2F@api.example.com/",
            "https://evil.example@evil.example@api.example.com/",
            // Hosts of others behind our own.
            "https://api.example.com/@evil.example",
            "https://api.example.com//evil.example/",
            "https://api.example.com/\\evil.example/",
            "https://api.example.com/https://evil.example/",
            "https://api.example.com/../..//evil.example",
            "https://api.example.com/%2e%2e/%2f@evil.example",
            "https://api.example.com?@evil.example",
            "https://api.example.com#@evil.example",
            "https://api.example.com\\.evil.example/",
            "https://api.example.com\\@evil.example/",
        ],
        refused: &[
            // Other schemes.
            "http://api.example.com/",
            "http://api.example.com:443/",
            "HTTP://API.EXAMPLE.COM:443/",
            "ws://api.example.com/",
            "ws://api.example.com:443/",
            "wss://api.example.com/",
            "wss://api.example.com:443/",
            "ftp://api.example.com/",
            "ftp://api.example.com:443/",
            "file://api.example.com/",
            "file:///api.example.com/",
            "blob:https://api.example.com/0b6b8a5e",
            "filesystem:https://api.example.com/temporary/",
            "view-source:https://api.example.com/",
            "git+https://api.example.com/",
            "httpss://api.example.com/",
            "xhttps://api.example.com/",
            "https+unix://api.example.com/",
            "data:text/plain,https://api.example.com/",
            "javascript:fetch('https://api.example.com/')",
            "mailto:me@api.example.com",
            "about:blank",
            "urn:https://api.example.com/",
            // Other ports.
            "https://api.example.com:80/",
            "https://api.example.com:8443/",
            "https://api.example.com:0/",
            "https://api.example.com:44/",
            "https://api.example.com:4430/",
            "https://api.example.com:65535/",
            // Other hosts.
            "https://example.com/",
            "https://com/",
            "https://www.example.com/",
            "https://x.api.example.com/",
            "https://xapi.example.com/",
            "https://x-api.example.com/",
            "https://pi.example.com/",
            "https://api.example.co/",
            "https://api.example.comm/",
            "https://api.example.org/",
            "https://api-example.com/",
            "https://apiexample.com/",
            "https://*.example.com/",
            "https://api.example.com.evil.example/",
            "https://api.example.com.evil/",
            "https://api.example.com-evil.example/",
            "https://api.example.com_evil.example/",
            "https://api.example.com\u{ff0e}evil.example/",
            "https://api.example.com%2eevil.example/",
            "https://192.0.2.1/",
            "https://[2001:db8::1]/",
            "https://localhost/",
            // Dots.
            "https://api.example.com./",
            "https://api.example.com.:443/",
            "https://api.example.com%2E/",
            "https://api.example.com\u{3002}/",
            "https://user@api.example.com./",
            "https://api.example.com../",
            "https://.api.example.com/",
            "https://api..example.com/",
            // Our own host in front of another.
            "https://api.example.com@evil.example/",
            "https://api.example.com:443@evil.example/",
            "https://api.example.com:secret@evil.example/",
            "https://api.example.com%2F@evil.example/",
            "https://api.example.com%23@evil.example/",
            "https://api.example.com%5C@evil.example/",
            "https://api.example.com%00@evil.example/",
            "https://user:@api.example.com@evil.example/",
            "https://api.example.com\t@evil.example/",
            "https://api.example.com\n.evil.example/",
            "https:api.example.com@evil.example/",
            // Our own host behind another.
            "https://evil.example/api.example.com",
            "https://evil.example/https://api.example.com/",
            "https://evil.example?https://api.example.com/",
            "https://evil.example#https://api.example.com/",
            "https://evil.example/@api.example.com/",
            "https://evil.example?@api.example.com/",
            "https://evil.example#@api.example.com/",
            "https://evil.example\\@api.example.com/",
            "https://evil.example\\.api.example.com/",
            "https:evil.example/@api.example.com/",
            // Look-alikes: Cyrillic, Greek, a dotless i, and their encoded form.
            "https://\u{430}pi.example.com/",
            "https://\u{430}\u{440}\u{456}.example.com/",
            "https://api.\u{435}xample.com/",
            "https://api.ex\u{3b1}mple.com/",
            "https://ap\u{131}.example.com/",
            "https://xn--pi-6kc.example.com/",
            "https://api.xn--xample-2of.com/",
            "https://api.ex\u{e4}mple.com/",
        ],
    },
    Group {
        origins: || Origins::new("https://api.example.com:8443/"),
        allowed: &[
            "https://api.example.com:8443",
            "https://api.example.com:8443/me",
            "https://API.example.com:08443/",
            "https://user:8443@api.example.com:8443/",
        ],
        refused: &[
            "https://api.example.com/",
            "https://api.example.com:443/",
            "https://api.example.com:843/",
            "https://api.example.com:844/",
            "https://api.example.com:18443/",
            "https://api.example.com:8443@evil.example/",
            "https://api.example.com:8443@evil.example:8443/",
            "http://api.example.com:8443/",
        ],
    },
    Group {
        origins: || Origins::new("HTTPS://API.Example.com:443"),
        allowed: &["https://api.example.com/", "https://api.example.com:443/"],
        refused: &["http://api.example.com/", "https://api.example.com:80/"],
    },
    // IPv4, in every form that is the same address.
    Group {
        origins: || Origins::new("http://127.0.0.1:8080"),
        allowed: &[
            "http://127.0.0.1:8080/",
            "http://127.1:8080/",
            "http://2130706433:8080/",
            "http://0x7f000001:8080/",
            "http://0x7f.1:8080/",
            "http://0177.0.0.1:8080/",
            "http://127.0.0.1.:8080/",
            "http://%31%32%37.0.0.1:8080/",
            "http://user@127.0.0.1:8080/",
        ],
        refused: &[
            "http://127.0.0.1/",
            "http://127.0.0.1:80/",
            "http://127.0.0.1:808/",
            "http://127.0.0.2:8080/",
            "http://0.0.0.0:8080/",
            "http://localhost:8080/",
            "http://[::1]:8080/",
            "http://[::ffff:127.0.0.1]:8080/",
            "http://[::127.0.0.1]:8080/",
            "http://127.0.0.1.nip.example:8080/",
            "http://127.0.0.1@evil.example:8080/",
            "http://127.0.0.1:8080@evil.example/",
            "https://127.0.0.1:8080/",
            "ws://127.0.0.1:8080/",
        ],
    },
    Group {
        origins: || Origins::new("https://192.0.2.1"),
        allowed: &["https://192.0.2.1/", "https://3221225985/", "https://0xC0.0.2.1/", "https://0300.0.513/"],
        refused: &[
            "https://192.0.2.10/",
            "https://192.0.2.11/",
            "https://192.0.2/",
            "https://192.0.2.1.evil.example/",
            "https://192.0.2.1@192.0.2.2/",
            "https://[::ffff:192.0.2.1]/",
            "http://192.0.2.1/",
        ],
    },
    // IPv6.
    Group {
        origins: || Origins::new("http://[::1]:3000"),
        allowed: &[
            "http://[::1]:3000/",
            "http://[0:0:0:0:0:0:0:1]:3000/",
            "http://[0000::0001]:3000/",
            "http://[::0.0.0.1]:3000/",
        ],
        refused: &[
            "http://[::1]/",
            "http://[::1]:30000/",
            "http://[::2]:3000/",
            "http://[::]:3000/",
            "http://[::ffff:127.0.0.1]:3000/",
            "http://127.0.0.1:3000/",
            "http://localhost:3000/",
            "https://[::1]:3000/",
        ],
    },
    Group {
        origins: || Origins::new("https://[2001:DB8::0001]"),
        allowed: &["https://[2001:db8::1]/", "https://[2001:db8:0:0:0:0:0:1]:443/"],
        refused: &["https://[2001:db8::10]/", "https://[2001:db8::1]:8443/", "https://[2001:db8::1.0.0.0]/"],
    },
    Group {
        origins: || Origins::new("http://localhost"),
        allowed: &["http://localhost/", "http://LOCALHOST:80/"],
        refused: &[
            "http://localhost./",
            "http://localhost:8080/",
            "https://localhost/",
            "http://a.localhost/",
            "http://localhost.evil.example/",
            "http://localhost@evil.example/",
            "http://127.0.0.1/",
        ],
    },
    // Subdomains.
    Group {
        origins: || Origins::new("https://*.example.org"),
        allowed: &[
            "https://a.example.org/",
            "https://a.b.example.org/",
            "https://a.b.c.d.e.example.org/me?x#y",
            "https://A.EXAMPLE.ORG:443/",
            "https://a%2Eexample.org/",
            "https://a\u{3002}example.org/",
            "https://a-b.example.org/",
            "https://_a.example.org/",
            "https://b\u{fc}cher.example.org/",
            "https://xn--bcher-kva.example.org/",
            "https://192.0.2.1.example.org/",
            "https://example.org.example.org/",
            "https://evil.example.example.org/",
            "https://*.example.org/",
            "https://user@a.example.org/",
            "https://evil.example@a.example.org/",
            "https://a.example.org/@evil.example",
            "https://a.example.org\\.evil.example/",
        ],
        refused: &[
            "https://example.org/",
            "https://EXAMPLE.ORG:443/",
            "https://org/",
            "https://.example.org/",
            "https://..example.org/",
            "https://a..example.org/",
            "https://a..b.example.org/",
            "https://.a.example.org/",
            "https://a.example.org./",
            "https://a.example.org\u{3002}/",
            "https://example.org./",
            "https://aexample.org/",
            "https://a-example.org/",
            "https://evilexample.org/",
            "https://a.example.orgg/",
            "https://a.example.com/",
            "https://a.example/",
            "https://a.xexample.org/",
            "https://a.example.org.evil.example/",
            "https://a.example.org.example/",
            "https://a.example.org:80/",
            "https://a.example.org:8443/",
            "https://a.example.org:0/",
            "https://a.example.org@evil.example/",
            "https://evil.example/.example.org",
            "https://evil.example?.example.org",
            "https://evil.example#.example.org",
            "https://evil.example\\.example.org/",
            "https://evil.example\\a.example.org/",
            "https://a.\u{435}xample.org/",
            "https://a.xn--xample-2of.org/",
            "http://a.example.org/",
            "http://a.example.org:443/",
            "wss://a.example.org/",
            "ftp://a.example.org/",
            "file://a.example.org/",
            "blob:https://a.example.org/0b6b8a5e",
            "data:text/plain,a.example.org",
            "mailto:me@a.example.org",
            "https://192.0.2.1/",
            "https://[::1]/",
        ],
    },
    Group {
        origins: || Origins::new("https://*.Example.org:8443"),
        allowed: &["https://a.example.org:8443/", "https://a.b.example.org:08443/"],
        refused: &["https://a.example.org/", "https://example.org:8443/", "https://a.example.org:84/"],
    },
    // Names outside ASCII.
    Group {
        origins: || Origins::new("https://B\u{dc}CHER.example"),
        allowed: &[
            "https://b\u{fc}cher.example/",
            "https://bu\u{308}cher.example/",
            "https://xn--bcher-kva.example/",
            "https://XN--BCHER-KVA.example/",
            "https://b%C3%BCcher.example/",
        ],
        refused: &["https://bucher.example/", "https://buecher.example/", "https://a.b\u{fc}cher.example/"],
    },
    Group {
        origins: || Origins::new("https://xn--bcher-kva.example"),
        allowed: &["https://b\u{fc}cher.example/"],
        refused: &["https://bcher.example/", "https://bcher-kva.example/"],
    },
    Group {
        origins: || Origins::new("https://fa\u{df}.example"),
        allowed: &["https://fa\u{df}.example/", "https://xn--fa-hia.example/"],
        refused: &["https://fass.example/"],
    },
    Group {
        origins: || Origins::new("https://*.b\u{fc}cher.example"),
        allowed: &["https://a.b\u{fc}cher.example/", "https://a.xn--bcher-kva.example/"],
        refused: &["https://b\u{fc}cher.example/", "https://a.bucher.example/"],
    },
    // In the clear, by a name that says so.
    Group {
        origins: || Origins::dangerous_http("http://intranet.example:8080"),
        allowed: &["http://intranet.example:8080/", "http://INTRANET.example:8080/me"],
        refused: &[
            "https://intranet.example:8080/",
            "http://intranet.example/",
            "http://intranet.example:80/",
            "http://a.intranet.example:8080/",
            "http://intranet.example.:8080/",
            "http://other.example:8080/",
        ],
    },
    // Several.
    Group {
        origins: || {
            Origins::new("https://api.example.com")?
                .and("https://*.example.org")?
                .and("http://localhost:3000")?
                .and_dangerous_http("http://192.0.2.7")
        },
        allowed: &[
            "https://api.example.com/",
            "https://user@api.example.com/",
            "https://a.example.org/",
            "http://localhost:3000/",
            "http://192.0.2.7/",
        ],
        refused: &[
            "https://example.com/",
            "https://example.org/",
            "https://localhost:3000/",
            "http://api.example.com/",
            "http://a.example.org/",
            "https://192.0.2.7/",
            "http://192.0.2.8/",
            "https://api.example.com:3000/",
        ],
    },
];

/// Texts that look like one of our hosts and are no URL at all.
const NO_URL: &[&str] = &[
    "",
    "/me",
    "api.example.com",
    "//api.example.com/",
    "https//api.example.com/",
    "https://",
    "https:///",
    "https://?api.example.com",
    "https://#api.example.com",
    "https://:443/",
    "https://@/",
    "https://api.example.com@/",
    "https://api.example.com:443:443/",
    "https://api.example.com:65536/",
    "https://api.example.com:-1/",
    "https://api.example.com:443a/",
    "https://api.example.com:evil.example/",
    "https://api example.com/",
    "https://api.example.com%40evil.example/",
    "https://api.example.com%2Fevil.example/",
    "https://api.example.com%5Cevil.example/",
    "https://api.example.com%00.evil.example/",
    "https://api.example.com\u{ff0f}evil.example/",
    "https://api.example.com\u{2100}evil.example/",
    "https://api.example.com%zz/",
    "https://a\u{2024}example.org/",
    "https://api.<example>.com/",
    "https://api.example.com|evil.example/",
    "https://api.example.com]/",
    "https://[api.example.com]/",
    "https://[::1/",
    "https://[::1%25eth0]/",
    "https://[::1%eth0]/",
    "https://[fe80::1%25en0]:8443/",
    "https://[::1]x/",
    "https://[:::1]/",
    "https://256.0.0.1/",
    "https://1.2.3.4.5/",
    "https://0x100000000/",
    "https://08.0.0.1/",
    "https://api.example.1/",
    "https://xn--/",
];

#[test]
fn vectors() {
    let mut cases = 0;
    for group in GROUPS {
        let origins = (group.origins)().unwrap();
        for (url, verdict) in
            group.allowed.iter().map(|url| (url, true)).chain(group.refused.iter().map(|url| (url, false)))
        {
            let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url:?}: {error}"));
            assert_eq!(origins.allows(&parsed), verdict, "{url:?} under {origins:?}");
            cases += 1;
        }
    }
    for text in NO_URL {
        assert!(Url::parse(text).is_err(), "{text:?} is a URL");
        cases += 1;
    }
    println!("figure: origin_vectors = {cases} cases");
    assert!(cases >= 200, "{cases} cases");
}

#[test]
fn what_names_no_origin_is_refused() {
    use InvalidOrigin::*;
    let cases = [
        ("", Scheme),
        ("api.example.com", Scheme),
        ("api.example.com:443", Scheme),
        ("//api.example.com", Scheme),
        ("https:api.example.com", Scheme),
        ("https:/api.example.com", Scheme),
        ("https:\\\\api.example.com", Scheme),
        (" https://api.example.com", Scheme),
        ("ftp://api.example.com", Scheme),
        ("ws://api.example.com", Scheme),
        ("wss://api.example.com", Scheme),
        ("file:///api.example.com", Scheme),
        ("data:text/plain,x", Scheme),
        ("blob:https://api.example.com/x", Scheme),
        ("*://api.example.com", Scheme),
        ("*.example.org", Scheme),
        ("http://api.example.com", PlainHttp),
        ("HTTP://api.example.com", PlainHttp),
        ("http://localhost.evil.example", PlainHttp),
        ("http://a.localhost", PlainHttp),
        ("http://128.0.0.1", PlainHttp),
        ("http://0.0.0.0", PlainHttp),
        ("http://192.168.0.1", PlainHttp),
        ("http://[::2]", PlainHttp),
        ("http://[::ffff:127.0.0.1]", PlainHttp),
        ("http://*.example.org", PlainHttp),
        ("http://*.a.localhost", PlainHttp),
        ("https://user@api.example.com", UserInfo),
        ("https://user:secret@api.example.com", UserInfo),
        ("https://@api.example.com", UserInfo),
        ("https://:@api.example.com", UserInfo),
        ("https://api.example.com@evil.example", UserInfo),
        ("https://api.example.com ", Character),
        ("https://api example.com", Character),
        ("https://api.exam\tple.com", Character),
        ("https://api.example\n.com", Character),
        ("https://api%2Eexample.com", Character),
        ("https://[fe80::1%25eth0]", Character),
        ("https://", Host),
        ("https:///", Host),
        ("https:///api.example.com", Path),
        ("https://?", Query),
        ("https://[::1", Host),
        ("https://[]", Host),
        ("https://::1", Host),
        ("https://api.<example>.com", Host),
        ("https://256.0.0.1", Host),
        ("https://.api.example.com", Host),
        ("https://api..example.com", Host),
        ("https://xn--", Host),
        ("https://api.example.com.", TrailingDot),
        ("https://api.example.com.:8443", TrailingDot),
        ("https://api.example.com\u{3002}", TrailingDot),
        ("https://*.example.org.", TrailingDot),
        ("https://api.example.com:", Port),
        ("https://api.example.com:0", Port),
        ("https://api.example.com:65536", Port),
        ("https://api.example.com:https", Port),
        ("https://api.example.com:443:443", Host),
        ("https://api.example.com/v1", Path),
        ("https://api.example.com//", Path),
        ("https://api.example.com/.", Path),
        ("https://api.example.com\\", Path),
        ("https://api.example.com?", Query),
        ("https://api.example.com/?key=secret", Query),
        ("https://api.example.com#", Fragment),
        ("https://api.example.com/#top", Fragment),
        ("https://*", Wildcard),
        ("https://*.*.example.org", Wildcard),
        ("https://a.*.example.org", Wildcard),
        ("https://a*.example.org", Wildcard),
        ("https://*a.example.org", Wildcard),
        ("https://**.example.org", Wildcard),
        ("https://example.*", Wildcard),
        ("https://*.org", WideWildcard),
        ("https://*.localhost", WideWildcard),
        ("https://*.", Host),
        ("https://*.:443", Host),
        ("https://*.127.0.0.1", WildcardAddress),
        ("https://*.1", WildcardAddress),
        ("https://*.[::1]", WildcardAddress),
    ];
    for (text, error) in cases {
        assert_eq!(Origins::new(text), Err(error), "{text:?}");
        assert_eq!(Origins::new("https://a.example").unwrap().and(text), Err(error), "{text:?}");
    }
}

#[test]
fn loopback_needs_no_dangerous_name() {
    for text in
        ["http://localhost", "http://LOCALHOST:3000/", "http://127.0.0.1:1", "http://127.255.0.9", "http://[::1]"]
    {
        assert!(Origins::new(text).is_ok(), "{text}");
    }
}

#[test]
fn a_dangerous_name_stands_only_where_there_is_a_danger() {
    let cases = [
        ("http://intranet.example", None),
        ("http://localhost:3000", None),
        ("https://api.example.com", Some(InvalidOrigin::NotHttp)),
        ("https://*.example.org", Some(InvalidOrigin::NotHttp)),
        ("http://*.intranet.example", Some(InvalidOrigin::WildcardHttp)),
        ("http://intranet.example/path", Some(InvalidOrigin::Path)),
        ("ftp://intranet.example", Some(InvalidOrigin::Scheme)),
    ];
    for (text, error) in cases {
        assert_eq!(Origins::dangerous_http(text).err(), error, "{text}");
        let more = Origins::new("https://a.example").and_then(|origins| origins.and_dangerous_http(text));
        assert_eq!(more.err(), error, "{text}");
    }
}

#[test]
fn an_origin_is_shown_as_it_is_compared() {
    let origins = Origins::new("HTTPS://B\u{fc}cher.example:443/").unwrap();
    let origins =
        origins.and("https://*.example.org:8443").unwrap().and_dangerous_http("http://[2001:DB8::1]").unwrap();
    let shown = "{https://xn--bcher-kva.example, https://*.example.org:8443, http://[2001:db8::1]}";
    assert_eq!(format!("{origins:?}"), shown);
}

#[test]
fn a_refusal_repeats_nothing() {
    for text in [
        "https://user:canary@api.example.com",
        "https://api.example.com/?key=canary",
        "https://api.example.com/canary",
        "https://api.example.com#canary",
        "https://canary:canary",
        "https://canary canary",
        "https://*.canary",
        "http://canary.example",
        "canary",
    ] {
        let error = Origins::new(text).unwrap_err();
        assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"), "{text}");
    }
}

/// What a URL is made of here: few parts, so that pairs often meet, and nasty ones.
fn url_text() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec!["https", "https", "https", "http", "HTTPS", "ws", "wss", "ftp"]);
    let user = prop::sample::select(vec!["", "", "", "user@", "a.example@", "u:p@", ":@", "a.example%2F@"]);
    let host = prop::sample::select(vec![
        "a.example",
        "A.Example",
        "a.example.",
        "b.a.example",
        "a.examples",
        "ba.example",
        "%61.example",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "127.0.0.10",
        "[::1]",
        "[0::1]",
        "[::ffff:7f00:1]",
        "b\u{fc}cher.example",
        "xn--bcher-kva.example",
        "localhost",
        "\u{430}.example",
    ]);
    let port = prop::sample::select(vec!["", "", "", ":", ":443", ":80", ":0443", ":8443", ":844", ":0"]);
    let tail =
        prop::sample::select(vec!["", "/", "/me", "?x", "#y", "/@a.example", "\\@b.example", "/?#@", "//b.example"]);
    (scheme, user, host, port, tail)
        .prop_map(|(scheme, user, host, port, tail)| format!("{scheme}://{user}{host}{port}{tail}"))
}

/// The same, with up to two characters put in, taken out or replaced.
fn damaged_url_text() -> impl Strategy<Value = String> {
    let nasty: Vec<char> = "/\\@:#?.%\t\n[]*-_0aA\u{ad}\u{3002}\u{ff0f}\u{430} ".chars().collect();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(nasty)), 0..3);
    (url_text(), damage).prop_map(|(text, damage)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, how, nasty) in damage {
            let at = at.index(chars.len());
            match how {
                0 => chars.insert(at, nasty),
                1 => drop(chars.remove(at)),
                _ => chars[at] = nasty,
            }
        }
        chars.into_iter().collect()
    })
}

/// The exact origin of `url`, by whatever constructor takes it.
fn origin_of(url: &Url) -> Option<Origins> {
    let text = url.origin().ascii_serialization();
    Origins::new(&text).or_else(|_| Origins::dangerous_http(&text)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_exact_origin_is_the_one_that_the_url_standard_means(a in url_text(), b in damaged_url_text()) {
        if let (Ok(a), Ok(b)) = (Url::parse(&a), Url::parse(&b)) && let Some(origins) = origin_of(&a) {
            prop_assert_eq!(origins.allows(&b), a.origin() == b.origin(), "{} and {}", a, b);
        }
    }

    #[test]
    fn a_wildcard_is_whole_labels_in_front(url in damaged_url_text()) {
        if let Ok(url) = Url::parse(&url) {
            let labels: Vec<_> = url.host_str().unwrap_or_default().split('.').rev().collect();
            let below = matches!(labels.as_slice(), ["example", "a", rest @ ..] if !rest.is_empty() && !rest.contains(&""));
            let expected = below && url.scheme() == "https" && url.port_or_known_default() == Some(443);
            prop_assert_eq!(Origins::new("https://*.a.example").unwrap().allows(&url), expected, "{}", url);
        }
    }
}
