use futures_util::TryStreamExt;
use reqwest::multipart::Form;
use reqwest_middleware::{ClientWithMiddleware, Error};

async fn send(client: &ClientWithMiddleware, url: &str, form: Form) -> Result<reqwest::Response, Error> {
    let kind = format!("multipart/form-data; boundary={}", form.boundary());
    let body = form.into_stream().try_collect::<Vec<_>>().await?.concat();
    client.post(url).header("content-type", kind).body(body).send().await
}
