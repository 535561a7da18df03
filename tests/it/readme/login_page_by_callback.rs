use reqwest_auth_refresh::{RefreshGrant, Session};

fn session(grant: RefreshGrant, show: fn(&str)) -> Session {
    Session::builder(grant).on_needs_login(move |why| show(&format!("please log in again: {why}"))).build()
}
