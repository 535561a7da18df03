use reqwest_auth_refresh::{AuthRefresh, Origins, RequestBuilderExt, Session};
use reqwest_middleware::ClientBuilder;

async fn log_in(session: &Session, api: &str) -> Result<(), Box<dyn std::error::Error>> {
    let origins = Origins::new(api)?.and("https://*.example.org")?;
    let auth = AuthRefresh::new(session, origins).exclude("/login");
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();

    client.post(format!("{api}/login/code")).body("1234").send().await?;
    client.get(format!("{api}/status")).unsigned().send().await?;
    Ok(())
}
