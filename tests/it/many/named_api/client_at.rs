use reqwest_auth_refresh::{AuthRefresh, InvalidOrigin, Origins, Session};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

/// A client for one user, whose login named this address of the API.
fn client_at(
    named: &str,
    allowed: &Origins,
    session: &Session,
    http: &reqwest::Client,
) -> Result<ClientWithMiddleware, InvalidOrigin> {
    let auth = AuthRefresh::new(session, allowed.narrowed_to(named)?);
    Ok(ClientBuilder::new(http.clone()).with(auth).build())
}
