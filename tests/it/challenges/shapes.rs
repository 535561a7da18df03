//! Challenges as servers send them, well-formed and not, and what each asks for.

use super::asked::Asked::{self, Claims, Nonce, Proof, Request, Tokens};

pub(crate) type Shape = (&'static [&'static str], Asked);

const CLAIMS: &str = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn scope(scopes: &[&str]) -> Asked {
    Asked::Scope(texts(scopes))
}

fn step_up(acr_values: &[&str], max_age: Option<u64>) -> Asked {
    Asked::StepUp(texts(acr_values), max_age)
}

fn claims() -> Asked {
    Claims(Some(CLAIMS.to_owned()))
}

fn nonce(nonce: &str) -> Asked {
    Nonce(Some(nonce.to_owned()))
}

fn bare(scheme: &str) -> Asked {
    Asked::Scheme(scheme.to_owned(), None)
}

fn scheme(scheme: &str, realm: &str) -> Asked {
    Asked::Scheme(scheme.to_owned(), Some(realm.to_owned()))
}

pub(crate) fn all() -> Vec<Shape> {
    [tokens(), demands(), schemes(), mixed(), twice(), refused()].concat()
}

/// New tokens.
fn tokens() -> Vec<Shape> {
    vec![
        // Nothing is said.
        (&[], Tokens),
        (&[""], Tokens),
        (&[" , ,"], Tokens),
        (&["DPoP-Nonce: eyJ7S_zG"], Tokens),
        // No code.
        (&["Bearer"], Tokens),
        (&["bEARER"], Tokens),
        (&["DPoP"], Tokens),
        (&["Bearer realm=\"api\""], Tokens),
        (&["Bearer realm=\"api\", scope=\"a b\", resource_metadata=\"https://evil.example/\""], Tokens),
        (&["Bearer error=\"\""], Tokens),
        (&["Bearer scope=\"admin\", acr_values=\"mfa\", max_age=\"0\", claims=\"e30=\""], Tokens),
        (&["DPoP algs=\"ES256 PS256\""], Tokens),
        (&["DPoP algs=\"ES256\"", "DPoP-Nonce: eyJ7S_zG"], Tokens),
        // The token is invalid.
        (&["Bearer error=\"invalid_token\""], Tokens),
        (&["Bearer realm=\"https://accounts.google.com/\", error=invalid_token"], Tokens),
        (&["BEARER ERROR=\"Invalid_Token\""], Tokens),
        (&["Bearer error=\"invalid\\_token\""], Tokens),
        (&["DPoP error=\"invalid_token\", error_description=\"expired\", algs=\"ES256\""], Tokens),
        (&["Bearer error = \"invalid_token\" , realm = x"], Tokens),
        (&["Bearer error=\"invalid_token\", error_description=\"not insufficient_scope\""], Tokens),
        (
            &["Bearer error=\"invalid_token\", error_description=\"User session has been revoked\", claims=\"e30=\""],
            Tokens,
        ),
        // A code that is not known.
        (&["Bearer error=\"expired_token\""], Tokens),
        (&["Bearer error=\"insufficient_scope_x\""], Tokens),
        (&["Bearer realm=\"Doorkeeper\", error=\"invalid_grant\", error_description=\"revoked\""], Tokens),
        // A proxy's own.
        (&["Proxy-Authenticate: Basic realm=\"proxy\""], Tokens),
        (&["Proxy-Authenticate: Bearer error=\"insufficient_scope\"", "Bearer error=\"invalid_token\""], Tokens),
    ]
}

/// Something else, by its code.
fn demands() -> Vec<Shape> {
    vec![
        (&["Bearer error=\"insufficient_scope\""], scope(&[])),
        (&["Bearer error=\"insufficient_scope\", scope=\"admin\""], scope(&["admin"])),
        (&["Bearer error=insufficient_scope, scope=admin"], scope(&["admin"])),
        (&["Bearer scope=\" read  write:all \", error=\"insufficient_scope\""], scope(&["read", "write:all"])),
        (&["bearer ERROR=\"Insufficient_Scope\", Scope=\"A a\""], scope(&["A", "a"])),
        (&["Bearer error=\"insufficient_scope\", scope=\"a\\\"b\""], scope(&["a\"b"])),
        (&["Bearer error=\"insufficient_scope\", resource_metadata=\"https://evil.example/\", scope=\"\""], scope(&[])),
        (&["Bearer error=\"insufficient_user_authentication\""], step_up(&[], None)),
        (
            &["Bearer error=\"insufficient_user_authentication\", acr_values=\"phr mfa\""],
            step_up(&["phr", "mfa"], None),
        ),
        (
            &[
                "Bearer error=\"insufficient_user_authentication\", error_description=\"more recent\", max_age=\"5\", acr_values=myACR",
            ],
            step_up(&["myACR"], Some(5)),
        ),
        (&["Bearer error=\"insufficient_user_authentication\", max_age=0"], step_up(&[], Some(0))),
        (&["Bearer error=\"insufficient_user_authentication\", max_age=\"soon\""], step_up(&[], None)),
        (&["DPoP error=\"insufficient_user_authentication\", max_age=\"-1\""], step_up(&[], None)),
        (
            &[
                "Bearer realm=\"\", authorization_uri=\"https://login.example/authorize\", error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==\"",
            ],
            claims(),
        ),
        (&["Bearer error=\"insufficient_claims\""], Claims(None)),
        (&["Bearer error=\"invalid_request\", error_description=\"two tokens\""], Request),
        (&["DPoP error=\"use_dpop_nonce\", error_description=\"needs nonce\""], Nonce(None)),
        (&["DPoP error=\"use_dpop_nonce\"", "DPoP-Nonce: eyJ7S_zG.eyJH0-Z.HX4w-7v"], nonce("eyJ7S_zG.eyJH0-Z.HX4w-7v")),
        (&["DPoP error=\"use_dpop_nonce\", nonce=\"of digest\"", "DPoP-Nonce: a b"], Nonce(None)),
        (&["DPoP error=\"invalid_dpop_proof\", algs=\"ES256\""], Proof),
        // A proxy's challenge is not read, whatever else is.
        (&["Bearer error=\"insufficient_scope\"", "Proxy-Authenticate: Bearer error=\"invalid_token\""], scope(&[])),
    ]
}

/// Something else, by its scheme.
fn schemes() -> Vec<Shape> {
    vec![
        (&["Basic realm=\"admin\""], scheme("Basic", "admin")),
        (&["basic REALM=admin"], scheme("basic", "admin")),
        (&["Basic realm=\"\""], bare("Basic")),
        (&["Basic realm=\"a \\\"b\\\"\", charset=\"UTF-8\""], scheme("Basic", "a \"b\"")),
        (&["Digest realm=\"x\", nonce=\"y\", qop=\"auth\""], scheme("Digest", "x")),
        (&["Negotiate"], bare("Negotiate")),
        (&["NTLM"], bare("NTLM")),
        (&["OAuth realm=\"x\", error=\"insufficient_scope\""], scheme("OAuth", "x")),
        (&["Bearer2 realm=x"], scheme("Bearer2", "x")),
        (&["Bearer-Token realm=x"], scheme("Bearer-Token", "x")),
        (&["Basic realm=x, error=\"invalid_token\""], scheme("Basic", "x")),
        (&["Basic realm=\"Bearer error=invalid_token\""], scheme("Basic", "Bearer error=invalid_token")),
        (&["Negotiate, Basic realm=\"Bearer\""], bare("Negotiate")),
        (&["Negotiate", "NTLM", "Basic realm=\"x\""], bare("Negotiate")),
        (&["", "Basic realm=\"x\""], scheme("Basic", "x")),
    ]
}

/// Several challenges, in one header and in several.
fn mixed() -> Vec<Shape> {
    vec![
        (&["Basic realm=\"a\", Bearer realm=\"b\""], Tokens),
        (&["Bearer, DPoP algs=\"ES256\""], Tokens),
        (&["Bearer realm=\"api\", error=\"invalid_token\", DPoP algs=\"RS256 ES256\""], Tokens),
        (&["Bearer error=\"insufficient_scope\", DPoP error=\"invalid_token\""], Tokens),
        (&["Bearer error=\"insufficient_scope\", scope=a, DPoP algs=\"ES256\", scope=b"], scope(&["a"])),
        (&["Basic realm=\"x\", Bearer error=\"insufficient_scope\""], scope(&[])),
        (&["Basic realm=\"x\"", "Bearer error=\"invalid_token\""], Tokens),
        (&["Bearer error=\"invalid_token\"", "Basic realm=\"x\""], Tokens),
        (&["Bearer error=\"insufficient_scope\"", "Bearer realm=\"x\""], scope(&[])),
        (&["Bearer realm=\"x\"", "DPoP error=\"use_dpop_nonce\""], Nonce(None)),
        (&["Bearer error=\"insufficient_claims\"", "Bearer error=\"insufficient_scope\""], Claims(None)),
        (&["Negotiate", "Basic realm=\"x\"", "Bearer error=\"invalid_token\""], Tokens),
        (&["Basic oops oops", "Bearer"], Tokens),
    ]
}

/// One thing said twice in one challenge.
fn twice() -> Vec<Shape> {
    vec![
        (&["Bearer error=\"invalid_token\", error=\"insufficient_scope\""], Tokens),
        (&["Bearer error=\"insufficient_scope\", error=\"invalid_token\""], Tokens),
        (&["Bearer error=\"insufficient_scope\", error=\"insufficient_claims\", scope=a, scope=b"], scope(&["a"])),
        (&["Bearer error=\"insufficient_scope\", scope=\"\", scope=b"], scope(&[])),
    ]
}

/// What the grammar refuses: the first word is the scheme, and what can still be told counts.
fn refused() -> Vec<Shape> {
    vec![
        (&["Bearer realm=\"never closed"], Tokens),
        (&["Bearer error=\"invalid_token"], Tokens),
        (&["Bearer realm=https://api.example.com/, error=invalid_token"], Tokens),
        (&["Bearer scope=\"\" error=\"invalid_token\" error_description=\"the token has expired\""], Tokens),
        (&["Bearer  realm=\"x\""], Tokens),
        (&["Bearer: token expired"], Tokens),
        (&["Bearer token expired"], Tokens),
        (&[",, dpop = = ="], Tokens),
        (&["Bearer \"\\"], Tokens),
        (&["\"Bearer"], Tokens),
        (&["Bearer scope=\"\" error=\"insufficient_scope\""], scope(&[])),
        (&["Bearer scope=\"a b\" error=\"insufficient_scope\""], scope(&["a", "b"])),
        (&["Bearer error=insufficient_scope; scope=https://api.example.com/a"], scope(&["https://api.example.com/a"])),
        (
            &["Bearer error=\"insufficient_scope\", error_description=\"Zugriff benötigt mehr\", scope=\"a\""],
            scope(&["a"]),
        ),
        (&["Bearer error=\"insufficient_scope\", error_description=\"never closed, scope=a"], scope(&[])),
        (&["Bearer insufficient_scope"], scope(&[])),
        (&["Bearer realm=\"x\" error=\"insufficient_claims\", claims=\"never closed"], Claims(None)),
        (
            &[
                "Bearer error=\"insufficient_claims\" claims=eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==",
            ],
            claims(),
        ),
        (&["Bearer  error=insufficient_user_authentication max_age=60"], step_up(&[], Some(60))),
        (&["DPoP  error=\"use_dpop_nonce\"", "DPoP-Nonce: x"], nonce("x")),
        (
            &["Basic realm=\"never closed, Bearer error=\"invalid_token\""],
            scheme("Basic", "never closed, Bearer error="),
        ),
        (&["Basic  realm=\"Zugänge\""], scheme("Basic", "Zugänge")),
        (&["Negotiate YIIFxwYGKwYBBQUCoIIFuzCCBbegMDAuBgkq=="], bare("Negotiate")),
        (&["Bearer-Token oops oops"], bare("Bearer-Token")),
        (&["=Basic"], bare("Basic")),
        (&["token expired: Bearer"], bare("token")),
        (&["OAuth \"Facebook Platform\" \"invalid_token\" \"expired\""], bare("OAuth")),
    ]
}
