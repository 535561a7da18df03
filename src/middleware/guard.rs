//! The guard: what a program's own client needs so that redirects do not carry tokens away, and cookies stay apart. A browser
//! sees to both by itself.

use std::sync::Arc;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

use crate::cookies::{Cookies, Sent, provide};
use crate::middleware::auth_refresh::AuthRefresh;
use crate::policy::origins::Origins;
use crate::policy::redirect::may_follow;

impl AuthRefresh {
    /// Makes a client builder fit for this door: what is sent to its origins is not redirected away from them, no
    /// `Referer` is sent, and where the session lives in cookies, the client uses those.
    ///
    /// Needed where tokens are placed elsewhere than in `Authorization`, and where the session lives in cookies;
    /// without it, requests of such a door fail with an error that
    /// [`is_misconfigured`](crate::AuthError::is_misconfigured). Otherwise it is for who wants to be sure.
    ///
    /// ```
    /// use reqwest_auth_refresh::{AuthRefresh, Origins, Placement, RefreshGrant, Session};
    /// use reqwest_middleware::ClientBuilder;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let session = Session::new(RefreshGrant::new("https://issuer.example/token", "my-app")?);
    /// let auth = AuthRefresh::new(&session, Origins::new("https://api.example.com")?)
    ///     .placement(Placement::header("X-Access-Token", "")?);
    /// let client = ClientBuilder::new(auth.guard(reqwest::Client::builder()).build()?).with(auth).build();
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # What becomes of a redirect
    ///
    /// From one of the origins to another place, it is not followed, and the caller gets the 3xx response, also for a
    /// request that was sent unsigned. Anything else is followed, ten times at the most. Between origins of this door
    /// a header other than `Authorization` travels along.
    ///
    /// # Limits
    ///
    /// It replaces the builder's redirect policy and cookie store, and a later call of `redirect`, `referer`,
    /// `cookie_store` or `cookie_provider` replaces what it did: afterwards, set nothing but `Policy::none()`. For
    /// several doors in one client, use [`guard_all`](Self::guard_all). That the client made from the builder is the
    /// one that this door is put in, only the program can see to.
    pub fn guard(&self, builder: ClientBuilder) -> ClientBuilder {
        Self::guard_all(&[self], builder)
    }

    /// As [`guard`](Self::guard), for a client that has several doors: two APIs, each with a session of its own.
    pub fn guard_all(doors: &[&Self], builder: ClientBuilder) -> ClientBuilder {
        let (mut origins, mut cookies): (Vec<Origins>, Vec<Arc<Cookies>>) = (Vec::new(), Vec::new());
        for door in doors {
            door.guarded.set();
            let own = door.origins.clone();
            origins.push(match &door.named {
                Some(named) => own.joined(&named.within),
                None => own,
            });
            cookies.extend(door.cookies().cloned());
        }
        let policy = Policy::custom(move |attempt| {
            let first = attempt.previous().first().unwrap_or_else(|| attempt.url());
            if origins.iter().all(|origins| may_follow(origins, first, attempt.url())) {
                if let Some(sent) = Sent::current() {
                    sent.redirected();
                }
                Policy::default().redirect(attempt)
            } else {
                attempt.stop()
            }
        });
        provide(builder.redirect(policy).referer(false), cookies)
    }
}
