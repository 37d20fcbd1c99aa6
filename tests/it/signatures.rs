//! Signed modules as operators see them: from a key pair to a host that runs nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{run, stdout};
use crate::deployments::{Job, by_deployment, end, messages, module, produce_until, swapped};
use crate::kafka::broker;
use crate::servers;
use crate::simulation::guest;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_host_runs_only_what_its_keys_signed_and_is_paused_all_the_same() {
    let topic = broker::topic("signed", 4, &[]);
    let brokers = servers::kafka();
    let job =
        Job::new(&format!("[source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""));
    let (key, keep_plays) = (job.path("release.key"), job.path("keep_plays.wasm"));
    let (key, keep_plays) = (key.to_str().expect("a path"), keep_plays.to_str().expect("a path"));
    assert!(run(&["keygen", key]).status.success());
    let public = std::fs::read_to_string(format!("{key}.pub")).expect("the public key");
    // The operator's file knows no keys; the host's does.
    let operators = std::fs::read_to_string(job.pipeline()).expect("the pipeline file");
    let hosts = operators.clone() + &format!("[registry]\nkeys = [\"{}\"]\n", public.trim());
    std::fs::write(job.pipeline(), &hosts).expect("the pipeline file");

    std::fs::copy(module("keep-plays"), keep_plays).expect("the module");
    assert!(job.refused(&["push"], &[keep_plays]).contains("signed"), "by nobody");
    assert!(run(&["sign", key, keep_plays]).status.success());
    job.done(&["push"], &[keep_plays]);
    job.done(&["deploy"], &["keep-plays", "--set", "keep-plays.min_seconds=1", "--sample", "0"]);
    let stop = Arc::new(AtomicBool::new(false));
    let producing = produce_until(topic, Arc::clone(&stop));
    let host = job.host("a.log");
    job.wait("rows under deployment 1", |records| swapped(records, 1) == 4);

    // What nobody signed does not run here. The pause that comes with it holds even so.
    std::fs::write(job.pipeline(), &operators).expect("the pipeline file");
    let failing = job.path("failing.wasm");
    std::fs::write(&failing, guest::trapping()).expect("the module can be written");
    job.done(&["push"], &[failing.to_str().expect("a path"), "--name", "failing", "--version", "1.0.0"]);
    job.done(&["deploy"], &["failing", "--sample", "0"]);
    let problems = || {
        let hosts: Value = serde_json::from_str(&stdout(&job.wasmill(&["status"], &["--json"]))).expect("JSON");
        hosts[0]["problems"].to_string()
    };
    let begun = Instant::now();
    while !problems().contains("entry 2 of the log cannot run here") {
        assert!(begun.elapsed() < PATIENCE, "the status says nothing of it: {}", problems());
        std::thread::sleep(Duration::from_millis(500));
    }
    job.done(&["pause"], &[]);
    let before = job.is_still();
    job.done(&["resume"], &[]);
    job.wait("more after the pause", |records| messages(records) > before);

    stop.store(true, Ordering::Release);
    let produced = producing.join().expect("the producer ends") as u64;
    job.wait("everything", |records| messages(records) == produced);
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
    let mut sums = by_deployment(&job.records());
    // Fences have no messages.
    sums.retain(|_, (messages, ..)| *messages > 0);
    assert_eq!(sums.into_iter().collect::<Vec<_>>(), [(1, (produced, produced, 0))], "by what was signed");
}
