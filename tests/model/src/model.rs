//! The model itself: what can happen in a world, and what must hold at every moment.

use stateright::{Model, Property};

use crate::parameters::Parameters;
use crate::store::{Store, TAKE_OVERS, violation};
use crate::take_over::{Actor, How, Step, TakeOver};

/// Whether a world is as it has to be.
type Holds = fn(&Parameters, &World) -> bool;

/// What has to hold at every moment: the mark that its violation leaves, its name, and its test.
#[rustfmt::skip]
pub(crate) const ALWAYS: [(u16, &str, Holds); 9] = [
    (violation::TWICE, "no reader sees a row twice", |_, world| world.keeps(violation::TWICE)),
    (violation::PARTIAL, "no reader sees a part of a file", |_, world| world.keeps(violation::PARTIAL)),
    (violation::VOID, "nothing of a record that does not count is published", |_, world| world.keeps(violation::VOID)),
    (violation::LOST, "no committed row is lost", |_, world| world.keeps(violation::LOST)),
    (violation::FALSE_STOP, "nobody stops without need", |_, world| world.keeps(violation::FALSE_STOP)),
    (violation::MIXED, "two topics of one name are not mixed", |_, world| world.keeps(violation::MIXED)),
    (violation::UNACCOUNTED, "records and archive account for each range once", |_, world| world.keeps(violation::UNACCOUNTED)),
    (violation::ACKNOWLEDGED, "what is acknowledged is published", |_, world| world.keeps(violation::ACKNOWLEDGED)),
    (violation::STUCK, "the owner goes on until all is published", |_, world| world.keeps(violation::STUCK)),
];

/// The one property that asks for a run instead of excluding one: without it, all others could hold of a model that does
/// nothing.
pub(crate) const COMPLETE: &str = "all is published after all that can go wrong did";

/// Everything, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    store: Store,
    take_overs: [TakeOver; TAKE_OVERS],
    /// Take-overs that began. The group gives the topic partition to the last of them.
    begun: u8,
    faults: u8,
    duplicates: u8,
    moves: u8,
    /// Whether nothing but the last take-over's own clean steps happened since it began.
    undisturbed: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The group assigns the topic partition to another process, or one that lost it takes over again.
    Begin,
    Step {
        take_over: u8,
        how: How,
    },
    /// Folding goes on beside whatever else the take-over is at.
    Fold {
        take_over: u8,
        how: How,
    },
    /// Staging goes on beside the steps of the commit before.
    Stage {
        take_over: u8,
        length: u8,
        how: How,
    },
    /// An operation that was not answered arrives.
    Land {
        place: u8,
    },
    /// A job downstream moves a published file away.
    Move {
        start: u8,
        file: u8,
    },
    Recreate,
}

impl Model for Parameters {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            store: Store::default(),
            take_overs: [TakeOver::default(); TAKE_OVERS],
            begun: 0,
            faults: self.faults,
            duplicates: self.duplicates,
            moves: self.moves,
            undisturbed: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.store.violations & self.ends != 0 {
            return;
        }
        if world.begun < self.take_overs {
            actions.push(Action::Begin);
        }
        let (faults, duplicates) = (world.faults > 0, world.duplicates > 0);
        for take_over in 0..world.begun {
            let at = &world.take_overs[usize::from(take_over)];
            actions.extend(at.ways(faults, duplicates).iter().map(|&how| Action::Step { take_over, how }));
            actions.extend(at.ways_to_fold(faults, duplicates).iter().map(|&how| Action::Fold { take_over, how }));
            if at.may_stage(self) {
                self.add_staging(world, take_over, actions);
            }
        }
        let late = world.store.late.iter().enumerate().filter(|(_, op)| op.is_some());
        actions.extend(late.map(|(place, _)| Action::Land { place: place as u8 }));
        if world.moves > 0 {
            let files = (0..self.offsets).flat_map(|start| (0..self.files).map(move |file| (start, file)));
            let free = files.filter(|&(start, file)| world.store.may_move(start, file, self));
            actions.extend(free.map(|(start, file)| Action::Move { start, file }));
        }
        if self.recreated && !world.store.recreated {
            actions.push(Action::Recreate);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let last = usize::from(world.begun.wrapping_sub(1));
        match action {
            Action::Begin => self.begin(&mut next),
            Action::Step { take_over, how }
            | Action::Fold { take_over, how }
            | Action::Stage { take_over, how, .. } => {
                let number = usize::from(take_over);
                next.spend(how);
                next.undisturbed &= number == last && how == How::Clean;
                let mut actor = Actor { parameters: self, store: &mut next.store, number, at: next.take_overs[number] };
                match action {
                    Action::Stage { length, .. } => actor.stage(length, how),
                    Action::Fold { .. } => actor.fold(how),
                    _ => actor.step(how),
                }
                let at = actor.at;
                next.take_overs[number] = at;
                if number == last && self.is_stuck(&next) {
                    next.store.violate(violation::STUCK);
                }
            }
            Action::Land { place } => {
                next.undisturbed = false;
                next.store.land(usize::from(place), self);
            }
            Action::Move { start, file } => {
                next.moves -= 1;
                next.store.move_away(start, file);
            }
            Action::Recreate => next.store.recreated = true,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = ALWAYS.iter().map(|&(_, name, holds)| Property::always(name, holds));
        always.chain([Property::sometimes(COMPLETE, |p, world: &World| world.is_complete(p))]).collect()
    }
}

impl Parameters {
    fn begin(&self, world: &mut World) {
        let number = usize::from(world.begun);
        world.begun += 1;
        world.undisturbed = true;
        world.take_overs[number] = TakeOver::begin();
        if world.store.recreated {
            world.store.topics |= 1 << number;
        }
    }

    fn add_staging(&self, world: &World, take_over: u8, actions: &mut Vec<Action>) {
        let at = &world.take_overs[usize::from(take_over)];
        let closing = at.is_half_staged();
        let mut ways = vec![How::Clean];
        // An unclear create only spends a name, unless the name is used again.
        if world.faults > 0 && (closing || !self.rules.abandon_unclear_creates) {
            ways.push(How::Unclear);
        }
        if world.faults > 0 && self.short && (closing || !self.half_written) {
            ways.push(How::Short);
        }
        if world.faults > 0 && !closing {
            ways.push(How::Echo);
        }
        let longest = if closing { 1 } else { self.longest.min(at.left(self)) };
        for length in 1..=longest {
            actions.extend(ways.iter().map(|&how| Action::Stage { take_over, length, how }));
        }
    }

    /// The last take-over ended without need, or for good although its process owns the topic partition.
    fn is_stuck(&self, world: &World) -> bool {
        let at = &world.take_overs[usize::from(world.begun - 1)];
        let gives_up = matches!(at.step, Step::Lost | Step::Failed);
        gives_up && (world.undisturbed || !self.rules.take_over_again && world.begun < self.take_overs)
    }
}

impl World {
    /// What an action is about to do, in a line.
    pub(crate) fn tell(&self, action: Action) -> String {
        let of = |take_over: u8| self.take_overs[usize::from(take_over)];
        match action {
            Action::Begin => format!("take-over {} begins", self.begun),
            Action::Step { take_over, how } if of(take_over).step != Step::Fold => {
                format!("take-over {take_over}: {:?}, {how:?}", of(take_over).step)
            }
            Action::Step { take_over, how } | Action::Fold { take_over, how } => {
                format!("take-over {take_over}: {:?}, {how:?}", of(take_over).folding.step)
            }
            Action::Stage { take_over, length, how } => format!("take-over {take_over}: Stage {length}, {how:?}"),
            Action::Land { place } => match self.store.late[usize::from(place)] {
                Some(op) => format!("arrives late: {op:?}"),
                None => "nothing arrives".to_owned(),
            },
            Action::Move { start, file } => format!("a job moves file {file} of the range from {start} away"),
            Action::Recreate => "the topic is deleted and created anew".to_owned(),
        }
    }

    fn keeps(&self, bit: u16) -> bool {
        self.store.violations & bit == 0
    }

    fn spend(&mut self, how: How) {
        match how {
            How::Unclear | How::Echo | How::Short => self.faults -= 1,
            How::Duplicate => self.duplicates -= 1,
            How::Clean | How::GiveUp => {}
        }
    }

    fn is_complete(&self, parameters: &Parameters) -> bool {
        let spent = self.begun == parameters.take_overs && self.faults == 0 && self.moves == 0;
        let last = &self.take_overs[usize::from(self.begun.saturating_sub(1))];
        spent && last.step == Step::Done && self.store.all_shown_before(parameters.offsets, parameters)
    }
}
