//! The model: users, their sessions, and one queue of what happens next.
//!
//! Each user waits in one priority queue by the time of the next page, so steps come in event-time order; two at the
//! same millisecond come in the order of the users' slots. A step shows what happened and moves that user on. It knows
//! nothing of topics, JSON or faults.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::catalogue::{Catalogue, catalogue};
use super::chain::{Auth, Chain, Level, Page, StateId};
use super::options::{END_OF_TIME_MS, MOST_USERS, SimulatorOptions};
use super::random::{Purpose, Random};

const YEAR_MS: f64 = 365.0 * 86_400_000.0;
/// How much users differ: the standard deviation of the logarithm of a user's gaps.
const SPREAD: f64 = 0.5;
/// Between two sessions of a user lies at least this.
const REST_MS: i64 = 30 * 60_000;
/// A page that redirects is followed by the next after this.
const REDIRECT_MS: i64 = 1_000;
/// Of the first users: known but not logged in, and never registered.
const LOGGED_OUT_SHARE: f64 = 0.15;
const GUEST_SHARE: f64 = 0.05;
/// Of the first users who are registered: those who pay.
const PAID_SHARE: f64 = 0.3;
/// The first users registered within this time before the start.
const REGISTERED_WITHIN_MS: f64 = 2.0 * YEAR_MS;

/// A user and the session that is going on, or comes next. One cache line: each step touches one at random.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) registration_ms: i64,
    session: u64,
    /// Mean gaps in milliseconds: between pages, between sessions.
    alpha: f32,
    beta: f32,
    item: u32,
    song: u32,
    pub(super) city: u16,
    pub(super) agent: u16,
    pub(super) last_name: u16,
    pub(super) first_name: u16,
    state: StateId,
    after_login: bool,
}

/// One page of one user's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) time_ms: i64,
    /// The user's slot in [`Model::user`], valid until the next step.
    pub(super) slot: u32,
    pub(super) session: u64,
    /// 0 for the first page of the session.
    pub(super) item: u32,
    pub(super) state: StateId,
    /// What plays, where the page is `NextSong`.
    pub(super) song: u32,
    /// Whether the page before was `Login`.
    pub(super) after_login: bool,
}

/// The simulated world.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) chain: Chain,
    catalogue: &'static Catalogue,
    random: Random,
    clock: Clock,
    users: Vec<User>,
    free_slots: Vec<u32>,
    /// Next page of each user: see [`pack`].
    queue: BinaryHeap<Reverse<u64>>,
    growth: Growth,
    ids: Ids,
    mean_alpha_ms: f64,
    mean_beta_ms: f64,
    attrition_per_ms: f64,
    end_ms: i64,
}

/// Numbers of users and sessions that no other instance has.
#[derive(Debug)]
struct Ids {
    instance: u64,
    instances: u64,
    users: u64,
    sessions: u64,
}

/// When further users come: the number of users follows e^(rate * time).
#[derive(Debug)]
struct Growth {
    first_users: f64,
    per_year: f64,
    start_ms: i64,
    arrived: u64,
    next_ms: i64,
}

/// How likely a session starts, by quarter of an hour in the week.
#[derive(Debug)]
struct Clock {
    weights: Vec<f64>,
    mean: f64,
}

/// A queue entry: 43 bits of time, 21 bits of slot. The lowest comes first.
fn pack(time_ms: i64, slot: u32) -> u64 {
    (time_ms.clamp(0, END_OF_TIME_MS) as u64) << 21 | u64::from(slot)
}

fn unpack(entry: u64) -> (i64, u32) {
    ((entry >> 21) as i64, (entry & ((1 << 21) - 1)) as u32)
}

impl Model {
    /// The world at its start; the options have been checked.
    pub(super) fn new(options: &SimulatorOptions) -> Self {
        let SimulatorOptions { seed, instance, instances, start_ms, .. } = *options;
        let count = options.own_users();
        let mut model = Self {
            chain: Chain::new(),
            catalogue: catalogue(),
            random: Random::new(seed, Purpose::Model, instance, instances),
            clock: Clock::new(options.damping, options.weekend_damping),
            users: Vec::with_capacity(count as usize),
            free_slots: Vec::new(),
            queue: BinaryHeap::with_capacity(count as usize),
            growth: Growth {
                first_users: f64::from(count),
                per_year: options.growth_per_year,
                start_ms,
                arrived: 0,
                next_ms: 0,
            },
            ids: Ids { instance: u64::from(instance), instances: u64::from(instances), users: 0, sessions: 0 },
            mean_alpha_ms: options.alpha.as_secs_f64() * 1_000.0,
            mean_beta_ms: options.beta.as_secs_f64() * 1_000.0,
            attrition_per_ms: options.attrition_per_year / YEAR_MS,
            end_ms: options.end_ms.unwrap_or(END_OF_TIME_MS),
        };
        model.growth.next_ms = model.growth.arrival();
        for _ in 0..count {
            model.add_first_user(start_ms);
        }
        model
    }

    /// The user in a step's slot.
    #[inline]
    pub(super) fn user(&self, slot: u32) -> &User {
        &self.users[slot as usize]
    }

    /// What happens next; `None` when event time is at its end or nobody is left.
    #[inline]
    pub(super) fn step(&mut self) -> Option<Step> {
        loop {
            let next = self.queue.peek().map(|Reverse(entry)| unpack(*entry));
            let time_ms = next.map_or(i64::MAX, |(time_ms, _)| time_ms);
            if self.growth.next_ms <= time_ms && self.growth.next_ms < self.end_ms {
                self.grow();
                continue;
            }
            let (_, slot) = next.filter(|_| time_ms < self.end_ms)?;
            let user = &mut self.users[slot as usize];
            if user.item == 0 {
                // Now, not when it was planned: sessions are numbered in the order in which they start.
                user.session = self.ids.session();
            }
            let step = Step {
                time_ms,
                slot,
                session: user.session,
                item: user.item,
                state: user.state,
                song: user.song,
                after_login: user.after_login,
            };
            self.advance(time_ms, slot);
            return Some(step);
        }
    }

    /// Moves a user on from the page shown at `time_ms`, and puts the queue in order.
    #[inline]
    fn advance(&mut self, time_ms: i64, slot: u32) {
        let user = &mut self.users[slot as usize];
        let state = self.chain.state(user.state);
        let Some(next) = self.chain.step(user.state, &mut self.random) else {
            return self.end_session(time_ms, slot);
        };
        let gap_ms = match state.page {
            Page::NextSong => i64::from(self.catalogue.song_ms[user.song as usize]),
            page if page.status() == 307 => REDIRECT_MS,
            _ => 1 + self.random.exponential(f64::from(user.alpha)) as i64,
        };
        if state.page == Page::SubmitRegistration {
            user.registration_ms = time_ms;
        }
        user.after_login = state.page == Page::Login;
        user.state = next;
        user.item += 1;
        if self.chain.state(next).page == Page::NextSong {
            user.song = self.catalogue.song_weights.pick(&mut self.random);
        }
        if let Some(mut top) = self.queue.peek_mut() {
            *top = Reverse(pack(time_ms.saturating_add(gap_ms), slot));
        }
    }

    /// Ends a session: the user leaves, or comes back later.
    #[cold]
    fn end_session(&mut self, time_ms: i64, slot: u32) {
        let state = self.chain.state(self.users[slot as usize].state);
        if state.page == Page::SubmitRegistration {
            self.users[slot as usize].registration_ms = time_ms;
        }
        let mean_ms = f64::from(self.users[slot as usize].beta);
        let rested_ms = time_ms.saturating_add(REST_MS);
        let next_ms = self.clock.session_start(rested_ms, mean_ms, self.end_ms, &mut self.random);
        let away_ms = next_ms.saturating_sub(time_ms) as f64;
        let stays = libm::exp(-self.attrition_per_ms * away_ms);
        let (auth, level) = state.after();
        if auth == Auth::Cancelled || !self.random.chance(stays) {
            if let Some(top) = self.queue.peek_mut() {
                PeekMut::pop(top);
            }
            self.free_slots.push(slot);
            return;
        }
        self.plan_session(slot, auth, level);
        if let Some(mut top) = self.queue.peek_mut() {
            *top = Reverse(pack(next_ms, slot));
        }
    }

    /// Plans the user's next session.
    fn plan_session(&mut self, slot: u32, auth: Auth, level: Level) {
        let state = self.chain.start(auth, level, &mut self.random);
        let song = self.catalogue.song_weights.pick(&mut self.random);
        let user = &mut self.users[slot as usize];
        (user.item, user.state, user.song, user.after_login) = (0, state, song, false);
    }

    /// One of those who are there from the start, in the middle of their lives.
    fn add_first_user(&mut self, start_ms: i64) {
        let kind = self.random.unit();
        let auth = match kind {
            kind if kind < GUEST_SHARE => Auth::Guest,
            kind if kind < GUEST_SHARE + LOGGED_OUT_SHARE => Auth::LoggedOut,
            _ => Auth::LoggedIn,
        };
        let paid = auth != Auth::Guest && self.random.chance(PAID_SHARE);
        let level = if paid { Level::Paid } else { Level::Free };
        let registered_ms = start_ms - 1 - (REGISTERED_WITHIN_MS * self.random.unit()) as i64;
        let slot = self.add_user(registered_ms.max(0));
        let mean_ms = f64::from(self.users[slot as usize].beta);
        let first_ms = self.clock.session_start(start_ms, mean_ms, self.end_ms, &mut self.random);
        self.plan_session(slot, auth, level);
        self.queue.push(Reverse(pack(first_ms, slot)));
    }

    /// Adds the user whose time has come: a guest, whose first session begins now.
    #[cold]
    fn grow(&mut self) {
        let now_ms = self.growth.next_ms;
        if self.queue.len() >= MOST_USERS as usize {
            // Full for good: who is turned away costs time as well, and there may be millions a second.
            self.growth.next_ms = i64::MAX;
            return;
        }
        self.growth.arrived += 1;
        self.growth.next_ms = self.growth.arrival();
        let slot = self.add_user(now_ms);
        self.plan_session(slot, Auth::Guest, Level::Free);
        self.queue.push(Reverse(pack(now_ms, slot)));
    }

    fn add_user(&mut self, registration_ms: i64) -> u32 {
        let random = &mut self.random;
        let user = User {
            id: self.ids.user(),
            registration_ms,
            session: 0,
            alpha: (self.mean_alpha_ms * random.log_normal_factor(SPREAD)) as f32,
            beta: (self.mean_beta_ms * random.log_normal_factor(SPREAD)) as f32,
            item: 0,
            song: 0,
            city: self.catalogue.city_weights.pick(random) as u16,
            agent: self.catalogue.agent_weights.pick(random) as u16,
            last_name: self.catalogue.last_name_weights.pick(random) as u16,
            first_name: self.catalogue.first_name_weights.pick(random) as u16,
            state: 0,
            after_login: false,
        };
        if let Some(slot) = self.free_slots.pop() {
            self.users[slot as usize] = user;
            return slot;
        }
        self.users.push(user);
        self.users.len() as u32 - 1
    }
}

impl Ids {
    fn user(&mut self) -> u64 {
        self.users += 1;
        (self.users - 1) * self.instances + self.instance + 1
    }

    fn session(&mut self) -> u64 {
        self.sessions += 1;
        (self.sessions - 1) * self.instances + self.instance + 1
    }
}

impl Growth {
    /// When the next user comes; never, without growth.
    fn arrival(&self) -> i64 {
        if self.per_year <= 0.0 {
            return i64::MAX;
        }
        let years = libm::log1p((self.arrived + 1) as f64 / self.first_users) / self.per_year;
        self.start_ms.saturating_add((years * YEAR_MS) as i64)
    }
}

impl Clock {
    const QUARTER_MS: i64 = 15 * 60_000;

    fn new(damping: f64, weekend_damping: f64) -> Self {
        let weights: Vec<f64> = (0..7 * 96)
            .map(|quarter| {
                // 1970-01-01, where the table starts, was a Thursday.
                let weekend = matches!(quarter / 96, 2 | 3);
                let hour = f64::from(quarter % 96) / 4.0;
                let low = (1.0 + libm::cos(std::f64::consts::TAU * (hour - 3.0) / 24.0)) / 2.0;
                (1.0 - damping * low) * if weekend { 1.0 - weekend_damping } else { 1.0 }
            })
            .collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        Self { weights, mean }
    }

    fn weight(&self, time_ms: i64) -> f64 {
        self.weights[(time_ms / Self::QUARTER_MS).rem_euclid(7 * 96) as usize]
    }

    /// When a session starts that comes `mean_ms` after `from_ms` on average: more start in busy hours, by throwing
    /// away a part of those that fall into quiet ones.
    fn session_start(&self, from_ms: i64, mean_ms: f64, end_ms: i64, random: &mut Random) -> i64 {
        let mut time_ms = from_ms;
        while time_ms < end_ms {
            time_ms = time_ms.saturating_add(1 + random.exponential(mean_ms * self.mean) as i64);
            if random.chance(self.weight(time_ms)) {
                break;
            }
        }
        time_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_queue_are_in_order_of_time_then_slot() {
        for (time_ms, slot) in [(0, 0), (1, MOST_USERS), (END_OF_TIME_MS, 3)] {
            assert_eq!(unpack(pack(time_ms, slot)), (time_ms, slot));
        }
        assert!(pack(5, MOST_USERS) < pack(6, 0));
        assert!(pack(5, 1) < pack(5, 2));
    }

    #[test]
    fn the_night_and_the_weekend_are_quiet() {
        let clock = Clock::new(0.6, 0.3);
        let at = |day: i64, hour: i64| clock.weight((day * 24 + hour) * 3_600_000);
        assert!((at(0, 3) - 0.4).abs() < 1e-9);
        assert!((at(0, 15) - 1.0).abs() < 1e-9);
        assert!((at(2, 15) - 0.7).abs() < 1e-9);
        assert!((at(3, 3) - 0.28).abs() < 1e-9);
        assert!((at(4, 15) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn users_grow_by_the_rate() {
        let year_ms = YEAR_MS as i64;
        let options =
            SimulatorOptions { users: 1_000, growth_per_year: 0.5, attrition_per_year: 0.0, ..Default::default() };
        let mut model = Model::new(&options);
        let end_ms = options.start_ms + year_ms;
        while model.step().is_some_and(|step| step.time_ms < end_ms) {}
        assert!((645..=650).contains(&model.growth.arrived), "{}", model.growth.arrived);
    }

    #[test]
    fn without_growth_everybody_leaves_in_the_end() {
        let options =
            SimulatorOptions { users: 20, growth_per_year: 0.0, attrition_per_year: 5.0, ..Default::default() };
        let mut model = Model::new(&options);
        let mut last_ms = 0;
        while let Some(step) = model.step() {
            last_ms = step.time_ms;
        }
        assert!(model.queue.is_empty());
        assert!(last_ms < options.start_ms + 20 * YEAR_MS as i64);
    }
}
