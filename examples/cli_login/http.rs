//! What the `oauth2` crate sends, sent by the `reqwest` of this program.

use oauth2::{HttpRequest, HttpResponse};

/// Sends one request. The client follows no redirects: the answer of a token endpoint is no page to be led to.
pub(crate) async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let response = client.execute(request.try_into()?).await?;
    let mut answer = HttpResponse::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = response.bytes().await?.to_vec();
    Ok(answer)
}
