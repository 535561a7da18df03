//! Many sessions behind their ids: each id has one engine, made when it is first asked for and forgotten when it has been idle.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use crate::clock::Wall;
use crate::id::{LoginId, SessionId};
use crate::session::engine::Engine;
use crate::session::lending::Idle;
use crate::session::shared::Shared;

/// So many engines are looked at when one more is made, or when it is time to look; the rest have their turn later, so that no
/// request pays for a thousand others.
const LOOK: usize = 16;
/// Who holds an engine that nobody uses: both places in the table.
const UNUSED: usize = 2;

pub(crate) struct Registry {
    pub(crate) shared: Arc<Shared>,
    /// An engine is forgotten when it was not asked for by its name for so long.
    idle: Duration,
    /// So many engines are kept although they are idle for a shorter time.
    most: usize,
    table: RwLock<Table>,
    /// When to look for idle engines next, in milliseconds since 1970.
    look_at: AtomicU64,
}

/// Looked up under the read lock, changed under the write lock: whoever holds that and sees that nobody else holds an engine
/// knows that nobody can come to hold it.
#[derive(Default)]
struct Table {
    engines: HashSet<ById>,
    /// The same engines in a row, along which a hand goes round.
    ring: Vec<Arc<Engine>>,
    hand: usize,
    /// Needs of a login that were told, of sessions that were forgotten since: they are told once, not once for each engine.
    told: HashMap<SessionId, LoginId>,
}

/// An engine, looked up by its id: a key beside it would be the same once more.
struct ById(Arc<Engine>);

impl Borrow<SessionId> for ById {
    fn borrow(&self) -> &SessionId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Registry {
    pub(crate) fn new(shared: Arc<Shared>, idle: Duration, most: usize) -> Self {
        Self { shared, idle, most, table: RwLock::default(), look_at: AtomicU64::new(0) }
    }

    /// The engine of this id.
    pub(crate) fn engine(&self, id: &SessionId, now: Wall) -> Arc<Engine> {
        let known = self
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .engines
            .get(id)
            .map(|ById(known)| Arc::clone(known));
        let engine = match known {
            Some(engine) => engine,
            None => self.make(id, now),
        };
        engine.used_at.store(now.0, Ordering::Relaxed);
        let look_at = Wall(self.look_at.load(Ordering::Relaxed));
        // A look that is further away than it ever is was planned before the clock went back.
        if now >= look_at || look_at.since(now) > self.idle {
            self.look(now);
        }
        engine
    }

    /// All engines there are.
    pub(crate) fn engines(&self) -> Vec<Arc<Engine>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).ring.clone()
    }

    /// How many engines there are.
    pub(crate) fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).ring.len()
    }

    /// Forgets everything that is idle.
    pub(crate) fn forget_idle(&self) {
        let now = self.shared.wall();
        let mut table = self.table();
        let all = table.ring.len();
        let forgotten = table.forget(all, |engine| self.is_idle(engine, now));
        drop(table);
        drop(forgotten);
    }

    #[cold]
    fn make(&self, id: &SessionId, now: Wall) -> Arc<Engine> {
        let mut table = self.table();
        let Table { engines, ring, told, .. } = &mut *table;
        if let Some(ById(known)) = engines.get(id) {
            return Arc::clone(known);
        }
        let engine = Arc::new(Engine::new(id.clone(), Arc::clone(&self.shared), told.remove(id)));
        let _new = engines.insert(ById(Arc::clone(&engine)));
        ring.push(Arc::clone(&engine));
        // Two for each that comes, until there are few enough.
        let too_many = ring.len().saturating_sub(self.most).min(2);
        let mut forgotten = table.forget(LOOK, |engine| self.is_idle(engine, now));
        for _ in forgotten.len()..too_many {
            forgotten.extend(table.forget_longest_unused());
        }
        drop(table);
        // Outside the lock: what an engine holds is other people's.
        drop(forgotten);
        engine
    }

    /// Forgets some of what is idle, unless somebody is at it.
    #[cold]
    fn look(&self, now: Wall) {
        let Ok(mut table) = self.table.try_write() else { return };
        let forgotten = table.forget(LOOK, |engine| self.is_idle(engine, now));
        drop(table);
        // While there is something to be found, the next one looks on.
        let pause = if forgotten.is_empty() { self.idle / 64 } else { Duration::ZERO };
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.look_at.store(now.0.saturating_add(pause), Ordering::Relaxed);
    }

    fn is_idle(&self, engine: &Engine, now: Wall) -> bool {
        now.since(Wall(engine.used_at.load(Ordering::Relaxed))) >= self.idle
    }

    fn table(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Looks at so many engines and takes those out that are idle, that nobody holds, and that have nothing to lose.
    fn forget(&mut self, look: usize, is_idle: impl Fn(&Engine) -> bool) -> Vec<Arc<Engine>> {
        let mut forgotten = Vec::new();
        for _ in 0..look.min(self.ring.len()) {
            match self.at_hand() {
                Some(engine) if is_idle(engine) => match self.take() {
                    Some(taken) => forgotten.push(taken),
                    None => self.hand += 1,
                },
                _ => self.hand += 1,
            }
        }
        self.shrink();
        forgotten
    }

    /// Takes out the one that was used longest ago, of a few that are looked at.
    fn forget_longest_unused(&mut self) -> Option<Arc<Engine>> {
        let looked_at = (0..LOOK.min(self.ring.len())).map(|step| (self.hand + step) % self.ring.len());
        let free = looked_at.filter(|at| Arc::strong_count(&self.ring[*at]) == UNUSED);
        let mut free: Vec<_> = free.map(|at| (self.ring[at].used_at.load(Ordering::Relaxed), at)).collect();
        free.sort_unstable();
        let taken = free.into_iter().find_map(|(_, at)| {
            self.hand = at;
            self.take()
        });
        self.hand += LOOK;
        self.shrink();
        taken
    }

    fn at_hand(&mut self) -> Option<&Arc<Engine>> {
        if self.hand >= self.ring.len() {
            self.hand = 0;
        }
        self.ring.get(self.hand)
    }

    /// Takes out the engine at the hand, unless somebody holds it or it has something to lose: tokens that are not saved, a
    /// flight, a pause.
    fn take(&mut self) -> Option<Arc<Engine>> {
        let engine = self.at_hand().filter(|engine| Arc::strong_count(engine) == UNUSED)?;
        let Idle { told } = engine.idle()?;
        let engine = self.ring.swap_remove(self.hand);
        let _same = self.engines.remove(&engine.id);
        if let Some(told) = told {
            let _none = self.told.insert(engine.id.clone(), told);
        }
        Some(engine)
    }

    /// Gives room back when a crowd has gone.
    fn shrink(&mut self) {
        let needed = 2 * self.ring.len();
        if self.ring.capacity() > 2 * needed + LOOK {
            self.ring.shrink_to(needed);
            self.engines.shrink_to(needed);
            self.told.shrink_to(2 * self.told.len());
        }
    }
}
