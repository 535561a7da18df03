//! Two APIs that redirect wherever a request's path says, and a thief.

use std::sync::{Arc, OnceLock};

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshError, RefreshRequest, Session, Tokens, async_trait};
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};

use crate::raw_server::{Asked, RawServer, Reply};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Api,
    Billing,
    Thief,
}

impl Place {
    const ALL: [Self; 3] = [Self::Api, Self::Billing, Self::Thief];

    /// What the tokens of this API hold, and nothing else does.
    fn canary(self) -> Option<&'static str> {
        match self {
            Self::Api => Some("canary-of-the-api-1"),
            Self::Billing => Some("canary-of-billing-1"),
            Self::Thief => None,
        }
    }
}

pub(super) struct World {
    servers: [RawServer; 3],
    sessions: [Session; 2],
    /// How often the tokens of the one place came to the other.
    seen: [[usize; 3]; 3],
    /// Requests so far, for taking turns.
    turn: usize,
}

impl World {
    pub(super) async fn new() -> Self {
        let urls: Arc<OnceLock<[String; 3]>> = Arc::default();
        let server = || {
            let urls = Arc::clone(&urls);
            RawServer::start(move |asked: &Asked| {
                let target = asked.target();
                let mut parts = target.split('/').skip(2);
                let (Some(status), Some(to)) = (parts.next(), parts.next()) else {
                    return Reply::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                };
                let to = Place::ALL.into_iter().zip(urls.get().unwrap()).find(|(place, _)| format!("{place:?}") == to);
                let (_, to) = to.unwrap();
                Reply::saying(format!("HTTP/1.1 {status} x\r\nlocation: {to}there\r\ncontent-length: 0\r\n\r\n"))
            })
        };
        let servers = [server().await, server().await, server().await];
        urls.set(servers.each_ref().map(|server| server.url("/"))).unwrap();
        let sessions = [Place::Api, Place::Billing]
            .map(|_| Session::new(|_: RefreshRequest| async { Err(RefreshError::rejected("not asked here")) }));
        for (session, place) in sessions.iter().zip(Place::ALL) {
            session.login(Tokens::new(place.canary().unwrap()).unwrap()).await.unwrap();
        }
        Self { servers, sessions, seen: [[0; 3]; 3], turn: 0 }
    }

    pub(super) fn url(&self, place: Place) -> String {
        self.servers[place as usize].url("/")
    }

    /// A middleware of this API's session for its own origin.
    pub(super) fn auth(&self, place: Place) -> AuthRefresh {
        self.auth_for(place, [place, place])
    }

    pub(super) fn auth_for(&self, place: Place, [first, second]: [Place; 2]) -> AuthRefresh {
        let origins = Origins::new(self.url(first)).unwrap().and(self.url(second)).unwrap();
        AuthRefresh::new(&self.sessions[place as usize], origins)
    }

    /// Sends what a client of both APIs could be made to lose: to the thief, and from each API to the other.
    pub(super) async fn send_all(&mut self, client: &ClientWithMiddleware) {
        for (from, to) in [(Place::Api, Place::Thief), (Place::Api, Place::Billing), (Place::Billing, Place::Api)] {
            let status = [302, 303, 307, 308][self.turn % 4];
            self.turn += 1;
            self.send(client, from, status, to).await;
        }
    }

    /// Sends a request to an API that leads it on to another place, and says with which status it ends.
    pub(super) async fn send(&mut self, client: &ClientWithMiddleware, from: Place, status: u16, to: Place) -> u16 {
        let url = format!("{}go/{status}/{to:?}", self.url(from));
        let ended = client.get(url).send().await.unwrap().status().as_u16();
        for (at, server) in Place::ALL.into_iter().zip(&self.servers) {
            for asked in server.take_asked() {
                for of in Place::ALL {
                    self.seen[of as usize][at as usize] +=
                        usize::from(of.canary().is_some_and(|text| asked.shows(text)));
                }
            }
        }
        ended
    }

    /// How often tokens of the one place came to the other.
    pub(super) fn seen(&self, of: Place, at: Place) -> usize {
        self.seen[of as usize][at as usize]
    }

    /// How often tokens came to the place that they are for.
    pub(super) fn signed(&self) -> usize {
        Place::ALL.into_iter().map(|place| self.seen(place, place)).sum()
    }

    /// How often they came to another one.
    pub(super) fn leaks(&self) -> usize {
        self.seen.iter().flatten().sum::<usize>() - self.signed()
    }
}

/// Another middleware of the program.
pub(super) struct Pass;

#[async_trait]
impl Middleware for Pass {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        next.run(request, extensions).await
    }
}

/// These in every order.
pub(super) fn permutations<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let picks = (0..of.len()).flat_map(|pick| {
        let rest = permutations(&[&of[..pick], &of[pick + 1..]].concat());
        rest.into_iter().map(move |rest| [&[of[pick]], &rest[..]].concat())
    });
    picks.collect()
}
