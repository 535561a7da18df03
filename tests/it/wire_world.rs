//! A session on real wires: the test issuer, the test API, real time. For what only a real connection shows.

use hyper::body::Bytes;
use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use crate::support::{Api, Issuer, Tally};

pub(crate) struct Wire {
    pub(crate) issuer: Issuer,
    pub(crate) api: Api,
    pub(crate) session: Session,
}

impl Wire {
    /// Somebody is logged in, with tokens that the API takes no longer.
    pub(crate) async fn unauthorized() -> Self {
        let issuer = Issuer::start().await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let session = unauthorized_at(&issuer).await;
        Self { issuer, api, session }
    }

    pub(crate) fn auth(&self) -> AuthRefresh {
        AuthRefresh::new(&self.session, Origins::new(self.api.url()).unwrap())
    }

    pub(crate) fn client(&self) -> ClientWithMiddleware {
        self.client_over(reqwest::Client::new())
    }

    pub(crate) fn client_over(&self, http: reqwest::Client) -> ClientWithMiddleware {
        ClientBuilder::new(http).with(self.auth()).build()
    }

    /// How often the issuer was asked, and what the API answered.
    pub(crate) fn counts(&self) -> (usize, Tally) {
        (self.issuer.counts().token_calls, self.api.counts().all)
    }
}

/// A session of this issuer, with tokens that are no longer good.
pub(crate) async fn unauthorized_at(issuer: &Issuer) -> Session {
    let session = Session::new(RefreshGrant::new(issuer.token_url(), "app").unwrap());
    session.login(Tokens::from_json(issuer.login("alice").to_string()).unwrap()).await.unwrap();
    issuer.revoke_access("alice");
    session
}

/// So many requests were answered with 200, and so many with 401.
pub(crate) fn answered(ok: usize, refused: usize) -> Tally {
    Tally { ok, refused }
}

/// So many bytes, no two stretches of them alike.
pub(crate) fn body(length: usize) -> Bytes {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0]).collect()
}
