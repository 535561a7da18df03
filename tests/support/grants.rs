//! What an issuer knows, as plain values: no sockets, no clock, no runtime.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::counters::GrantCounts;

/// The grants of an issuer: who logged in, which tokens are good, which are spent.
///
/// Clones are the same grants. Time is said by the caller, so that it may stand still or jump.
#[derive(Clone)]
pub struct Grants(Arc<Mutex<Ledger>>);

/// What becomes of a refresh token when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It works once; a second use ends the grant. The default.
    Strict,
    /// It works once; a second use is refused, and the grant goes on.
    Forgiving,
    /// It works once, but a second use within this time of the first yields the same tokens again.
    Grace(Duration),
    /// It stays good and is left out of answers.
    Kept,
    /// Nothing changes: each refresh yields the tokens that are current, the access token included.
    Cached,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who logged in.
    pub user: Arc<str>,
    /// The number of the login, from 1.
    pub grant: usize,
    /// The number of the tokens within the grant, from 1.
    pub generation: usize,
}

/// The tokens that a login or a refresh yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Whose tokens.
    pub holder: Holder,
    /// The access token.
    pub access_token: String,
    /// The refresh token; `None` where it stayed as it was and is left out.
    pub refresh_token: Option<String>,
    /// How long the access token lives, as told to the client; `None` where it is not told.
    pub expires_in: Option<Duration>,
}

impl Issued {
    /// The answer of a token endpoint. A life that is no whole number of seconds is told as a fraction.
    pub fn to_json(&self) -> Value {
        let mut answer = json!({ "access_token": self.access_token, "token_type": "Bearer" });
        if let Some(life) = self.expires_in {
            let whole = life.subsec_nanos() == 0;
            answer["expires_in"] = if whole { life.as_secs().into() } else { life.as_secs_f64().into() };
        }
        if let Some(token) = &self.refresh_token {
            answer["refresh_token"] = token.as_str().into();
        }
        answer
    }
}

/// Why a refresh token yields nothing. A client hears `invalid_grant` in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nobody ever got this refresh token.
    Unknown,
    /// Its grant was ended.
    Ended,
    /// It was spent before. Its grant has ended now, if it had not before, unless the rotation is forgiving.
    Reused,
}

/// Why an access token is no good. A client hears `invalid_token` in each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nobody ever got this access token.
    Unknown,
    /// It has expired.
    Expired(Holder),
    /// It was revoked, or its grant has ended.
    Revoked(Holder),
}

impl Denied {
    /// Whose token it was, if it was anybody's.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Unknown => None,
            Self::Expired(holder) | Self::Revoked(holder) => Some(holder),
        }
    }
}

struct Ledger {
    rules: Rules,
    /// The grant with number `n` stands at `n - 1`.
    grants: Vec<Grant>,
    access: HashMap<String, Access>,
    /// Which grant a refresh token belongs to, spent or not.
    refresh: HashMap<String, usize>,
    counts: GrantCounts,
    seed: RandomState,
}

#[derive(Clone, Copy)]
struct Rules {
    life: Duration,
    leeway: Duration,
    tells_expiry: bool,
    rotation: Rotation,
    one_access_token: bool,
    repeats_access_token: bool,
    names: Option<Names>,
}

/// The text of a token, from its kind, `access` or `refresh`, and its holder.
pub type Names = fn(&str, &Holder) -> String;

struct Grant {
    live: bool,
    holder: Holder,
    access_token: String,
    refresh_token: String,
    /// The refresh token that the current one replaced, and when.
    replaced: Option<(String, SystemTime)>,
}

struct Access {
    holder: Holder,
    expires_at: SystemTime,
    revoked: bool,
}

impl Grants {
    /// No grants yet; access tokens will live this long.
    pub fn new(access_life: Duration) -> Self {
        let rules = Rules {
            life: access_life,
            leeway: Duration::ZERO,
            tells_expiry: true,
            rotation: Rotation::Strict,
            one_access_token: false,
            repeats_access_token: false,
            names: None,
        };
        Self(Arc::new(Mutex::new(Ledger {
            rules,
            grants: Vec::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            counts: GrantCounts::default(),
            seed: RandomState::new(),
        })))
    }

    /// Access tokens issued from now on live this long.
    pub fn set_access_life(&self, life: Duration) {
        self.ledger().rules.life = life;
    }

    /// An access token is good for so much longer than was told, as with the clock tolerance of real servers. Zero by
    /// default.
    pub fn set_leeway(&self, leeway: Duration) {
        self.ledger().rules.leeway = leeway;
    }

    /// Whether clients are told when an access token expires. By default they are.
    pub fn set_tells_expiry(&self, tells: bool) {
        self.ledger().rules.tells_expiry = tells;
    }

    /// What becomes of a refresh token when it is used. [`Rotation::Strict`] by default.
    pub fn set_rotation(&self, rotation: Rotation) {
        self.ledger().rules.rotation = rotation;
    }

    /// Whether the old access token is revoked as soon as a new one is issued, as some issuers do. By default it is not.
    pub fn set_one_access_token(&self, one: bool) {
        self.ledger().rules.one_access_token = one;
    }

    /// Whether a refresh yields the old access token as if it were new, as some issuers wrongly do. By default it does
    /// not.
    pub fn set_repeats_access_token(&self, repeats: bool) {
        self.ledger().rules.repeats_access_token = repeats;
    }

    /// How the tokens issued from now on read; no two may read alike. By default they hold a nonce, so that none of them
    /// is a token of another issuer.
    pub fn set_names(&self, names: Names) {
        self.ledger().rules.names = Some(names);
    }

    /// A new grant for `user`. Earlier ones stay as they are.
    pub fn login(&self, user: &str, now: SystemTime) -> Issued {
        self.ledger().login(user, now)
    }

    /// Spends a refresh token.
    pub fn redeem(&self, refresh_token: &str, now: SystemTime) -> Result<Issued, Refused> {
        let mut ledger = self.ledger();
        let outcome = ledger.redeem(refresh_token, now);
        match &outcome {
            Ok(_) => ledger.counts.accepted += 1,
            Err(refused) => {
                ledger.counts.rejected += 1;
                ledger.counts.reuse += usize::from(*refused == Refused::Reused);
            }
        }
        outcome
    }

    /// Whose access token this is, if it is good.
    pub fn check(&self, access_token: &str, now: SystemTime) -> Result<Holder, Denied> {
        let ledger = self.ledger();
        let access = ledger.access.get(access_token).ok_or(Denied::Unknown)?;
        let holder = access.holder.clone();
        if access.revoked || !ledger.grants[holder.grant - 1].live {
            return Err(Denied::Revoked(holder));
        }
        if now >= access.expires_at + ledger.rules.leeway { Err(Denied::Expired(holder)) } else { Ok(holder) }
    }

    /// Whether this is the newest refresh token of a grant that is alive.
    pub fn is_newest(&self, refresh_token: &str) -> bool {
        let ledger = self.ledger();
        let grant = ledger.refresh.get(refresh_token).map(|number| &ledger.grants[number - 1]);
        grant.is_some_and(|grant| grant.live && grant.refresh_token == refresh_token)
    }

    /// Ends every grant of `user`, access tokens included. Returns how many there were.
    pub fn revoke_grants(&self, user: &str) -> usize {
        let mut ledger = self.ledger();
        let live = ledger.grants.iter_mut().filter(|grant| grant.live && &*grant.holder.user == user);
        live.map(|grant| grant.live = false).count()
    }

    /// Revokes the access tokens of `user` that were issued so far; the grants live on.
    pub fn revoke_access(&self, user: &str) {
        let mut ledger = self.ledger();
        ledger
            .access
            .values_mut()
            .filter(|access| &*access.holder.user == user)
            .for_each(|access| access.revoked = true);
    }

    /// Ends the grant that this access or refresh token belongs to (RFC 7009). Returns whether there was one alive. A
    /// spent refresh token ends nothing: whoever wants the end must bring the newest.
    pub fn revoke_token(&self, token: &str) -> bool {
        let mut ledger = self.ledger();
        let by_access = ledger.access.get(token).map(|access| access.holder.grant);
        let by_refresh = || ledger.refresh.get(token).copied().filter(|n| ledger.grants[n - 1].refresh_token == token);
        let Some(number) = by_access.or_else(by_refresh) else { return false };
        std::mem::replace(&mut ledger.grants[number - 1].live, false)
    }

    /// What was counted so far.
    pub fn counts(&self) -> GrantCounts {
        let ledger = self.ledger();
        let live_grants = ledger.grants.iter().filter(|grant| grant.live).count();
        GrantCounts { logins: ledger.grants.len(), live_grants, ..ledger.counts }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn login(&mut self, user: &str, now: SystemTime) -> Issued {
        let number = self.grants.len() + 1;
        let holder = Holder { user: user.into(), grant: number, generation: 1 };
        let access_token = self.new_access_token(&holder, now);
        let refresh_token = self.new_refresh_token(&holder);
        self.grants.push(Grant { live: true, holder, access_token, refresh_token, replaced: None });
        self.issued(number, self.rules.life, true)
    }

    fn redeem(&mut self, refresh_token: &str, now: SystemTime) -> Result<Issued, Refused> {
        let number = *self.refresh.get(refresh_token).ok_or(Refused::Unknown)?;
        let grant = &self.grants[number - 1];
        if grant.refresh_token != refresh_token {
            return self.redeem_spent(number, refresh_token, now);
        }
        if !grant.live {
            return Err(Refused::Ended);
        }
        match self.rules.rotation {
            Rotation::Strict | Rotation::Forgiving | Rotation::Grace(_) => self.rotate(number, now),
            Rotation::Kept => self.renew_access(number, now),
            Rotation::Cached => return Ok(self.issued_again(number, now)),
        }
        Ok(self.issued(number, self.rules.life, self.rules.rotation != Rotation::Kept))
    }

    fn redeem_spent(&mut self, number: usize, refresh_token: &str, now: SystemTime) -> Result<Issued, Refused> {
        let grant = &mut self.grants[number - 1];
        if let (Rotation::Grace(grace), Some((last, when)), true) = (self.rules.rotation, &grant.replaced, grant.live)
            && last == refresh_token
            && now <= *when + grace
        {
            self.counts.repeated += 1;
            return Ok(self.issued_again(number, now));
        }
        grant.live &= self.rules.rotation == Rotation::Forgiving;
        Err(Refused::Reused)
    }

    fn rotate(&mut self, number: usize, now: SystemTime) {
        self.renew_access(number, now);
        let holder = self.grants[number - 1].holder.clone();
        let fresh = self.new_refresh_token(&holder);
        let grant = &mut self.grants[number - 1];
        let spent = std::mem::replace(&mut grant.refresh_token, fresh);
        grant.replaced = Some((spent, now));
    }

    fn renew_access(&mut self, number: usize, now: SystemTime) {
        let grant = &mut self.grants[number - 1];
        grant.holder.generation += 1;
        if self.rules.repeats_access_token {
            return;
        }
        let holder = grant.holder.clone();
        let fresh = self.new_access_token(&holder, now);
        let old = std::mem::replace(&mut self.grants[number - 1].access_token, fresh);
        if let (true, Some(old)) = (self.rules.one_access_token, self.access.get_mut(&old)) {
            old.revoked = true;
        }
    }

    fn new_access_token(&mut self, holder: &Holder, now: SystemTime) -> String {
        let token = self.text("access", holder);
        let access = Access { holder: holder.clone(), expires_at: now + self.rules.life, revoked: false };
        self.access.insert(token.clone(), access);
        token
    }

    fn new_refresh_token(&mut self, holder: &Holder) -> String {
        let token = self.text("refresh", holder);
        self.refresh.insert(token.clone(), holder.grant);
        token
    }

    /// Readable in a failed test, and no token of another issuer.
    fn text(&self, kind: &str, holder: &Holder) -> String {
        if let Some(names) = self.rules.names {
            return names(kind, holder);
        }
        let nonce = self.seed.hash_one((kind, &holder.user, holder.grant, holder.generation));
        format!("{kind}-{}-{}-{nonce:016x}", holder.grant, holder.generation)
    }

    fn issued(&self, number: usize, life: Duration, with_refresh_token: bool) -> Issued {
        let grant = &self.grants[number - 1];
        Issued {
            holder: grant.holder.clone(),
            access_token: grant.access_token.clone(),
            refresh_token: with_refresh_token.then(|| grant.refresh_token.clone()),
            expires_in: self.rules.tells_expiry.then_some(life),
        }
    }

    /// The current tokens once more, with what is left of their life.
    fn issued_again(&self, number: usize, now: SystemTime) -> Issued {
        let access = self.access.get(&self.grants[number - 1].access_token);
        let left = access.and_then(|access| access.expires_at.duration_since(now).ok());
        self.issued(number, left.unwrap_or_default(), true)
    }
}
