//! What would take a token out of the origins does not compile. Each case stands beside one that differs in that alone, and
//! compiles; nightly compilers compare the error's code too. The orders that do compile are run by `tests/it/client_orders.rs`.

/// One case: what compiles, and what does not.
macro_rules! case {
    ($name:ident, $code:literal, $good:literal, $bad:literal) => {
        #[doc = concat!("```no_run\n", program!(), $good, "}\n```\n\n```compile_fail,", $code, "\n", program!(), $bad, "}\n```")]
        struct $name;
    };
}

/// What all cases have.
macro_rules! program {
    () => {
        "use std::{sync::Arc, time::Duration};
         use http::Extensions;
         use reqwest::{Client, Request, Response};
         use reqwest_auth_refresh::{AnyClient, AuthRefresh, Origins, OwnClient, Placement, Session, async_trait};
         use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
         # fn program(auth: AuthRefresh, custom: Placement, session: Session, origins: Origins) {
         let plain = ClientBuilder::new(Client::new());
         "
    };
}

// Over a client that follows redirects as it likes.
case!(AnotherPlacement, "E0277", "plain.with(auth);", "plain.with(auth.placement(custom));");
case!(
    SetUpBeforeThePlacement,
    "E0277",
    "plain.with(auth.exclude(\"/login\").require_login().early_wait(Duration::ZERO).unauthorized_when(|_| true));",
    "plain.with(auth.exclude(\"/login\").require_login().early_wait(Duration::ZERO).unauthorized_when(|_| true)
         .placement(custom));"
);
case!(
    SetUpAfterThePlacement,
    "E0277",
    "plain.with(auth.exclude(\"/login\").require_login().early_wait(Duration::ZERO)
         .unauthorized_when(|_| true).unauthorized_when_body(|_| true, |_, _| true));",
    "plain.with(auth.placement(custom).exclude(\"/login\").require_login().early_wait(Duration::ZERO)
         .unauthorized_when(|_| true).unauthorized_when_body(|_| true, |_, _| true));"
);
case!(
    AScheme,
    "E0277",
    "plain.with(auth.scheme(\"Token\").unwrap());",
    "plain.with(auth.scheme(\"Token\").unwrap().placement(custom));"
);
case!(AClone, "E0277", "plain.with(auth.clone());", "let auth = auth.placement(custom); plain.with(auth.clone());");
case!(
    WhatHasBuiltAClient,
    "E0277",
    "let client = auth.client(Client::builder()); plain.with(auth);",
    "let auth = auth.placement(custom); let client = auth.client(Client::builder()); plain.with(auth);"
);
case!(
    OpenedAndPlacedAgain,
    "E0277",
    "plain.with(auth.placement(custom).dangerous_over_any_client());",
    "plain.with(auth.placement(custom.clone()).dangerous_over_any_client().placement(custom));"
);
case!(
    InAnArc,
    "E0277",
    "plain.with_arc(Arc::new(auth));",
    "let auth = auth.placement(custom); plain.with_arc(Arc::new(auth));"
);
case!(
    InAListOfMiddleware,
    "E0277",
    "let all: Vec<Arc<dyn Middleware>> = vec![Arc::new(auth)];",
    "let auth = auth.placement(custom); let all: Vec<Arc<dyn Middleware>> = vec![Arc::new(auth)];"
);
case!(
    InsideAMiddlewareOfTheProgram,
    "E0599",
    "
    struct Mine(AuthRefresh);
    #[async_trait]
    impl Middleware for Mine {
        async fn handle(
            &self, request: Request, extensions: &mut Extensions, next: Next<'_>,
        ) -> reqwest_middleware::Result<Response> {
            self.0.handle(request, extensions, next).await
        }
    }
    ",
    "
    struct Mine(AuthRefresh<OwnClient>);
    #[async_trait]
    impl Middleware for Mine {
        async fn handle(
            &self, request: Request, extensions: &mut Extensions, next: Next<'_>,
        ) -> reqwest_middleware::Result<Response> {
            self.0.handle(request, extensions, next).await
        }
    }
    "
);
// Into a client that was built for another one.
case!(
    IntoABuiltClient,
    "E0277",
    "let client = auth.client(Client::builder()).unwrap(); ClientBuilder::from_client(client).with(auth);",
    "let auth = auth.placement(custom); let client = auth.client(Client::builder()).unwrap();
     ClientBuilder::from_client(client).with(auth);"
);
case!(
    OutsideAnother,
    "E0277",
    "auth.client_builder(Client::builder()).outside(auth.clone());",
    "auth.client_builder(Client::builder()).outside(auth.clone().placement(custom));"
);
case!(
    InsideAnother,
    "E0277",
    "auth.client_builder(Client::builder()).inside(auth.clone());",
    "auth.client_builder(Client::builder()).inside(auth.clone().placement(custom));"
);
// To another type.
case!(
    AsAPlainOne,
    "E0308",
    "let own: AuthRefresh<OwnClient> = auth.placement(custom);",
    "let any: AuthRefresh<AnyClient> = auth.placement(custom);"
);
case!(
    MadeAsOne,
    "E0599",
    "let made = AuthRefresh::<AnyClient>::new(session, origins);",
    "let made = AuthRefresh::<OwnClient>::new(session, origins);"
);
case!(
    OpenedWithoutNeed,
    "E0599",
    "auth.placement(custom).dangerous_over_any_client();",
    "auth.dangerous_over_any_client();"
);
// In another order.
case!(
    ASchemeAfterThePlacement,
    "E0599",
    "auth.scheme(\"Token\").unwrap().placement(custom);",
    "auth.placement(custom).scheme(\"Token\").unwrap();"
);
case!(
    APlacementAfterTheBuilder,
    "E0599",
    "auth.placement(custom).client_builder(Client::builder()).build();",
    "auth.client_builder(Client::builder()).placement(custom).build();"
);
case!(
    ASchemeAfterTheBuilder,
    "E0599",
    "auth.scheme(\"Token\").unwrap().client_builder(Client::builder()).build();",
    "auth.client_builder(Client::builder()).scheme(\"Token\").unwrap().build();"
);
case!(
    ASetterAfterTheBuilder,
    "E0599",
    "auth.exclude(\"/login\").client_builder(Client::builder()).build();",
    "auth.client_builder(Client::builder()).exclude(\"/login\").build();"
);
case!(
    APolicyAfterTheBuilder,
    "E0599",
    "auth.client_builder(Client::builder().redirect(reqwest::redirect::Policy::none())).build();",
    "auth.client_builder(Client::builder()).redirect(reqwest::redirect::Policy::none()).build();"
);
