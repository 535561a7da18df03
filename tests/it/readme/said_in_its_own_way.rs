use reqwest_auth_refresh::AuthRefresh;

fn judging(auth: AuthRefresh) -> AuthRefresh {
    auth.unauthorized_when(|head| head.is_unauthorized() || head.status() == 419).unauthorized_when_body(
        |head| head.status() == 200,
        |_head, body| body.starts_with(br#"{"ok":false,"error":"token_expired""#),
    )
}
