//! An audit beside a living writer: never a false alarm, whatever moment it looks at.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmill::audit::Subject;
use wasmill::config::Config;

use super::{look, writer};
use crate::binary;

#[test]
fn a_writer_that_prunes_and_is_taken_over_gives_no_false_alarm() {
    let directory = tempfile::tempdir().expect("a directory");
    let subject = writer::subject(directory.path());
    let over = Arc::new(AtomicBool::new(false));
    let (written, told) = (subject.clone(), Arc::clone(&over));
    let writing = std::thread::spawn(move || {
        super::block_on(async {
            let chain = writer::chain(&written, 0);
            let until = Instant::now() + Duration::from_secs(6);
            let mut ranges = 0_u64;
            while Instant::now() < until {
                let mut taken = writer::take_over(&chain).await;
                // What a host that dies leaves open, for the next one to sweep.
                drop(writer::filled(&taken).close().expect("it ends").staged().await.expect("it is staged"));
                for _ in 0..7 {
                    writer::write(&mut taken).await;
                    ranges += 1;
                }
            }
            told.store(true, Ordering::Release);
            ranges
        })
    });
    let mut looks = 0;
    while !over.load(Ordering::Acquire) {
        let report = look(&subject);
        assert!(report.clean, "look {looks}: {:#?}", report.findings);
        looks += 1;
    }
    let ranges = writing.join().expect("the writer ends");
    let report = look(&subject);
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(report.total.files, ranges * 3);
    assert!(ranges > 50 && looks > 10, "{ranges} ranges, {looks} looks");
    assert!(report.topic_partitions[0].archived > 0, "nothing was archived");
}

#[test]
fn a_run_gives_no_false_alarm() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = directory.path().display();
    let path = directory.path().join("pipeline.toml");
    let text = format!(
        "[pipeline]\nname = \"live\"\n[source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 4\n\
         events = 400000\nseed = 3\nfaults = 0.05\n[schema]\nts = \"long!\"\nartist = \"string\"\nsong = \"string\"\n\
         [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
         partition_by = [\"year\", \"month\", \"day\"]\n[dead_letters]\nlocation = \"{base}/dead_letters\"\n\
         [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n[limits]\nworkers = 1\n"
    );
    fs::write(&path, text).expect("it can be written");
    let subject = Subject::open(&Config::load(&path).expect("a pipeline file")).expect("a local disk");
    // It is killed and started again a few times on its way, and then runs to its end.
    let mut looks = 0;
    for round in 0..4 {
        let mut command = binary::command();
        command.args(["run", &path.to_string_lossy()]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut host = command.spawn().expect("the host can be started");
        let kill_at = Instant::now() + Duration::from_millis(1_300 + 400 * round);
        loop {
            if let Some(status) = host.try_wait().expect("the host can be asked") {
                assert!(status.success());
                break;
            }
            if round < 3 && Instant::now() > kill_at {
                host.kill().expect("it can be killed");
                host.wait().expect("it ends");
                break;
            }
            let report = look(&subject);
            assert!(report.clean, "round {round}, look {looks}: {:#?}", report.findings);
            looks += 1;
        }
        let report = look(&subject);
        assert!(report.clean, "after round {round}: {:#?}", report.findings);
    }
    let report = look(&subject);
    assert_eq!(report.total.rows.messages, 400_000);
    assert!(report.clean && report.notes.is_empty() && looks > 10, "{looks} looks, {:#?}", report.notes);
}
