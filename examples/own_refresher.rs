//! A refresher of the program's own, in its two forms: a closure, and a type with a name.
//!
//! For an endpoint that nothing ready-made fits. It answers one question: are there new tokens, is the login over, or is nothing
//! known now? Only the second ends a session.
//!
//! Run it with `cargo run --example own_refresher`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Url;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, ExposeSecret, Origins, RefreshError, RefreshRequest, Refresher, RefresherInfo, Revocation,
    Session, Tokens, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use crate::story::{Story, Table};
use crate::support::{Api, Issuer, Outage};

/// Asks in its own way. It has a client of its own, and never uses the one that it serves.
async fn renew(http: reqwest::Client, url: Url, request: RefreshRequest) -> Result<Tokens, RefreshError> {
    let old = request.refresh_token().ok_or_else(|| RefreshError::rejected("no_refresh_token"))?;
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", old.expose_secret())];
    let answer = http.post(url).form(&form).send().await.map_err(|error| {
        // Whether the request was sent decides whether it may have been processed. An error shows its URL: take that off.
        let sent = !error.is_connect();
        let unavailable = RefreshError::unavailable(error.without_url());
        if sent { unavailable.maybe_processed() } else { unavailable.for_every_session() }
    })?;
    match answer.status().as_u16() {
        200 => {
            let lost = |error: reqwest::Error| RefreshError::unavailable(error.without_url()).maybe_processed();
            Tokens::from_json(answer.bytes().await.map_err(lost)?).map_err(RefreshError::unavailable)
        }
        400 => Err(RefreshError::rejected("renewal_refused")),
        status => Err(RefreshError::unavailable(format!("the endpoint answered {status}"))),
    }
}

/// The same with a name, and with what a closure cannot say.
struct Renewal {
    http: reqwest::Client,
    endpoints: [Url; 2],
}

#[async_trait]
impl Refresher for Renewal {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        renew(self.http.clone(), self.endpoints[0].clone(), request).await
    }

    /// Requests to its endpoints are never signed. What is stored belongs to this client at this issuer. And this issuer ends
    /// a login when a refresh token comes twice.
    fn info(&self) -> RefresherInfo {
        RefresherInfo::default()
            .with_endpoints(self.endpoints.clone())
            .with_registration(format!("renewal {} app", self.endpoints[0]))
            .with_never_resubmit()
    }

    /// Told at each logout.
    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        let Some(token) = request.refresh_token() else { return Ok(Revocation::NotConfigured) };
        let form = [("token", token.expose_secret()), ("client_id", "app")];
        let answer = self.http.post(self.endpoints[1].clone()).form(&form).send().await;
        let answer = answer.map_err(|error| RefreshError::unavailable(error.without_url()))?;
        match answer.status().as_u16() {
            200 => Ok(Revocation::Revoked),
            status => Err(RefreshError::unavailable(format!("the endpoint answered {status}"))),
        }
    }
}

fn client(session: &Session, api: &Api) -> Result<ClientWithMiddleware, Box<dyn Error>> {
    let auth = AuthRefresh::new(session, Origins::new(api.url())?);
    Ok(ClientBuilder::new(reqwest::Client::new()).with(auth).build())
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    // No redirects, and a bound: what the ready-made ones do by themselves.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(5));
    let http = http.build()?;
    let (token_url, revocation_url) = (issuer.token_url().parse::<Url>()?, issuer.revocation_url().parse::<Url>()?);

    Story::scene("A closure");
    let (own, url) = (http.clone(), token_url.clone());
    let closure = Session::new(move |request: RefreshRequest| renew(own.clone(), url.clone(), request));
    closure.login(Tokens::from_json(issuer.login("alice").to_string())?).await?;
    issuer.revoke_access("alice");
    let first = client(&closure, &api)?.get(api.at("/me")).send().await?.status();
    story.tell("after an expiry", &first.to_string());

    Story::scene("A type");
    let named = Session::new(Renewal { http, endpoints: [token_url, revocation_url] });
    named.login(Tokens::from_json(issuer.login("bob").to_string())?).await?;
    let bob = client(&named, &api)?;
    issuer.revoke_access("bob");
    issuer.down(Outage::Unavailable(None)).await;
    let outage = bob.get(api.at("/me")).send().await.err();
    let later = outage.as_ref().and_then(|error| AuthError::find(error)).filter(|error| error.is_transient());
    story.tell("in an outage", &later.map(ToString::to_string).unwrap_or_default());
    issuer.up()?;
    tokio::time::sleep(later.and_then(AuthError::retry_after).unwrap_or_default()).await;
    let second = bob.get(api.at("/me")).send().await?.status();
    story.tell("and after it", &second.to_string());
    let report = named.logout().await?;
    let revoked = matches!(report.revocation, Ok(Revocation::Revoked));
    story.tell("at the logout", if revoked { "the issuer was told" } else { "the issuer could not be told" });

    let counts = issuer.counts();
    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("requests answered with 200", [first, second].iter().filter(|status| **status == 200).count(), 2);
    table.same("refreshes", counts.accepted, 2);
    table.same("refresh tokens used twice", counts.reuse, 0);
    table.same("calls in the outage", counts.turned_away, 1);
    table.same("logouts the issuer was told of", counts.revocation_calls, usize::from(revoked));
    table.same("logins that are alive", counts.live_grants, 1);
    let right = table.is_all_right() && later.is_some();
    let closing = if right { "asked in its own way" } else { "the counts do not agree" };
    Story::close(&format!("own_refresher: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
