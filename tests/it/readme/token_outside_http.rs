use reqwest_auth_refresh::{AuthError, ExposeSecret, Session};

async fn connect(session: &Session, open_socket: impl AsyncFn(&str) -> bool) -> Result<bool, AuthError> {
    let token = session.access_token().await?;
    if open_socket(token.expose_secret()).await {
        return Ok(true);
    }
    // It was refused: the next one will be new.
    session.invalidate(&token);
    let token = session.access_token().await?;
    Ok(open_socket(token.expose_secret()).await)
}
