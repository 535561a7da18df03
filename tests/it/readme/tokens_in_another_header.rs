use reqwest_auth_refresh::{AuthRefresh, Origins, Placement, Session};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

fn shop(session: &Session, origins: Origins) -> Result<ClientWithMiddleware, Box<dyn std::error::Error>> {
    let auth = AuthRefresh::new(session, origins).placement(Placement::header("X-Shopify-Access-Token", "")?);
    // Without the guard nothing is sent: a redirect would carry this header to wherever it leads.
    Ok(ClientBuilder::new(auth.guard(reqwest::Client::builder()).build()?).with(auth).build())
}
