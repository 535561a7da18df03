//! Changes of one record come one after the other, in the order in which they were asked for.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// What begins when its turn has come. It must not block, and keeps the turn for as long as it needs.
type Begin = Box<dyn FnOnce(Turn) + Send>;

/// The records that are being changed by this process, each with the changes that wait.
static LINES: LazyLock<Mutex<HashMap<PathBuf, VecDeque<Begin>>>> = LazyLock::new(Mutex::default);

/// The right to change a record, as far as this process goes. What waits for it is the change and not its caller, so that a
/// caller whose runtime stands still holds up nothing.
#[derive(Debug)]
pub(crate) struct Turn(PathBuf);

impl Turn {
    /// Begins this when everything that was asked for before is done with the record at this path.
    pub(crate) fn ask(record: PathBuf, begin: impl FnOnce(Self) + Send + 'static) {
        match lines().entry(record.clone()) {
            Entry::Occupied(mut line) => return line.get_mut().push_back(Box::new(begin)),
            Entry::Vacant(line) => _ = line.insert(VecDeque::new()),
        }
        begin(Self(record));
    }

    /// Whether other changes wait.
    pub(crate) fn is_wanted(&self) -> bool {
        lines().get(&self.0).is_some_and(|line| !line.is_empty())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut lines = lines();
            let next = lines.get_mut(&self.0).and_then(VecDeque::pop_front);
            if next.is_none() {
                lines.remove(&self.0);
            }
            next
        };
        if let Some(begin) = next {
            begin(Self(std::mem::take(&mut self.0)));
        }
    }
}

fn lines() -> MutexGuard<'static, HashMap<PathBuf, VecDeque<Begin>>> {
    // Nothing in here can panic half-way through a change.
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn turns_come_in_order_and_leave_nothing() {
        let record = || PathBuf::from("a record of this test");
        let (begun, order) = mpsc::channel();
        for nth in 0..3 {
            let begun = begun.clone();
            Turn::ask(record(), move |turn| begun.send((nth, turn)).unwrap());
        }
        for nth in 0..3 {
            let (begun, turn) = order.try_recv().unwrap();
            assert_eq!((begun, turn.is_wanted()), (nth, nth < 2));
            assert!(order.try_recv().is_err(), "one at a time");
        }
        assert!(!lines().contains_key(&record()));
    }
}
