//! Wall clocks that jump: in every run of the simulation, by up to two days, each host's as it likes. Here: that they decide
//! nothing.

use super::case;
use super::profile::ALL;
use super::world::run;

/// Records and dead letters tell the time, for people: how long a file is may change with it, and nothing else.
fn without_lengths(trace: &[String]) -> Vec<String> {
    let cut = |line: &String| match (line.find(": write "), line.find(" bytes -> ")) {
        (Some(_), Some(to)) => format!("{}{}", line[..to].trim_end_matches(|c: char| c.is_ascii_digit()), &line[to..]),
        _ => line.clone(),
    };
    trace.iter().map(cut).collect()
}

/// The same run with clocks that are right and with clocks that jump by hours takes the same steps: within one day, because
/// dead letters lie by the day at which they were set aside.
#[test]
fn a_run_is_the_same_whatever_its_wall_clocks_do() {
    for seed in 1..=4 * ALL.len() as u64 {
        let (mut right, mut wrong) = (case(seed), case(seed));
        right.clock_errors = (0, 0);
        wrong.clock_errors = (-20, 1);
        let (right, wrong) = (run(&right, true), run(&wrong, true));
        assert!(right.violation.is_none() && wrong.violation.is_none(), "seed {seed}");
        let (right, wrong) = (without_lengths(&right.trace), without_lengths(&wrong.trace));
        for (step, (right, wrong)) in right.iter().zip(&wrong).enumerate() {
            assert_eq!(right, wrong, "seed {seed}, step {step}");
        }
        assert_eq!(right.len(), wrong.len(), "seed {seed}");
    }
}
