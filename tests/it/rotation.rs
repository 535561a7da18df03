//! An issuer as strict as they come: each refresh token works once, a second use ends its login, and the old access token
//! dies with the rotation.

use std::sync::{Arc, Mutex, MutexGuard};

use reqwest_auth_refresh::{RefreshError, RefreshRequest, Tokens};
use secrecy::ExposeSecret;

/// What the issuer knows. Clones are one issuer.
#[derive(Clone, Default)]
pub(crate) struct Issuer(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    logins: Vec<Login>,
    /// Refresh tokens that were traded for new tokens.
    rotations: usize,
    /// Refresh tokens that came a second time.
    reuses: usize,
    revoked: Vec<String>,
}

struct Login {
    user: &'static str,
    /// The number of the newest tokens.
    newest: u64,
    /// Access tokens with a lower number are no longer good.
    good_from: u64,
    dead: bool,
}

impl Issuer {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// A new login of this user.
    pub(crate) fn grant(&self, user: &'static str) -> Tokens {
        let mut book = self.book();
        book.logins.push(Login { user, newest: 0, good_from: 0, dead: false });
        tokens(book.logins.len() - 1, user, 0)
    }

    /// Trades a refresh token for new tokens.
    pub(crate) fn rotate(&self, request: &RefreshRequest) -> Result<Tokens, RefreshError> {
        let spent = request.refresh_token().expect("a session with tokens has a refresh token").expose_secret();
        let mut book = self.book();
        let (number, login, generation) = book.find(spent);
        if login.dead {
            return Err(RefreshError::rejected("invalid_grant"));
        }
        if generation != login.newest {
            login.dead = true;
            book.reuses += 1;
            return Err(RefreshError::rejected("invalid_grant"));
        }
        login.newest += 1;
        login.good_from = login.newest;
        let (user, newest) = (login.user, login.newest);
        book.rotations += 1;
        Ok(tokens(number, user, newest))
    }

    /// Ends a login, if this is its newest refresh token.
    pub(crate) fn revoke(&self, request: &RefreshRequest) {
        let unwanted =
            request.refresh_token().expect("tokens to revoke have a refresh token").expose_secret().to_owned();
        let mut book = self.book();
        let (_, login, generation) = book.find(&unwanted);
        login.dead |= generation == login.newest;
        book.revoked.push(unwanted);
    }

    /// The access tokens so far are no longer good.
    pub(crate) fn end_access(&self, tokens: &Tokens) {
        let refresh_token = tokens.refresh_token().unwrap().expose_secret();
        let mut book = self.book();
        let (_, login, _) = book.find(refresh_token);
        login.good_from = login.newest + 1;
    }

    /// Whether the API is to take this access token.
    pub(crate) fn takes(&self, access_token: &str) -> bool {
        let mut book = self.book();
        let (_, login, generation) = book.find(access_token);
        !login.dead && generation >= login.good_from
    }

    /// Whether these are the newest tokens of a living login.
    pub(crate) fn is_newest(&self, tokens: &Tokens) -> bool {
        let refresh_token = tokens.refresh_token().unwrap().expose_secret();
        let mut book = self.book();
        let (_, login, generation) = book.find(refresh_token);
        !login.dead && generation == login.newest
    }

    /// How many logins have a refresh token that still works.
    pub(crate) fn living(&self) -> usize {
        self.book().logins.iter().filter(|login| !login.dead).count()
    }

    pub(crate) fn rotations(&self) -> usize {
        self.book().rotations
    }

    pub(crate) fn reuses(&self) -> usize {
        self.book().reuses
    }

    /// The refresh tokens that were revoked, in order.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.book().revoked.clone()
    }
}

impl Book {
    fn find(&mut self, token: &str) -> (usize, &mut Login, u64) {
        let mut parts = token.split('.').skip(2).map(|part| part.parse().unwrap());
        let (number, generation): (u64, u64) = (parts.next().unwrap(), parts.next().unwrap());
        let number = usize::try_from(number).unwrap();
        (number, &mut self.logins[number], generation)
    }
}

fn tokens(login: usize, user: &str, generation: u64) -> Tokens {
    let access_token = format!("access.{user}.{login}.{generation}");
    Tokens::new(access_token).unwrap().with_refresh_token(format!("refresh.{user}.{login}.{generation}"))
}

/// Whose token this is.
pub(crate) fn user_of(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}
