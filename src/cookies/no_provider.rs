//! Without the feature there are no cookies for an HTTP client to look for.

use std::sync::Arc;

use reqwest::ClientBuilder;

use crate::cookies::session_cookies::Cookies;

pub(crate) fn provide(builder: ClientBuilder, _none: Vec<Arc<Cookies>>) -> ClientBuilder {
    builder
}
