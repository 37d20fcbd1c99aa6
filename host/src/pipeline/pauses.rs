//! For how long a worker asks none of its lanes for messages: what a swap of deployments costs.

use std::time::Duration;

use crate::runtime::Runtime;

/// The longest pauses of a worker, since the targets changed last and before.
#[derive(Default)]
pub(super) struct Pauses {
    /// When any lane was asked last, and for how long this thread had had no core by then.
    last: Option<(Duration, Duration)>,
    /// Since the targets changed last.
    pub(super) longest: Pause,
    /// Between that change and the one before it: what pauses are like without a swap.
    pub(super) longest_before: Pause,
}

/// A time for which no lane was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pause {
    /// By the clock.
    pub(super) wall: Duration,
    /// Without what was spent in the queue for a core, which others on the machine make longer or shorter.
    pub(super) own: Duration,
}

impl Pauses {
    /// The targets changed.
    pub(super) fn begin(&mut self) {
        self.longest_before = std::mem::take(&mut self.longest);
    }

    /// A lane is asked for messages. That its source has none is no pause of the worker's.
    pub(super) fn asked(&mut self, runtime: &dyn Runtime) {
        let (now, queued) = (runtime.elapsed(), runtime.without_core());
        let (then, queued_then) = self.last.replace((now, queued)).unwrap_or((now, queued));
        let wall = now.saturating_sub(then);
        let own = wall.saturating_sub(queued.saturating_sub(queued_then));
        self.longest.wall = self.longest.wall.max(wall);
        self.longest.own = self.longest.own.max(own);
    }
}
