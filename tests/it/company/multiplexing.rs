//! HTTP/2: a hundred requests on one connection are refused together.

use futures_util::future::join_all;
use http::{StatusCode, Version};
use reqwest_auth_refresh::Retried;

use crate::wire_world::{Wire, answered};

const CROWD: usize = 100;

#[tokio::test]
async fn a_hundred_requests_on_one_connection_are_refused_together() {
    let wire = Wire::unauthorized().await;
    wire.api.at_refusal().close_until(CROWD);
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let client = wire.client_over(http);
    let crowd = (0..CROWD).map(|nth| {
        let request = client.post(wire.api.at(&format!("/orders/{nth}"))).body(format!("order {nth}"));
        async move {
            let response = request.send().await.unwrap();
            assert!(response.extensions().get::<Retried>().is_some());
            assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
            let echo: serde_json::Value = response.json().await.unwrap();
            assert!(echo["path"].as_str().unwrap().ends_with(&format!("/orders/{nth}")), "{echo}");
            assert_eq!(echo["hash"], crate::support::body_hash(format!("order {nth}").as_bytes()));
        }
    });
    join_all(crowd).await;

    let (calls, all) = wire.counts();
    println!("figure: multiplexed_refresh_calls = {calls} calls");
    println!("figure: multiplexed_connections = {} connections", wire.api.connections());
    assert_eq!((calls, all, wire.api.connections()), (1, answered(CROWD, CROWD), 1));
}
