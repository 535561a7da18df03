//! The README's first example is code that runs.

use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::ClientBuilder;

use crate::support::{Api, Issuer};

#[tokio::test]
async fn the_readmes_first_example_runs() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let (token_url, api_url, me_url) = (issuer.token_url(), api.url(), api.at("/me"));
    let answer = issuer.login("alice").to_string();

    // Who gives new tokens, the login that they belong to, and where they may be sent.
    let grant = RefreshGrant::new(token_url, "my-app")?;
    let session = Session::new(grant);
    let origins = Origins::new(api_url)?;
    let client = ClientBuilder::new(reqwest::Client::new()).with(AuthRefresh::new(&session, origins)).build();

    // Once: what your own login flow got from the issuer.
    session.login(Tokens::from_json(answer)?).await?;

    // From now on nobody thinks of tokens.
    let me = client.get(me_url).send().await?;
    println!("{}", me.text().await?);

    assert_eq!((api.counts().path("/me").ok, api.counts().path("/me").refused), (1, 0));
    issuer.revoke_access("alice");
    assert_eq!(client.get(api.at("/me")).send().await?.status(), 200);
    assert_eq!((api.counts().path("/me").ok, api.counts().path("/me").refused), (2, 1));
    assert_eq!(issuer.counts().token_calls, 1);
    Ok(())
}

#[test]
fn and_it_is_the_readmes() {
    let readme = include_str!("../../README.md");
    let hero = readme.split("```rust,no_run\n").nth(1).unwrap().split("```").next().unwrap();
    let shown = hero
        .replace("\"https://issuer.example/token\"", "token_url")
        .replace("\"https://api.example.com/me\"", "me_url")
        .replace("\"https://api.example.com\"", "api_url");
    let run = include_str!("hero.rs");
    let (first, last) = ("// Who gives", "me.text()");
    let part = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines = lines.skip_while(|line| !line.starts_with(first));
        let mut part = Vec::new();
        let mut in_answer = false;
        for line in lines {
            // What the login flow got is literal there and the test issuer's here.
            in_answer |= line.starts_with("let answer");
            if !in_answer {
                part.push(line.to_owned());
            }
            in_answer &= !line.ends_with(';');
            if line.contains(last) {
                break;
            }
        }
        part
    };
    assert_eq!(part(&shown), part(run));
    assert_eq!(part(run).len(), 10);
}
