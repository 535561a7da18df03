//! Tokens in other places than the standard header: in cookies, in another header, in what a program's function sees.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use reqwest_auth_refresh::{AuthRefresh, CookieRefresh, Placement, Refresher, Session};

use super::super::canaries::{ACCESS, CLIENT, QUERY, REFRESH};
use super::super::moods::MOODS;
use super::{Peek, SOON, Scene, Stage};

impl Stage {
    /// Cookies full of secrets, and an issuer that says them all back.
    pub(super) async fn cookies(&mut self) {
        for (name, mood) in MOODS {
            self.says(Some(*mood));
            let refresh = self.cookie_refresh();
            let attempt = if *name == "silence" { SOON } else { super::LONG };
            let mut scene = self.scene_of(&Session::builder(refresh).attempt_timeout(attempt).build());
            self.send(self.get(&scene)).await;
            self.send(self.get(&scene)).await;
            let report = scene.session.logout().await.unwrap();
            self.show(|shown| shown.debug(&report));
            self.result(report.revocation.map(drop));
            self.look(&mut scene);
        }
        self.says(None);
        let refresh = self.cookie_refresh();
        self.show(|shown| {
            let url: Url = "https://api.example.com/".parse().unwrap();
            shown.text(format!(
                "{:?} {:?}",
                refresh.cookies().get("refresh", &url).is_some(),
                refresh.info().endpoints().len()
            ));
        });
    }

    fn cookie_refresh(&self) -> CookieRefresh {
        let address = self.issuer.url(&format!("/refresh?secret={}", QUERY.secret(0)));
        let shown = Arc::clone(&self.shown);
        let refresh = CookieRefresh::post(address).unwrap().member("secret", CLIENT.secret(1)).unwrap();
        let refresh = refresh.header("x-key", CLIENT.secret(2)).unwrap().logout(self.issuer.url("/logout")).unwrap();
        let refresh = refresh.csrf("x-csrf", move |cookies| {
            shown.lock().unwrap().debug(cookies);
            cookies.get("access")
        });
        let refresh = refresh.unwrap().login_path("/login");
        for (name, value) in [("access", ACCESS.secret(0)), ("refresh", REFRESH.secret(0))] {
            for place in [self.issuer.url("/"), self.api.url("/")] {
                refresh.cookies().add(&format!("{name}={value}; Path=/"), &place.parse().unwrap());
            }
        }
        self.show(|shown| {
            shown.debug(&refresh);
            shown.debug(&**refresh.cookies());
        });
        refresh
    }

    /// A client of this session that was built for it.
    fn scene_of(&self, session: &Session) -> Scene {
        let origins = reqwest_auth_refresh::Origins::new(self.api.url("")).unwrap().and(self.issuer.url("")).unwrap();
        self.built(session, AuthRefresh::new(session, origins))
    }

    fn built<C: fmt::Debug + Send + Sync + 'static>(&self, session: &Session, auth: AuthRefresh<C>) -> Scene {
        self.show(|shown| shown.debug(&auth));
        let client = auth.client_builder(reqwest::Client::builder().connection_verbose(true));
        let client = client.inside(Peek(Arc::clone(&self.shown)));
        self.show(|shown| shown.debug(&client));
        let client = client.build().unwrap();
        Scene { session: session.clone(), auth: Box::new(auth), client, events: session.events() }
    }

    /// Other headers, a function, and judges that look into everything.
    pub(super) async fn placements(&mut self) {
        let shown = Arc::clone(&self.shown);
        let placements = [
            Placement::header("X-Token", "Bearer ").unwrap(),
            Placement::header("Authorization", "Token ").unwrap(),
            Placement::function(move |request, tokens| {
                shown.lock().unwrap().debug(tokens);
                let token = reqwest_auth_refresh::ExposeSecret::expose_secret(tokens.access_token().unwrap());
                request.headers_mut().insert("x-token", token.parse().unwrap());
            }),
        ];
        for placement in placements {
            self.show(|shown| shown.debug(&placement));
            let session = Session::new(self.grant());
            let origins = reqwest_auth_refresh::Origins::new(self.api.url("")).unwrap();
            let shown = Arc::clone(&self.shown);
            let auth = AuthRefresh::new(&session, origins).placement(placement);
            let auth = auth.unauthorized_when(move |head| {
                shown.lock().unwrap().debug(head);
                head.is_unauthorized()
            });
            let mut scene = self.built(&session, auth.unauthorized_when_body(|_| true, |_, _| false));
            self.refused(&mut scene).await;
        }
        self.show(|shown| {
            shown.error(&Placement::header(&format!("{} ", ACCESS.secret(0)), "").unwrap_err());
            let origins = reqwest_auth_refresh::Origins::new("https://api.example.com").unwrap();
            shown.error(&origins.narrowed_to(&format!("https://{}.example", ACCESS.secret(0))).unwrap_err());
            let auth = AuthRefresh::new(Session::new(self.grant()), origins);
            shown.error(&auth.scheme(&format!("{} ", ACCESS.secret(0))).unwrap_err());
            shown.error(&Placement::header("x", &format!("{}\n", ACCESS.secret(0))).unwrap_err());
        });
    }
}
