//! A seeded, single-threaded executor with a clock of its own: which task goes on next is drawn, and the tasks of a host
//! can be dropped between any two of their steps. That is a crash.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wasmill::runtime::Runtime;

/// What all hosts of a simulated world share: chance and time.
pub(super) struct Simulator {
    state: Mutex<State>,
}

struct State {
    rng: ChaCha8Rng,
    now: Duration,
    spawned: Vec<(usize, BoxFuture<'static, ()>)>,
    timers: Vec<(Duration, Waker)>,
}

impl Simulator {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Arc::new(Self { state: Mutex::new(State { rng, now: Duration::ZERO, spawned: vec![], timers: vec![] }) })
    }

    /// A number below `below`.
    pub(super) fn draw(&self, below: u64) -> u64 {
        self.state.lock().unwrap().rng.random_range(0..below.max(1))
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
        let (due, later) = std::mem::take(&mut state.timers).into_iter().partition(|(at, _)| *at <= now);
        state.timers = later;
        drop(state);
        let due: Vec<(Duration, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn now(&self) -> Duration {
        self.state.lock().unwrap().now
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

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let simulator = Arc::clone(&self.simulator);
        let at = simulator.now() + duration;
        Box::pin(std::future::poll_fn(move |context| {
            let mut state = simulator.state.lock().unwrap();
            if state.now >= at {
                return Poll::Ready(());
            }
            state.timers.push((at, context.waker().clone()));
            Poll::Pending
        }))
    }

    fn elapsed(&self) -> Duration {
        self.simulator.now()
    }

    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.simulator.now().as_millis() as i64
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
        let candidates: Vec<usize> = (0..self.tasks.len()).filter(|index| ready(&self.tasks[*index])).collect();
        if candidates.is_empty() {
            return false;
        }
        let index = candidates[simulator.draw(candidates.len() as u64) as usize];
        let task = &mut self.tasks[index];
        task.ready.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.ready));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            drop(self.tasks.swap_remove(index));
        }
        true
    }

    /// The host is gone, and all it was doing with it.
    pub(super) fn crash(&mut self, simulator: &Simulator, host: usize) {
        simulator.state.lock().unwrap().spawned.retain(|(of, _)| *of != host);
        self.tasks.retain(|task| task.host != host);
    }
}
