use reqwest_auth_refresh::{AuthRefresh, Origins, Placement, Session};
use reqwest_middleware::ClientWithMiddleware;

fn shop(session: &Session, origins: Origins) -> Result<ClientWithMiddleware, Box<dyn std::error::Error>> {
    let auth = AuthRefresh::new(session, origins).placement(Placement::header("X-Shopify-Access-Token", "")?);
    // A redirect would carry this header along, so it needs a client that follows none out of the origins.
    Ok(auth.client(reqwest::Client::builder())?)
}
