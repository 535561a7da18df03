//! The trip of a request whose session lives in cookies: its cookies go with it by themselves, and it may be a login.

use std::sync::Arc;

use http::{Extensions, Method};
use reqwest::{Request, Response};
use reqwest_middleware::{Next, Result};

use crate::cookies::{Cookies, Sent};
use crate::middleware::serving::Whom;
use crate::middleware::signer::Signer;
use crate::middleware::trip::left_alone;
use crate::middleware::write::write_csrf;

impl Signer {
    pub(crate) async fn with_cookies(
        &self,
        cookies: &Arc<Cookies>,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        match Sent::current() {
            // Another middleware of this session has it in hand.
            Some(outer) if Arc::ptr_eq(&outer.cookies, cookies) => {
                return self.route(request, extensions, next).await;
            }
            // It goes with another session's cookies, and ours would take their place.
            Some(outer) if outer.cookies.answers_for(request.url()) => {
                left_alone("another session's cookies go with it", request.url());
                return next.run(request, extensions).await;
            }
            Some(_) | None => {}
        }
        let asks_only = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let login = !asks_only && cookies.is_login_path(request.url());
        // Sessions that live in cookies are never many.
        let Whom::One(session) = &self.whom else { return self.route(request, extensions, next).await };
        if login {
            write_csrf(cookies, session.engine(), &mut request)?;
        }
        let (sent, url) = (Sent::new(cookies, login), request.url().clone());
        let response = sent.clone().scope(self.route(request, extensions, next)).await?;
        if response.status().is_success() && url == *response.url() && sent.logs_in(&url) {
            // A login that cannot be saved is one all the same, and the session tells of it.
            let _saved = session.logged_in().await;
        }
        Ok(response)
    }
}
