use reqwest_auth_refresh::RequestBuilderExt;
use reqwest_middleware::ClientWithMiddleware;

async fn pay(client: &ClientWithMiddleware) -> Result<(), reqwest_middleware::Error> {
    // With tokens that are new, and never twice, since the server may act before it answers 401.
    client.post("https://api.example.com/payments").body("100").refresh_first().send_once().send().await?;
    Ok(())
}
