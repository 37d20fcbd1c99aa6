//! Making a failing run smaller: fewer hosts, fewer steps, fewer kinds of faults, as long as it fails in the same way. What
//! is left is one line that replays it.

use super::books::{Kind, Violation};
use super::profile::CLASSES;
use super::world::{Case, run};

/// Other seeds that are tried when the same one passes in a smaller world, where all that is drawn comes out differently.
const SEEDS: u64 = 40;

/// A smaller run that fails in the same way, and how.
pub(super) fn shrink(case: &Case, violation: &Violation) -> (Case, Violation) {
    let mut smallest = (case.clone(), violation.clone());
    let attempt = |smaller: Case, smallest: &mut (Case, Violation)| match fails(&smaller, violation.kind) {
        Some(found) => {
            *smallest = found;
            true
        }
        None => false,
    };
    for class in CLASSES {
        let mut smaller = smallest.0.clone();
        smaller.without.push(class);
        attempt(smaller, &mut smallest);
    }
    for hosts in 1..smallest.0.hosts {
        if attempt(Case { hosts, ..smallest.0.clone() }, &mut smallest) {
            break;
        }
    }
    for _ in 0..8 {
        let steps = smallest.0.steps * 2 / 3;
        if !attempt(Case { steps, ..smallest.0.clone() }, &mut smallest) {
            break;
        }
    }
    smallest
}

/// The case, or its like with another seed, where it fails in this way.
fn fails(case: &Case, kind: Kind) -> Option<(Case, Violation)> {
    (0..SEEDS).find_map(|other| {
        // Steps of a hundred keep a world with a real guest one with a real guest.
        let case = Case { seed: case.seed + other * 1_000_100, ..case.clone() };
        let violation = run(&case, false).violation.filter(|violation| violation.kind == kind)?;
        Some((case, violation))
    })
}

/// The line that runs a case again, and shows its trace.
pub(super) fn replay(case: &Case, rule: Option<&str>) -> String {
    let mut line = format!(
        "WASMILL_SEED={} WASMILL_RUNS=1 WASMILL_PROFILE={} WASMILL_HOSTS={} WASMILL_STEPS={}",
        case.seed, case.profile, case.hosts, case.steps
    );
    if !case.without.is_empty() {
        line += &format!(" WASMILL_WITHOUT={}", case.without.join(","));
    }
    if let Some(rule) = rule {
        line += &format!(" WASMILL_RULE={rule}");
    }
    line + " cargo test --release -p wasmill-tests exactly_once_whatever_fails"
}
