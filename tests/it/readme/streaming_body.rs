use futures_util::stream;
use reqwest::Body;
use reqwest_auth_refresh::{NotRetryable, RequestBuilderExt};
use reqwest_middleware::{ClientWithMiddleware, Error};

fn report() -> Body {
    Body::wrap_stream(stream::iter(["a,", "b,", "c"].map(Ok::<_, std::io::Error>)))
}

async fn upload(client: &ClientWithMiddleware) -> Result<(), Error> {
    client.put("https://api.example.com/report").body(report()).resend_with(report).send().await?;
    Ok(())
}

/// Without `resend_with`. False if the tokens are new now, but the request was not sent again.
async fn upload_once(client: &ClientWithMiddleware) -> Result<bool, Error> {
    let response = client.put("https://api.example.com/report").body(report()).send().await?;
    Ok(response.extensions().get::<NotRetryable>().is_none())
}
