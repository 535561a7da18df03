//! The issuer of the small world: rotates at each use, answers a repeated request with the same tokens once more, and ends
//! the grant at any other reuse.

use crate::tokens::Tokens;

/// One login's grant. Tokens are named by the login and their number in the rotation.
#[derive(Debug, Clone, Hash)]
pub(super) struct Grant {
    pub(super) alive: bool,
    pub(super) current: u8,
    /// Access tokens up to this one were called no good.
    pub(super) revoked: u8,
    /// How often each refresh token was processed, and how often that was asked for by a lost answer.
    pub(super) processed: Vec<u8>,
    pub(super) allowed: Vec<u8>,
}

/// The name of one set of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) login: u8,
    pub(super) number: u8,
}

impl Grant {
    pub(super) fn new(numbers: usize) -> Self {
        Self { alive: true, current: 0, revoked: 0, processed: vec![0; numbers], allowed: vec![1; numbers] }
    }

    /// Spends a refresh token. `None`: rejected.
    pub(super) fn redeem(&mut self, login: u8, number: u8) -> Option<Pair> {
        if !self.alive {
            return None;
        }
        self.processed[usize::from(number)] += 1;
        if number == self.current {
            self.current += 1;
        } else if number + 1 != self.current {
            self.alive = false;
            return None;
        }
        Some(Pair { login, number: self.current })
    }

    pub(super) fn accepts(&self, number: u8) -> bool {
        self.alive && number == self.current && number >= self.revoked
    }

    pub(super) fn spent_too_often(&self) -> bool {
        self.processed.iter().zip(&self.allowed).any(|(processed, allowed)| processed > allowed)
    }
}

impl Pair {
    pub(super) fn tokens(self) -> Tokens {
        let Self { login, number } = self;
        Tokens::new(format!("a{login}-{number}")).unwrap().with_refresh_token(format!("r{login}-{number}"))
    }

    pub(super) fn of(tokens: &Tokens) -> Self {
        use secrecy::ExposeSecret;
        // Tokens that cannot be seen are those of whoever was logged in before anybody looked.
        let Some(text) = tokens.access_token().map(ExposeSecret::expose_secret) else {
            return Self { login: 0, number: 0 };
        };
        let (login, number) = text[1..].split_once('-').unwrap();
        Self { login: login.parse().unwrap(), number: number.parse().unwrap() }
    }
}
