//! The protocol as a model for an explicit-state checker: every interleaving of a few take-overs, a few storage faults
//! and a job downstream, and in none of them a reader sees a row twice, a part of a file, or never.
//!
//! The simulation drives the real code through many long random runs; the model walks through *all* runs of a small
//! world. Both take the same rules away one by one (`Protocol`, in the host's own file), and both must notice.
//!
//! | file | what it holds |
//! |---|---|
//! | `parameters.rs` | how large a world is, and its rules |
//! | `store.rs` | the storage, its operations, and the truth that no process knows |
//! | `take_over.rs`, `publishing.rs`, `folding.rs` | the steps of a take-over, one storage operation each, in the order of the host's code |
//! | `model.rs` | what can happen, and what must hold |
//! | `scenarios.rs` | which worlds are searched, and in which world the removal of a rule shows |
//!
//! What is simplified: files of one range are published one after the other; the deletions of a sweep are one step, and
//! so are the reads of a prune; a temporary file of a unique name is written in one step. What is not here: sources
//! (`next_from_source`, `skip_redelivered`), records written for an operator, stale listings.
//!
//! | argument | what is done |
//! |---|---|
//! | `small` | every small world is searched: part of the test command |
//! | `large` | every large world: minutes to hours |
//! | `removals` | each rule is removed, and the search must find what goes wrong; with `traces`, each is told |
//! | `world take_overs=2 ...` | one world by its parameters |

mod folding;
mod model;
mod parameters;
#[allow(unreachable_pub, reason = "the host's own file")]
#[path = "../../../host/src/checkpoint/protocol.rs"]
mod protocol;
mod publishing;
mod scenarios;
mod store;
mod take_over;

use std::process::ExitCode;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use model::{ALWAYS, Action, COMPLETE, World};
use parameters::Parameters;
use scenarios::{Holding, Removal};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fine = match arguments.as_slice() {
        ["small"] => all_hold(scenarios::small()),
        ["large"] => all_hold(scenarios::large()),
        ["removals"] => all_removals_show(false),
        ["removals", "traces"] => all_removals_show(true),
        ["world", parameters @ ..] => match Parameters::default().with(parameters) {
            Ok(parameters) => all_hold(vec![Holding { name: "this world", parameters }]),
            Err(why) => {
                eprintln!("{why}");
                false
            }
        },
        _ => {
            eprintln!("usage: wasmill-model small | large | removals [traces] | world [NAME=NUMBER]...");
            false
        }
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a search found.
struct Found {
    states: usize,
    depth: usize,
    /// Properties that do not hold, each with its trace.
    broken: Vec<(&'static str, Vec<String>)>,
    /// Whether a run was found in which all goes wrong that can, and all is published in the end.
    complete: bool,
}

/// Searches all of a world, or up to the first broken property.
fn search(parameters: Parameters) -> Found {
    found(&parameters.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join())
}

/// Searches for a short way to break a property.
fn search_for(property: &'static str, parameters: Parameters) -> Found {
    let finish_when = HasDiscoveries::AnyOf([property].into());
    found(&parameters.checker().finish_when(finish_when).spawn_bfs().join())
}

fn found(checker: &impl Checker<Parameters>) -> Found {
    let mut found =
        Found { states: checker.unique_state_count(), depth: checker.max_depth(), broken: Vec::new(), complete: false };
    for (name, path) in checker.discoveries() {
        if name == COMPLETE {
            found.complete = true;
        } else {
            found.broken.push((name, trace(&path.into_vec())));
        }
    }
    found
}

/// A path as one line for each step.
fn trace(path: &[(World, Option<Action>)]) -> Vec<String> {
    path.iter().filter_map(|(world, action)| Some(world.tell((*action)?))).collect()
}

fn all_hold(worlds: Vec<Holding>) -> bool {
    let mut fine = true;
    for Holding { name, parameters } in worlds {
        let begun = Instant::now();
        let Found { states, depth, broken, complete } = search(parameters);
        println!("{name}: {states} states, depth {depth}, {:.1} s", begun.elapsed().as_secs_f32());
        for (property, trace) in &broken {
            println!("  not so: {property}\n    {}", trace.join("\n    "));
        }
        if !complete {
            println!("  no run gets to the end");
        }
        fine &= broken.is_empty() && complete;
    }
    fine
}

fn all_removals_show(traces: bool) -> bool {
    let mut survived = Vec::new();
    for Removal { rule, breaks, remove, mut parameters } in scenarios::removals() {
        let begun = Instant::now();
        remove(&mut parameters);
        parameters.ends = breaks;
        let (_, property, _) = ALWAYS.into_iter().find(|(mark, ..)| *mark == breaks).expect("a property for each mark");
        let Found { states, broken, .. } = search_for(property, parameters);
        let seconds = begun.elapsed().as_secs_f32();
        if let Some((_, trace)) = broken.iter().find(|(found, _)| *found == property) {
            println!("without {rule}, not so: {property} ({} steps; {states} states, {seconds:.1} s)", trace.len());
            if traces {
                println!("  {}", trace.join("\n  "));
            }
        } else {
            println!("without {rule}: nothing found ({states} states, {seconds:.1} s)");
            survived.push(rule);
        }
    }
    if !survived.is_empty() {
        println!("no counterexample without {survived:?}");
    }
    let forgotten = scenarios::forgotten();
    for rule in &forgotten {
        println!("{rule} is a rule of the host that scenarios.rs neither removes nor names as being elsewhere");
    }
    survived.is_empty() && forgotten.is_empty()
}
