use reqwest_auth_refresh::{Event, Events, State};

async fn watch(mut events: Events, show: fn(&str)) {
    while let Some(event) = events.next().await {
        match event {
            Event::Now(State::NeedsLogin { reason, .. }) | Event::NeedsLogin(reason) => {
                show(&format!("log in again: {reason}"));
            }
            Event::RefreshFailed(error) => show(&format!("no new tokens yet: {error}")),
            _ => {}
        }
    }
}
