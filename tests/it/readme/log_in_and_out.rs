use reqwest_auth_refresh::{AuthError, Session, Tokens};
use std::time::Duration;

async fn switch_user(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
    // Gone from here at once. What the issuer said about it is in the report.
    let report = session.logout().await?;
    if let Err(error) = report.revocation {
        eprintln!("the old tokens may work until they expire: {error}");
    }

    // Tokens need not come as JSON.
    let tokens = Tokens::new("access")?.with_refresh_token("refresh").with_expires_in(Duration::from_secs(600));
    match session.login(tokens).await {
        Err(error) if AuthError::is_store(&error) => eprintln!("logged in for this run only: {error}"),
        other => other?,
    }
    Ok(())
}
