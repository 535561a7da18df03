//! The trip of a request whose session lives in cookies: counted while it is under way, and perhaps a login.

use std::sync::Arc;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Next, Result};

use crate::cookies::Cookies;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::serving::Whom;

impl AuthRefresh {
    pub(crate) async fn with_cookies(
        &self,
        cookies: &Arc<Cookies>,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let under_way = cookies.under_way();
        let login = cookies.is_login(&request).then(|| request.url().clone());
        let response = self.route(request, extensions, next).await?;
        drop(under_way);
        // Where it was redirected nobody knows whether that is how a login succeeds, or how it fails.
        if response.status().is_success() && login.is_some_and(|login| login == *response.url()) {
            // A login that cannot be saved is one all the same, and the session tells of it.
            if let Whom::One(session) = &self.whom {
                let _saved = session.logged_in().await;
            }
        }
        Ok(response)
    }
}
