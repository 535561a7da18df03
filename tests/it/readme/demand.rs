use reqwest::Response;
use reqwest_auth_refresh::Demand;

fn explain(response: &Response) -> String {
    match Demand::of(response.headers()) {
        Some(Demand::Scope { scopes, .. }) => format!("log in again, and ask for {}", scopes.join(" ")),
        Some(Demand::StepUp { acr_values, .. }) => format!("log in more strongly: {}", acr_values.join(" or ")),
        Some(demand) => format!("something else is asked for: {demand:?}"),
        None => "the token is no longer good, or nothing is asked for".to_owned(),
    }
}
