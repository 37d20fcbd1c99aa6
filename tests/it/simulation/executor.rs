//! A seeded, single-threaded executor with a clock of its own: which task goes on next is drawn, and the tasks of a host
//! can be dropped between any two of their steps. That is a crash.

use std::hash::{Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wasmill::runtime::Runtime;

use super::message;

/// What an operation of a host asks the world to do to that host, once the task that runs has been polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// The process ends here.
    Crash(usize),
    /// Its session with the group expires; it goes on and knows nothing of it.
    CutOff(usize),
}

/// How far the wall clocks of the hosts are wrong, in hours: from the least to the most.
pub(super) type ClockErrors = (i64, i64);

/// A host's wall clock keeps its error for so long, then jumps to another one.
const CLOCK_KEEPS: Duration = Duration::from_millis(300);

/// What all hosts of a simulated world share: chance and time.
pub(super) struct Simulator {
    seed: u64,
    clock_errors: ClockErrors,
    state: Mutex<State>,
}

struct State {
    rng: ChaCha8Rng,
    now: Duration,
    spawned: Vec<(usize, BoxFuture<'static, ()>)>,
    timers: Vec<(Duration, Waker)>,
    blows: Vec<Blow>,
}

impl Simulator {
    pub(super) fn new(seed: u64, clock_errors: ClockErrors) -> Arc<Self> {
        let state = State {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Duration::ZERO,
            spawned: vec![],
            timers: vec![],
            blows: vec![],
        };
        Arc::new(Self { seed, clock_errors, state: Mutex::new(state) })
    }

    /// How wrong the wall clock of a host is now, in milliseconds. Nothing is drawn for it, so that a run is the same run
    /// whatever its clocks do.
    fn clock_error_ms(&self, host: usize) -> i64 {
        let (least, most) = self.clock_errors;
        let turn = self.now().as_millis() / CLOCK_KEEPS.as_millis();
        let mut hasher = std::hash::DefaultHasher::new();
        (self.seed, host, turn).hash(&mut hasher);
        let span = most.abs_diff(least) * message::HOUR_MS as u64;
        least * message::HOUR_MS + hasher.finish().checked_rem(span).unwrap_or(0) as i64
    }

    /// A number below `below`.
    pub(super) fn draw(&self, below: u64) -> u64 {
        self.state.lock().unwrap().rng.random_range(0..below.max(1))
    }

    /// A number of `least..=most`.
    pub(super) fn draw_between(&self, (least, most): (u64, u64)) -> u64 {
        least + self.draw(most.saturating_sub(least) + 1)
    }

    /// True once in `times` on average; never when `times` is 0.
    pub(super) fn once_in(&self, times: u64) -> bool {
        times > 0 && self.draw(times) == 0
    }

    /// Lets time pass and wakes those whose time has come.
    pub(super) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now += by;
        let now = state.now;
        if state.timers.iter().all(|(at, _)| *at > now) {
            return;
        }
        let (due, later) = std::mem::take(&mut state.timers).into_iter().partition(|(at, _)| *at <= now);
        state.timers = later;
        drop(state);
        let due: Vec<(Duration, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn now(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    /// Strikes a host as soon as the world looks.
    pub(super) fn strike(&self, blow: Blow) {
        self.state.lock().unwrap().blows.push(blow);
    }

    pub(super) fn take_blows(&self) -> Vec<Blow> {
        std::mem::take(&mut self.state.lock().unwrap().blows)
    }

    /// A point at which others may go on first, and at which the host may crash.
    pub(super) async fn pass(&self) {
        let mut passed = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut passed, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Completes after `duration`.
    pub(super) async fn sleep(&self, duration: Duration) {
        let at = self.now() + duration;
        std::future::poll_fn(|context| {
            let mut state = self.state.lock().unwrap();
            if state.now >= at {
                return Poll::Ready(());
            }
            state.timers.push((at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// The surroundings of one simulated host.
pub(super) struct HostRuntime {
    pub(super) simulator: Arc<Simulator>,
    pub(super) host: usize,
}

impl Runtime for HostRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.simulator.state.lock().unwrap().spawned.push((self.host, task));
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let simulator = Arc::clone(&self.simulator);
        Box::pin(async move {
            // Others go on meanwhile.
            simulator.pass().await;
            work();
        })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let simulator = Arc::clone(&self.simulator);
        Box::pin(async move { simulator.sleep(duration).await })
    }

    fn elapsed(&self) -> Duration {
        self.simulator.now()
    }

    fn now_ms(&self) -> i64 {
        message::START_MS + self.simulator.now().as_millis() as i64 + self.simulator.clock_error_ms(self.host)
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        self.simulator.state.lock().unwrap().rng.fill_bytes(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    host: usize,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ready: Arc<Flag>,
}

/// The tasks of all hosts.
#[derive(Default)]
pub(super) struct Tasks {
    tasks: Vec<Task>,
}

impl Tasks {
    /// Polls one ready task, drawn at random, of a host that is not frozen. `false`: there is none.
    pub(super) fn step(&mut self, simulator: &Simulator, frozen: impl Fn(usize) -> bool) -> bool {
        let spawned = std::mem::take(&mut simulator.state.lock().unwrap().spawned);
        for (host, future) in spawned {
            self.tasks.push(Task { host, future, ready: Arc::new(Flag(AtomicBool::new(true))) });
        }
        let ready = |task: &Task| task.ready.0.load(Ordering::Relaxed) && !frozen(task.host);
        let candidates = self.tasks.iter().filter(|task| ready(task)).count();
        if candidates == 0 {
            return false;
        }
        let drawn = simulator.draw(candidates as u64) as usize;
        let Some((index, _)) = self.tasks.iter().enumerate().filter(|(_, task)| ready(task)).nth(drawn) else {
            return false;
        };
        let task = &mut self.tasks[index];
        task.ready.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.ready));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            drop(self.tasks.swap_remove(index));
        }
        true
    }

    /// Whether nothing is going on in the background.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The host is gone, and all it was doing with it.
    pub(super) fn crash(&mut self, simulator: &Simulator, host: usize) {
        let spawned = std::mem::take(&mut simulator.state.lock().unwrap().spawned);
        let (dropped, kept) = spawned.into_iter().partition(|(of, _)| *of == host);
        simulator.state.lock().unwrap().spawned = kept;
        // What a dropped task owns may spawn or draw while it goes: not under the lock.
        let _: Vec<(usize, BoxFuture<'static, ()>)> = dropped;
        self.tasks.retain(|task| task.host != host);
    }
}
