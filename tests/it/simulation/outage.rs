//! Storage that is gone for five minutes: memory stays within its budget, the group is served all the while, and when
//! storage comes back everything goes on by itself.

use std::time::Duration;

use super::faults::Trouble;
use super::profile::{Profile, named};
use super::world::{Case, World};

const OUTAGE: Duration = Duration::from_secs(300);

/// The longest pause between two attempts, and one attempt.
const GOES_ON: Duration = Duration::from_secs(40);
const CAUGHT_UP: Duration = Duration::from_secs(600);

#[test]
fn five_minutes_without_storage() {
    for seed in 1..=5 {
        let profile = Profile { tick_ms: 60, ..named("mixed") };
        let mut world = World::new(&Case::new(seed, &profile), false);
        world.profile = profile;
        world.budget = 4 << 20;
        (0..profile.hosts).for_each(|host| world.start(host));
        let go_on = |world: &mut World, until: Duration| {
            while world.simulator.now() < until {
                if world.simulator.once_in(20) {
                    world.broker.produce(8);
                }
                // Members come and go meanwhile: who answers the group gets what it is given.
                if world.simulator.once_in(300) {
                    world.broker.rebalance();
                }
                world.step().unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.text));
            }
        };
        go_on(&mut world, Duration::from_secs(5));
        world.disk.set_trouble(Some(Trouble::Outage));
        go_on(&mut world, Duration::from_secs(5) + OUTAGE);
        assert!(!world.books.is_complete(), "seed {seed}: nothing was left to write during the outage");
        assert!(world.broker.is_served(), "seed {seed}: a host does not answer the group");
        world.disk.set_trouble(None);
        let (back, before) = (world.simulator.now(), world.books.published().len());
        while !world.books.is_complete() {
            world.step().unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.text));
            let waited = world.simulator.now() - back;
            let goes_on = waited < GOES_ON || world.books.published().len() > before;
            assert!(goes_on, "seed {seed}: nobody goes on {waited:?} after the outage");
            assert!(waited < CAUGHT_UP, "seed {seed}: rows are still missing {waited:?} after the outage");
        }
    }
}
