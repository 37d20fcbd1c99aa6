//! The stream of events: model, topics and faults put together.
//!
//! A step of the model gives no, one or several events (one for each wanted topic that shows it). Events that come late
//! or twice are held back until as many further events have been made as their delay says; all others leave in
//! event-time order. Position n of the stream is always the same event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chain::Page;
use super::fault::{Fault, Faults, damage, delay};
use super::model::{Model, Step};
use super::options::{SimulatorOptions, Topic};
use super::render::Renderer;
use crate::error::Result;

/// What is known of an event beside its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventMeta {
    /// Where it belongs.
    pub topic: Topic,
    /// Event time, in milliseconds since 1970.
    pub time_ms: i64,
    /// Who it is, where the event shows that.
    pub user_id: Option<u64>,
    /// What was done to it, if anything.
    pub fault: Option<Fault>,
}

impl EventMeta {
    /// Whether the payload is null (nothing was appended).
    pub fn is_tombstone(&self) -> bool {
        self.fault == Some(Fault::Tombstone)
    }
}

/// An endless stream of events (until event time ends or nobody is left).
#[derive(Debug)]
pub struct Simulator {
    model: Model,
    renderer: Renderer,
    faults: Faults,
    wanted: Wanted,
    /// The last step, and the topics that have yet to show it.
    pending: Option<(Step, Wanted)>,
    held: Held,
    /// Events of the model so far, without second copies.
    made: u64,
    position: u64,
}

impl Simulator {
    /// A stream at its first event. Errors where an option is out of its range.
    pub fn new(options: SimulatorOptions) -> Result<Self> {
        options.check()?;
        let model = Model::new(&options);
        Ok(Self {
            renderer: Renderer::new(&model),
            faults: Faults::new(&options.faults, options.seed, options.instance, options.instances),
            wanted: Wanted::of(&options.topics),
            model,
            pending: None,
            held: Held::default(),
            made: 0,
            position: 0,
        })
    }

    /// Appends the next event to `out` as one JSON object without a line feed (a tombstone appends nothing; a malformed
    /// one is no JSON), and says what it is. `None`: the stream has ended.
    #[inline]
    pub fn next_event(&mut self, out: &mut Vec<u8>) -> Option<EventMeta> {
        self.advance(Some(out))
    }

    /// Passes over the next `count` events, several times faster than making them. Returns how many there were: less
    /// than `count` where the stream ends before.
    pub fn skip(&mut self, count: u64) -> u64 {
        (0..count).find(|_| self.advance(None).is_none()).unwrap_or(count)
    }

    /// How many events have been made or passed over: the index of the next one.
    pub fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    fn advance(&mut self, mut out: Option<&mut Vec<u8>>) -> Option<EventMeta> {
        loop {
            if self.held.is_due(self.made) {
                break self.release(out);
            }
            let Some((topic, step)) = self.next_view() else {
                break self.release(out);
            };
            self.made += 1;
            let fault = self.faults.draw();
            if let Some((Fault::Late, variant)) = fault {
                self.hold(topic, &step, Fault::Late, variant);
                continue;
            }
            if let Some((Fault::Duplicate, variant)) = fault {
                self.hold(topic, &step, Fault::Duplicate, variant);
            }
            self.position += 1;
            let mut meta = self.meta(topic, &step);
            if let Some(out) = out.as_mut() {
                let start = out.len();
                self.renderer.render(&self.model, topic, &step, out);
                if let Some((fault, variant)) = fault {
                    damage_event(fault, variant, out, start, &mut meta);
                }
            }
            break Some(meta);
        }
    }

    /// The next event without its payload: the next wanted topic of the last step, else of the next step that any
    /// wanted topic shows.
    #[inline]
    fn next_view(&mut self) -> Option<(Topic, Step)> {
        loop {
            if let Some((step, wanted)) = &mut self.pending {
                if let Some(topic) = wanted.take() {
                    return Some((topic, *step));
                }
                self.pending = None;
            }
            let step = self.model.step()?;
            let shown = self.wanted.shown(self.model.chain.state(step.state).page, step.after_login);
            if shown.0 != 0 {
                self.pending = Some((step, shown));
            }
        }
    }

    #[inline]
    fn meta(&self, topic: Topic, step: &Step) -> EventMeta {
        let shows_user = self.model.chain.state(step.state).auth.shows_user();
        let user_id = shows_user.then(|| self.model.user(step.slot).id);
        EventMeta { topic, time_ms: step.time_ms, user_id, fault: None }
    }

    /// Keeps an event for later.
    #[cold]
    fn hold(&mut self, topic: Topic, step: &Step, fault: Fault, variant: u64) {
        let meta = EventMeta { fault: Some(fault), ..self.meta(topic, step) };
        let mut payload = self.held.spare.pop().unwrap_or_default();
        self.renderer.render(&self.model, topic, step, &mut payload);
        self.held.queue.push(Reverse((self.made + delay(variant), self.made, meta, payload)));
    }

    /// Lets the first event go that was kept.
    #[cold]
    fn release(&mut self, out: Option<&mut Vec<u8>>) -> Option<EventMeta> {
        let Reverse((_, _, meta, mut payload)) = self.held.queue.pop()?;
        if let Some(out) = out {
            out.extend_from_slice(&payload);
        }
        payload.clear();
        self.held.spare.push(payload);
        self.position += 1;
        Some(meta)
    }
}

#[cold]
fn damage_event(fault: Fault, variant: u64, out: &mut Vec<u8>, start: usize, meta: &mut EventMeta) {
    let done = fault != Fault::Duplicate && damage(fault, variant, out, start);
    meta.fault = done.then_some(fault);
    if meta.fault == Some(Fault::MissingUser) {
        meta.user_id = None;
    }
}

/// When an event is due (by the count of events), its order among those, itself, and its bytes.
type Late = (u64, u64, EventMeta, Vec<u8>);

/// Events that come later, by the count of events at which they are due, then by their order.
#[derive(Debug, Default)]
struct Held {
    queue: BinaryHeap<Reverse<Late>>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

impl Held {
    #[inline]
    fn is_due(&self, made: u64) -> bool {
        self.queue.peek().is_some_and(|Reverse((due, ..))| *due <= made)
    }
}

/// A set of topics, one bit each, in the order of [`Topic::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted(u8);

impl Wanted {
    fn of(topics: &[Topic]) -> Self {
        Self(topics.iter().fold(0, |bits, topic| bits | Self::bit(*topic)))
    }

    fn bit(topic: Topic) -> u8 {
        1 << topic as u8
    }

    /// Those of the set that show a page.
    #[inline]
    fn shown(self, page: Page, after_login: bool) -> Self {
        let mut shown = Self::bit(Topic::PageViewEvents);
        match page {
            Page::NextSong => shown |= Self::bit(Topic::ListenEvents),
            Page::SubmitUpgrade | Page::SubmitDowngrade => shown |= Self::bit(Topic::StatusChangeEvents),
            _ => {}
        }
        if after_login {
            shown |= Self::bit(Topic::AuthEvents);
        }
        Self(self.0 & shown)
    }

    /// Takes the first one out.
    #[inline]
    fn take(&mut self) -> Option<Topic> {
        let topic = *Topic::ALL.get(self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(topic)
    }
}
