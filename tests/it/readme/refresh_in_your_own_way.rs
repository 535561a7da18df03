use reqwest::{Client, Url};
use reqwest_auth_refresh::{ExposeSecret, RefreshError, RefreshRequest, Session, Tokens};

fn session(url: Url) -> Session {
    let http = Client::new();
    Session::new(move |request: RefreshRequest| {
        let post = http.post(url.clone());
        async move {
            let old = request.refresh_token().ok_or_else(|| RefreshError::rejected("no_refresh_token"))?;

            // An error of the network says nothing about the login, but the server may have seen the request.
            let lost = |error: reqwest::Error| RefreshError::unavailable(error.without_url()).maybe_processed();
            let answer = post.body(old.expose_secret().to_owned()).send().await.map_err(lost)?;
            match answer.status().as_u16() {
                200 => Tokens::from_json(answer.bytes().await.map_err(lost)?).map_err(RefreshError::unavailable),
                // Only what says that this login is over ends the session.
                401 => Err(RefreshError::rejected("renewal_refused")),
                status => Err(RefreshError::unavailable(format!("the server answered {status}"))),
            }
        }
    })
}
