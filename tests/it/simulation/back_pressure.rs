//! Storage that is slower than Kafka for minutes: memory stays within its budget, hosts stop fetching instead of dropping
//! what they have, and each message is fetched once.

use std::time::Duration;

use super::faults::Faults;
use super::profile::{Profile, named};
use super::world::{Case, World};

/// How long storage is slow, and how long each operation on a staged file takes then, in milliseconds.
const SLOW: Duration = Duration::from_secs(300);
const STAGING_MS: (u64, u64) = (1_000, 8_000);

/// Before there is anything to read, members have joined: what moves between them would be read again.
const JOINED: Duration = Duration::from_secs(5);

/// Open files of a few messages hold this much and more: half of it waiting for storage stops a host from reading.
const BUDGET: usize = 50_000;

/// A worker looks at its budget after each batch: what the files hold that one batch may open.
const ONE_BATCH: usize = 8_000;

/// Kafka always has so many messages more.
const UNREAD: usize = 100;

#[test]
fn five_minutes_of_slow_storage() {
    for seed in 1..=5 {
        let profile = Profile { hosts: 2, tick_ms: 60, interval_ms: 20_000, downstream: 0, ..named("mixed") };
        let mut world = World::new(&Case::new(seed, &profile), false);
        world.profile = profile;
        (world.budget, world.one_batch) = (BUDGET, ONE_BATCH);
        world.broker.count_fetches();
        (0..profile.hosts).for_each(|host| world.start(host));
        // Each step checks that memory is within the budget, up to a batch.
        let step = |world: &mut World| world.step().unwrap_or_else(|v| panic!("seed {seed}: {}", v.text));
        while world.simulator.now() < JOINED {
            step(&mut world);
        }
        world.disk.set_faults(Faults { staging_ms: STAGING_MS, ..Faults::default() });
        let mut behind = 0;
        while world.simulator.now() < JOINED + SLOW {
            if world.broker.unread() < UNREAD {
                world.broker.produce(8);
            }
            behind += u64::from(world.is_storage_behind());
            step(&mut world);
        }
        assert!(behind > 100, "seed {seed}: storage was hardly ever behind");
        world.disk.set_faults(Faults::default());
        let back = world.simulator.now();
        while !world.books.is_complete() {
            step(&mut world);
            assert!(world.simulator.now() - back < SLOW, "seed {seed}: rows are still missing long after");
        }
        let (fetched, twice) = world.broker.fetched();
        assert!(fetched > 10 * UNREAD, "seed {seed}: {fetched} messages in all");
        assert!(twice.is_empty(), "seed {seed}: of {fetched} messages, {twice:?} were fetched more than once");
    }
}
