//! The pages a visitor goes through: a Markov chain over (page, auth, method, status, level).
//!
//! A session starts in a state drawn by weight for the visitor's (auth, level) and moves from state to state; what the
//! transitions of a state leave to 1 ends the session. Method and status follow from the page. Pure tables: it knows
//! nothing of time, users or topics.
//!
//! Songs play only for visitors who are logged in. `Submit Upgrade` shows the level before the change, `Cancellation
//! Confirmation` is the last event of a user.

use super::random::Random;

/// The page of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    NextSong,
    Login,
    Logout,
    Register,
    SubmitRegistration,
    Help,
    About,
    Settings,
    SaveSettings,
    Upgrade,
    SubmitUpgrade,
    Downgrade,
    SubmitDowngrade,
    Cancel,
    CancellationConfirmation,
    Error,
}

/// Whether the visitor is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    /// Not registered.
    Guest,
    /// Registered, but not recognised.
    LoggedOut,
    /// Registered and recognised: only now an event shows who it is.
    LoggedIn,
    /// Has just left for good; still shown.
    Cancelled,
}

impl Auth {
    /// As events write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Guest => "Guest",
            Self::LoggedOut => "Logged Out",
            Self::LoggedIn => "Logged In",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether events show the user.
    pub(super) fn shows_user(self) -> bool {
        matches!(self, Self::LoggedIn | Self::Cancelled)
    }
}

/// Whether the visitor pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Free,
    Paid,
}

impl Level {
    /// As events write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
        }
    }
}

impl Page {
    /// As events write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::NextSong => "NextSong",
            Self::Login => "Login",
            Self::Logout => "Logout",
            Self::Register => "Register",
            Self::SubmitRegistration => "Submit Registration",
            Self::Help => "Help",
            Self::About => "About",
            Self::Settings => "Settings",
            Self::SaveSettings => "Save Settings",
            Self::Upgrade => "Upgrade",
            Self::SubmitUpgrade => "Submit Upgrade",
            Self::Downgrade => "Downgrade",
            Self::SubmitDowngrade => "Submit Downgrade",
            Self::Cancel => "Cancel",
            Self::CancellationConfirmation => "Cancellation Confirmation",
            Self::Error => "Error",
        }
    }

    /// The HTTP method: PUT for what changes something.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::NextSong | Self::Cancel => "PUT",
            page if page.status() == 307 => "PUT",
            _ => "GET",
        }
    }

    /// The HTTP status. 307 sends the browser on to the next page at once.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Error => 404,
            Self::Login
            | Self::Logout
            | Self::SubmitRegistration
            | Self::SaveSettings
            | Self::SubmitUpgrade
            | Self::SubmitDowngrade
            | Self::Cancel => 307,
            _ => 200,
        }
    }
}

/// One state; everything but page, auth and level follows from the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) page: Page,
    pub(super) auth: Auth,
    pub(super) level: Level,
}

impl State {
    /// What the visitor is after this page: (auth, level), also when the session ends here.
    pub(super) fn after(self) -> (Auth, Level) {
        match self.page {
            Logout => (LoggedOut, self.level),
            SubmitRegistration => (LoggedIn, self.level),
            SubmitUpgrade => (self.auth, Level::Paid),
            SubmitDowngrade => (self.auth, Level::Free),
            _ => (self.auth, self.level),
        }
    }
}

/// The number of a state in its [`Chain`].
pub(super) type StateId = u8;

/// Where a page may lead: page, auth, probability. The level stays, except after a submitted upgrade or downgrade.
type Exits = &'static [(Page, Auth, f64)];

use Auth::{Cancelled, Guest, LoggedIn, LoggedOut};
use Page::*;

/// Where sessions start: auth, then page and weight.
const ENTRIES: &[(Auth, &[(Page, f64)])] = &[
    (LoggedIn, &[(NextSong, 0.7), (Home, 0.26), (Settings, 0.02), (Help, 0.01), (About, 0.01)]),
    (LoggedOut, &[(Home, 0.6), (Login, 0.36), (Help, 0.02), (About, 0.02)]),
    (Guest, &[(Home, 0.7), (Register, 0.2), (Help, 0.05), (About, 0.05)]),
];

/// The chain. `Upgrade` stands for `Downgrade` where the visitor pays already. The likely exits come first.
const EXITS: &[(Page, Auth, Exits)] = &[
    (
        NextSong,
        LoggedIn,
        &[
            (NextSong, LoggedIn, 0.914),
            (Home, LoggedIn, 0.034),
            (Logout, LoggedIn, 0.01),
            (Settings, LoggedIn, 0.005),
            (Upgrade, LoggedIn, 0.005),
            (Help, LoggedIn, 0.004),
            (About, LoggedIn, 0.002),
            (Error, LoggedIn, 0.001),
        ],
    ),
    (
        Home,
        LoggedIn,
        &[
            (NextSong, LoggedIn, 0.8),
            (Logout, LoggedIn, 0.04),
            (Settings, LoggedIn, 0.03),
            (Upgrade, LoggedIn, 0.03),
            (Help, LoggedIn, 0.02),
            (About, LoggedIn, 0.01),
            (Error, LoggedIn, 0.002),
        ],
    ),
    (Logout, LoggedIn, &[(Home, LoggedOut, 0.98), (Error, LoggedOut, 0.001)]),
    (Help, LoggedIn, &[(NextSong, LoggedIn, 0.6), (Home, LoggedIn, 0.25), (Settings, LoggedIn, 0.05)]),
    (About, LoggedIn, &[(NextSong, LoggedIn, 0.6), (Home, LoggedIn, 0.3)]),
    (Error, LoggedIn, &[(NextSong, LoggedIn, 0.6), (Home, LoggedIn, 0.2), (Help, LoggedIn, 0.1)]),
    (
        Settings,
        LoggedIn,
        &[
            (NextSong, LoggedIn, 0.4),
            (SaveSettings, LoggedIn, 0.3),
            (Home, LoggedIn, 0.18),
            (Upgrade, LoggedIn, 0.04),
            (Cancel, LoggedIn, 0.03),
        ],
    ),
    (SaveSettings, LoggedIn, &[(Settings, LoggedIn, 0.3), (Home, LoggedIn, 0.69)]),
    (Upgrade, LoggedIn, &[(NextSong, LoggedIn, 0.5), (SubmitUpgrade, LoggedIn, 0.2), (Home, LoggedIn, 0.25)]),
    (SubmitUpgrade, LoggedIn, &[(Home, LoggedIn, 0.99)]),
    (Downgrade, LoggedIn, &[(NextSong, LoggedIn, 0.65), (SubmitDowngrade, LoggedIn, 0.06), (Home, LoggedIn, 0.24)]),
    (SubmitDowngrade, LoggedIn, &[(Home, LoggedIn, 0.99)]),
    (Cancel, LoggedIn, &[(CancellationConfirmation, Cancelled, 1.0)]),
    (CancellationConfirmation, Cancelled, &[]),
    (Home, LoggedOut, &[(Login, LoggedOut, 0.75), (Help, LoggedOut, 0.03), (About, LoggedOut, 0.03)]),
    (Login, LoggedOut, &[(Home, LoggedIn, 0.93), (Login, LoggedOut, 0.05), (Error, LoggedOut, 0.01)]),
    (Help, LoggedOut, &[(Home, LoggedOut, 0.4), (Login, LoggedOut, 0.4)]),
    (About, LoggedOut, &[(Home, LoggedOut, 0.5), (Login, LoggedOut, 0.3)]),
    (Error, LoggedOut, &[(Home, LoggedOut, 0.5), (Help, LoggedOut, 0.1)]),
    (Home, Guest, &[(Register, Guest, 0.4), (About, Guest, 0.1), (Help, Guest, 0.1), (Error, Guest, 0.01)]),
    (Register, Guest, &[(SubmitRegistration, Guest, 0.7), (Home, Guest, 0.1), (Help, Guest, 0.1)]),
    (SubmitRegistration, Guest, &[(Home, LoggedIn, 0.99)]),
    (Help, Guest, &[(Home, Guest, 0.4), (Register, Guest, 0.3)]),
    (About, Guest, &[(Home, Guest, 0.4), (Register, Guest, 0.3)]),
    (Error, Guest, &[(Home, Guest, 0.6)]),
];

/// A weighted choice among a few states: bounds of 0 to 2^32, ascending. What is above the last is nobody's.
type Choice = Vec<(u32, StateId)>;

/// The chain, ready to be walked.
#[derive(Debug)]
pub(super) struct Chain {
    states: Vec<State>,
    next: Vec<Choice>,
    entries: Vec<(Auth, Level, Choice)>,
}

impl Chain {
    /// Builds the chain from its tables.
    pub(super) fn new() -> Self {
        let mut states = Vec::new();
        for level in [Level::Free, Level::Paid] {
            let paid = level == Level::Paid;
            for &(page, auth, _) in EXITS {
                let exists = match page {
                    Upgrade | SubmitUpgrade => !paid,
                    Downgrade | SubmitDowngrade => paid,
                    _ => !paid || auth != Guest,
                };
                if exists {
                    states.push(State { page, auth, level });
                }
            }
        }
        let next = states.iter().map(|state| exits(&states, *state)).collect();
        let mut entries = Vec::new();
        for &(auth, pages) in ENTRIES {
            for level in [Level::Free, Level::Paid] {
                let total: f64 = pages.iter().map(|(_, weight)| weight).sum();
                let wanted = pages.iter().map(|&(page, weight)| (State { page, auth, level }, weight / total));
                entries.push((auth, level, choice(&states, wanted)));
            }
        }
        Self { states, next, entries }
    }

    /// State `id`.
    #[inline]
    pub(super) fn state(&self, id: StateId) -> State {
        self.states[id as usize]
    }

    /// How many states there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The first state of a session.
    pub(super) fn start(&self, auth: Auth, level: Level, random: &mut Random) -> StateId {
        let of = |wanted: Level| self.entries.iter().find(|(a, l, to)| *a == auth && *l == wanted && !to.is_empty());
        let entry = of(level).or_else(|| of(Level::Free));
        let Some((_, _, choice)) = entry else { return 0 };
        pick(choice, random.bits_32()).or_else(|| choice.last().map(|(_, state)| *state)).unwrap_or(0)
    }

    /// The state after `from`; `None` ends the session.
    #[inline]
    pub(super) fn step(&self, from: StateId, random: &mut Random) -> Option<StateId> {
        pick(&self.next[from as usize], random.bits_32())
    }
}

#[inline]
fn pick(choice: &Choice, bits: u32) -> Option<StateId> {
    choice.iter().find(|(bound, _)| bits < *bound).map(|(_, state)| *state)
}

/// Where `from` may lead, by the tables.
fn exits(states: &[State], from: State) -> Choice {
    let (_, level) = from.after();
    let row = EXITS.iter().find(|(page, auth, _)| *page == from.page && *auth == from.auth);
    let to = row.map(|(_, _, exits)| *exits).unwrap_or_default();
    choice(
        states,
        to.iter().map(|&(page, auth, share)| {
            let page = if page == Upgrade && level == Level::Paid { Downgrade } else { page };
            (State { page, auth, level }, share)
        }),
    )
}

/// A choice among those of the wanted states that exist.
fn choice(states: &[State], wanted: impl Iterator<Item = (State, f64)>) -> Choice {
    let mut sum = 0.0;
    let mut choice = Choice::new();
    for (state, share) in wanted {
        if let Some(id) = states.iter().position(|known| *known == state) {
            sum += share;
            choice.push(((sum * f64::from(u32::MAX)) as u32, id as StateId));
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventsim::random::Purpose;

    #[test]
    fn every_exit_exists_and_probabilities_hold() {
        let chain = Chain::new();
        for &(page, auth, exits) in EXITS {
            assert!(exits.iter().map(|(_, _, share)| share).sum::<f64>() <= 1.000_001, "{page:?} {auth:?}");
            for level in [Level::Free, Level::Paid] {
                let state = State { page, auth, level };
                let Some(id) = chain.states.iter().position(|known| *known == state) else { continue };
                assert_eq!(chain.next[id].len(), exits.len(), "{state:?}: an exit leads nowhere");
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_every_session_ends() {
        let chain = Chain::new();
        let mut seen = vec![false; chain.len()];
        let mut random = Random::new(3, Purpose::Model, 0, 1);
        let (mut auth, mut level) = (Auth::Guest, Level::Free);
        let mut steps = 0;
        for _ in 0..50_000 {
            let mut id = chain.start(auth, level, &mut random);
            loop {
                seen[id as usize] = true;
                steps += 1;
                match chain.step(id, &mut random) {
                    Some(next) => id = next,
                    None => break,
                }
            }
            (auth, level) = chain.state(id).after();
            if auth == Auth::Cancelled {
                (auth, level) = (Auth::Guest, Level::Free);
            }
        }
        let missing: Vec<State> = (0..chain.len()).filter(|&id| !seen[id]).map(|id| chain.states[id]).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!((20..120).contains(&(steps / 50_000)), "{steps}");
    }
}
