use reqwest::Response;
use reqwest_auth_refresh::{AuthRefresh, Origins, RequestBuilderExt, Sessions};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error};

/// One client for all of them: each request names its user, or fails.
fn for_all(sessions: &Sessions, origins: Origins) -> ClientWithMiddleware {
    ClientBuilder::new(reqwest::Client::new()).with(AuthRefresh::new(sessions, origins)).build()
}

/// A client for one of them, over connections that all share.
fn for_one(http: &reqwest::Client, sessions: &Sessions, origins: Origins, user: &str) -> ClientWithMiddleware {
    ClientBuilder::new(http.clone()).with(AuthRefresh::new(sessions.session(user), origins)).build()
}

async fn orders(client: &ClientWithMiddleware, url: &str, user: &str) -> Result<Response, Error> {
    client.get(url).acting_for(user).send().await
}
