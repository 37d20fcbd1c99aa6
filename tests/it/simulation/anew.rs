//! A topic that is deleted and created anew while hosts read it, crash and are taken over from: nothing of the new one may
//! become visible, every host stops its topic partitions and says why, and what was published before stays as it is.

use super::books::Violation;
use super::profile::{Profile, named};
use super::world::{Case, World};

/// Steps after which every topic partition has been stopped.
const PATIENCE: u64 = 20_000;

const RUNS: u64 = 80;

/// Of the topic partitions of a world, how many a host has that owns all.
const TOPIC_PARTITIONS: usize = 2;

/// One run: a while with the old topic, a while with the new one, then a host that starts.
fn run(seed: u64, says_identity: bool) -> Result<(), Violation> {
    let profile = Profile { expiry: 0, ..named(["mixed", "late", "crashing", "zombies"][seed as usize % 4]) };
    let mut world = World::new(&Case { says_identity, ..Case::new(seed, &profile) }, false);
    world.profile = profile;
    world.live()?;
    // Every chain gets a record first, or the new topic would be the first that it knows.
    world.calm_down();
    while (0..TOPIC_PARTITIONS).any(|partition| !world.has_record(partition)) {
        world.step()?;
    }
    world.make_topic_anew();
    world.live()?;
    world.calm_down();
    (0..profile.hosts).for_each(|host| world.crash(host));
    world.start(0);
    for _ in 0..PATIENCE {
        world.step()?;
        if world.stopped(0) == TOPIC_PARTITIONS {
            return Ok(());
        }
    }
    panic!("seed {seed}: a host goes on although the topic is another one");
}

#[test]
fn another_topic_of_the_name_stops_everybody() {
    for seed in 1..=RUNS {
        run(seed, true).unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.text));
    }
}

/// The client goes on at the same offset of the new topic without a word: without the question, rows of both are mixed.
#[test]
fn without_asking_again_two_topics_are_mixed() {
    let mixed = (1..=RUNS).filter(|seed| run(*seed, false).is_err()).count();
    assert!(mixed > 0, "{RUNS} runs without the question noticed nothing");
}
