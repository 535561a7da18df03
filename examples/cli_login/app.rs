//! The program: `login`, `whoami`, `status`, `logout`.

use std::env;
use std::time::SystemTime;

use oauth2::basic::BasicClient;
use oauth2::{ClientId, DeviceAuthorizationUrl, StandardDeviceAuthorizationResponse, TokenUrl};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Ending, FileStore, Origins, RefreshGrant, Session, SessionId, TokenStore, Tokens,
};
use reqwest_middleware::ClientBuilder;

use crate::{Result, http};

const CLIENT: &str = "cli-login";

/// Where everything is. A real program has the addresses built in, and its store from `FileStore::for_app("my-app")`.
pub(crate) const ISSUER: &str = "CLI_LOGIN_ISSUER";
pub(crate) const API: &str = "CLI_LOGIN_API";
pub(crate) const FOLDER: &str = "CLI_LOGIN_FOLDER";

pub(crate) async fn run(command: &str) -> Result<()> {
    let (issuer, api) = (env::var(ISSUER)?, env::var(API)?);
    let store = FileStore::new(env::var(FOLDER)?);
    // Programs that share the store share each refresh, too. This is all that there is to do about it.
    let grant = RefreshGrant::new(format!("{issuer}/token"), CLIENT)?;
    let session = Session::builder(grant).store(store.clone()).build();
    match command {
        "login" => login(&session, &issuer).await,
        "whoami" => whoami(&session, &api).await,
        "status" => status(&store).await,
        "logout" => {
            let _report = session.logout().await?;
            println!("logged out");
            Ok(())
        }
        other => Err(format!("no such command: {other} (login, whoami, status, logout)").into()),
    }
}

/// The device flow (RFC 8628): the program shows a code, and the user enters it wherever there is a browser.
async fn login(session: &Session, issuer: &str) -> Result<()> {
    let client = BasicClient::new(ClientId::new(CLIENT.to_owned()))
        .set_device_authorization_url(DeviceAuthorizationUrl::new(format!("{issuer}/device_authorization"))?)
        .set_token_uri(TokenUrl::new(format!("{issuer}/token"))?);
    let details: StandardDeviceAuthorizationResponse = client.exchange_device_code().request_async(&http::send).await?;
    println!("open {} and enter {}", details.verification_uri().as_str(), details.user_code().secret());

    let answer = client.exchange_device_access_token(&details);
    let answer = answer.request_async(&http::send, tokio::time::sleep, None).await?;
    // As JSON it is what the token endpoint sent, which is what a session begins with.
    session.login(Tokens::from_json(serde_json::to_string(&answer)?)?).await?;
    println!("logged in");
    Ok(())
}

async fn whoami(session: &Session, api: &str) -> Result<()> {
    let client = ClientBuilder::new(reqwest::Client::new()).with(AuthRefresh::new(session, Origins::new(api)?)).build();
    println!("asking");
    match client.get(format!("{api}/me")).send().await {
        Ok(response) if response.status().is_success() => {
            let me: serde_json::Value = response.json().await?;
            println!("you are {}", me["user"].as_str().unwrap_or("nobody"));
            Ok(())
        }
        Ok(_unsigned) => Err("nobody is logged in; `login` does that".into()),
        Err(error) if AuthError::find(&error).is_some_and(AuthError::needs_login) => {
            Err("somebody has to log in again; `login` does that".into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What is stored, without secrets: those are shown by nothing here, and a record has them redacted if it is printed.
async fn status(store: &FileStore) -> Result<()> {
    let Some(record) = store.load(&SessionId::default()).await? else {
        println!("nobody has logged in yet");
        return Ok(());
    };
    match (record.tokens(), record.ending()) {
        (Some(tokens), _) => {
            let left = tokens.expires_at().and_then(|expires| expires.duration_since(SystemTime::now()).ok());
            let left = left.map_or_else(|| "has expired".to_owned(), |left| format!("expires in {} s", left.as_secs()));
            println!("logged in; {} refreshes so far; the access token {left}", record.version().generation);
        }
        (None, Some(Ending::LoggedOut)) => println!("logged out"),
        (None, _) => println!("somebody has to log in again"),
    }
    println!("kept in {}", store.path().display());
    Ok(())
}
