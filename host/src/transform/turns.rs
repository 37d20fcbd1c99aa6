//! A transform's instances when there may be fewer of them than workers: who has a batch waits for a turn.
//!
//! An instance that has done its batch waits here for the next one, of whatever worker. Those that wait and those at work
//! are never more than the limit; a turn lasts one batch, the search for its poison rows included.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Turns, and the instances (`I`) between two of them.
pub(crate) struct Turns<I> {
    state: Mutex<State<I>>,
    given_back: Condvar,
}

struct State<I> {
    /// Turns that nobody has.
    free: usize,
    idle: Vec<I>,
}

impl<I> Turns<I> {
    /// At most `most` instances, at least one.
    pub(crate) fn new(most: usize) -> Self {
        let state = State { free: most.max(1), idle: Vec::new() };
        Self { state: Mutex::new(state), given_back: Condvar::new() }
    }

    /// Waits for a turn. With it comes an instance if one is idle; if not, the taker may have one of its own.
    pub(crate) fn take(&self) -> Option<I> {
        let mut state = self.state();
        while state.free == 0 {
            state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= 1;
        state.idle.pop()
    }

    /// Ends a turn; the instance, if it may be used again, waits for the next.
    pub(crate) fn give_back(&self, instance: Option<I>) {
        let mut state = self.state();
        state.free += 1;
        state.idle.extend(instance);
        self.given_back.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State<I>> {
        // Nothing that could panic is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn there_are_never_more_instances_than_turns() {
        let (turns, made, at_work, most) =
            (Turns::new(2), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for worker in 0..6 {
                let (turns, made, at_work, most) = (&turns, &made, &at_work, &most);
                scope.spawn(move || {
                    for batch in 0..200 {
                        let instance = turns.take().unwrap_or_else(|| made.fetch_add(1, SeqCst));
                        most.fetch_max(at_work.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::yield_now();
                        at_work.fetch_sub(1, SeqCst);
                        // Some are not fit to be used again.
                        turns.give_back(((worker + batch) % 50 != 0).then_some(instance));
                    }
                });
            }
        });
        assert_eq!(most.load(SeqCst), 2);
        let made = made.load(SeqCst);
        assert!((2..=2 + 24).contains(&made), "{made} instances were made");
    }
}
