//! Exactly once, simulated: the real membership, workers, lanes, chain and sink on a disk that fails in every way, hosts
//! that crash before, in and after any step, members that are cut off and go on all the same.
//!
//! A run is one seed in one [profile]. After every change of the disk a reader looks at the plain directories; at the end
//! every message must have been visible exactly once, as what it must turn into, nothing may lie about, and the records
//! must account for every offset. A failure is made smaller and printed as the one line that replays it.
//!
//! | variable | meaning |
//! |---|---|
//! | `WASMILL_SEED`, `WASMILL_RUNS` | first seed, and how many |
//! | `WASMILL_PROFILE`, `WASMILL_HOSTS`, `WASMILL_STEPS`, `WASMILL_WITHOUT` | one kind of world, made smaller |
//! | `WASMILL_LENGTHS` | `drawn`: runs of a sixteenth to the whole of their profile's length, as many runs are best spent |
//! | `WASMILL_RULE` | without this rule |
//! | `WASMILL_TRACE` | so many lines of the trace |

mod anew;
mod auditor;
mod back_pressure;
mod books;
mod broker;
mod clocks;
mod contents;
mod deployment;
mod disk;
mod downstream;
mod executor;
mod faults;
pub(crate) mod guest;
mod ledger;
mod message;
mod operator;
mod outage;
mod profile;
mod reader;
mod rules;
mod shrink;
mod spite;
mod steps;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::books::Violation;
use self::disk::Hits;
use self::rules::{RULES, Rule};
use self::world::{Case, run};

/// How often each named point is hit in the runs of the test command, at least.
const LEAST_HITS: u64 = 100;

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str, default: u64) -> u64 {
    text(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// How often the length of a seed's run is halved, where lengths are drawn: 0 to 4 times. Most faults need no long life before
/// them, and short runs leave time for more of them.
fn halvings(seed: u64) -> u64 {
    (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 5
}

/// The run of a seed, as the environment wants it.
fn case(seed: u64) -> Case {
    let profile = match text("WASMILL_PROFILE") {
        Some(name) => profile::named(&name),
        None => profile::ALL[(seed % profile::ALL.len() as u64) as usize],
    };
    let mut case = Case::new(seed, &profile);
    if text("WASMILL_LENGTHS").is_some_and(|lengths| lengths == "drawn") {
        case.steps >>= halvings(seed);
    }
    case.hosts = number("WASMILL_HOSTS", case.hosts as u64) as usize;
    case.steps = number("WASMILL_STEPS", case.steps);
    let without = text("WASMILL_WITHOUT").unwrap_or_default();
    case.without = profile::CLASSES.into_iter().filter(|class| without.split(',').any(|w| w == *class)).collect();
    if let Some(rule) = text("WASMILL_RULE") {
        Rule::named(&rule).remove(&mut case);
    }
    case
}

/// The last lines of the trace of a case.
fn last_lines(case: &Case, lines: u64) -> String {
    let trace = run(case, true).trace;
    trace[trace.len().saturating_sub(lines as usize)..].join("\n")
}

/// Runs the work for each number below `count` on all cores, in order as far as that goes.
fn on_all_cores(count: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(number);
                }
            });
        }
    });
}

#[test]
fn exactly_once_whatever_fails() {
    let (first, runs) = (number("WASMILL_SEED", 1), number("WASMILL_RUNS", 10_000));
    let hits: Mutex<Hits> = Mutex::default();
    let failed: Mutex<Option<(Case, Violation)>> = Mutex::default();
    on_all_cores(runs, |index| {
        if failed.lock().unwrap().is_some() {
            return;
        }
        let case = case(first + index);
        let ending = run(&case, false);
        let mut hits = hits.lock().unwrap();
        ending.hits.into_iter().for_each(|(point, count)| *hits.entry(point).or_default() += count);
        drop(hits);
        if let Some(violation) = ending.violation {
            failed.lock().unwrap().get_or_insert((case, violation));
        }
    });
    if let Some((case, violation)) = failed.into_inner().unwrap() {
        let rule = text("WASMILL_RULE");
        let (case, violation) = if runs > 1 { shrink::shrink(&case, &violation) } else { (case, violation) };
        let lines = last_lines(&case, number("WASMILL_TRACE", 80));
        panic!("{lines}\n{}\nreplay: {}", violation.text, shrink::replay(&case, rule.as_deref()));
    }
    if runs >= 10_000 {
        assert_covered(&hits.into_inner().unwrap());
    }
}

/// Every named point was hit often enough.
fn assert_covered(hits: &Hits) {
    let of_mutations =
        ["crash before", "crash in the middle", "crash after", "not applied", "unanswered", "late", "denied"];
    let of_questions = ["crash before", "crash after", "unread"];
    let mut points = Vec::new();
    steps::MUTATIONS.iter().for_each(|step| points.extend(of_mutations.map(|fault| (*step, fault))));
    steps::QUESTIONS.iter().for_each(|step| points.extend(of_questions.map(|fault| (*step, fault))));
    let whole = |step: &&&str| !step.ends_with("write");
    points.extend(steps::MUTATIONS.iter().filter(whole).map(|step| (*step, "sent twice")));
    points
        .extend(["stage create", "stage write", "temporary create", "temporary write"].map(|step| (step, "no space")));
    points.push(("staging list", "stale"));
    points.push(("audit", "answered"));
    points.push(("deployment", "followed"));
    points.extend(["replayed", "given up", "whole"].map(|how| ("replay", how)));
    let count = |point: &(&'static str, &'static str)| hits.get(point).copied().unwrap_or(0);
    let rare: Vec<_> =
        points.iter().map(|point| (point, count(point))).filter(|(_, count)| *count < LEAST_HITS).collect();
    assert!(rare.is_empty(), "{} of {} named points were hit too rarely: {rare:?}", rare.len(), points.len());
}

#[test]
fn every_rule_is_needed() {
    let only = text("WASMILL_RULE");
    let lines = number("WASMILL_TRACE", 0);
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| only.as_ref().is_none_or(|only| rule.name == only)).collect();
    let survived: Mutex<Vec<String>> = Mutex::default();
    on_all_cores(rules.len() as u64, |index| {
        let rule = rules[index as usize];
        match rule.catch(number("WASMILL_SEED", 1)) {
            Err(why) => survived.lock().unwrap().push(why),
            Ok(caught) => {
                let name = rule.name;
                println!("{name}: after {} runs: {}", caught.runs, caught.violation.text);
                if lines > 0 {
                    println!("{}\n{}\n", last_lines(&caught.case, lines), shrink::replay(&caught.case, Some(name)));
                }
                let with_the_rule = Case::new(caught.case.seed, &profile::named(caught.case.profile));
                if let Some(violation) = run(&with_the_rule, false).violation {
                    survived.lock().unwrap().push(format!("{name}: fails with it as well: {}", violation.text));
                }
            }
        }
    });
    let survived = survived.into_inner().unwrap();
    assert!(survived.is_empty(), "{survived:#?}");
}

/// A run depends on its seed alone: otherwise a replay would show something else.
#[test]
fn a_seed_is_a_run() {
    for seed in 1..=3 * profile::ALL.len() as u64 {
        let case = case(seed);
        assert_eq!(run(&case, true).trace, run(&case, true).trace, "seed {seed}");
    }
}
