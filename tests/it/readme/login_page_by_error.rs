use reqwest_auth_refresh::AuthError;
use reqwest_middleware::ClientWithMiddleware;

async fn show_orders(client: &ClientWithMiddleware) -> Result<String, Box<dyn std::error::Error>> {
    match client.get("https://api.example.com/orders").send().await {
        Ok(response) => Ok(response.text().await?),
        Err(error) if AuthError::find(&error).is_some_and(AuthError::needs_login) => Ok("please log in".to_owned()),
        Err(error) => Err(error.into()),
    }
}
