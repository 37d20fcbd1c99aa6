//! Servers as operators see them: many pipelines on one storage, none of which disturbs another.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{self, stderr, stdout};
use crate::deployments::{end, messages, produce_until, records, swapped};
use crate::kafka::broker;
use crate::servers;
use crate::simulation::guest;

const PATIENCE: Duration = Duration::from_secs(90);

/// A storage with servers, on a local disk.
struct Farm {
    directory: tempfile::TempDir,
}

impl Farm {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The file of a pipeline that reads `topic`.
    fn file(&self, name: &str, topic: &str, transforms: &str) -> String {
        let base = self.directory.path().display();
        format!(
            "[pipeline]\nname = \"{name}\"\n{transforms}\n\
             [source.kafka]\nbrokers = {{ env = \"WASMILL_BROKERS\" }}\ntopics = [\"{topic}\"]\ngroup = \"{topic}-{name}\"\n\
             [source.kafka.options]\n\"session.timeout.ms\" = \"6000\"\n\
             [schema]\nn = \"long!\"\nauth = \"string\"\n\
             [table]\nlocation = \"{base}/{name}/table\"\nevent_time = {{ column = \"n\", unit = \"ms\" }}\n\
             partition_by = [\"day\"]\n\
             [dead_letters]\nlocation = \"{base}/{name}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/{name}/checkpoints\"\ninterval = \"1s\"\n"
        )
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = binary::command();
        command.args(words).env("WASMILL_STORAGE", self.path("storage")).env("WASMILL_BROKERS", servers::kafka());
        // Where servers keep what their processes read.
        command.env("TMPDIR", self.path("tmp"));
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the binary can be started")
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn apply(&self, name: &str, text: &str) -> String {
        let path = self.path(&format!("{name}.toml"));
        std::fs::write(&path, text).expect("the file can be written");
        self.done(&["pipeline", "apply", path.to_str().expect("a path")])
    }

    fn server(&self, log: &str) -> Child {
        let log = std::fs::File::create(self.path(log)).expect("a log file");
        let mut command = self.command(&["serve", "--no-connect"]);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("the server can be started")
    }

    fn list(&self) -> Value {
        serde_json::from_str(&self.done(&["pipeline", "list", "--json"])).expect("JSON")
    }

    fn records(&self, name: &str) -> Vec<Value> {
        records(&self.path(name).join("checkpoints"))
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let logs = || ["a.log", "b.log"].map(|log| std::fs::read_to_string(self.path(log)).unwrap_or_default());
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}\n{}", self.list(), logs().join("\n---\n"));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// On how many servers the pipeline does this.
    fn count(&self, name: &str, holds: impl Fn(&Value) -> bool) -> usize {
        let list = self.list();
        let servers = list["servers"].as_array().expect("a list");
        servers.iter().filter(|server| holds(&server["pipelines"][name])).count()
    }
}

/// Processes that read a file below this directory.
fn processes(below: &Path) -> usize {
    let below = below.to_str().expect("a path");
    let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
    let reads = |path: PathBuf| std::fs::read(path).is_ok_and(|words| String::from_utf8_lossy(&words).contains(below));
    entries.filter(|entry| reads(entry.path().join("cmdline"))).count()
}

#[test]
fn servers_run_what_is_applied_and_no_pipeline_disturbs_another() {
    let farm = Farm { directory: tempfile::tempdir().expect("a directory") };
    std::fs::create_dir(farm.path("tmp")).expect("a directory");
    assert!(farm.done(&["pipeline", "list"]).contains("no pipelines"));
    let [plays, clicks, hostile] = ["plays", "clicks", "hostile"].map(|name| broker::topic(name, 4, &[]));
    let stop = Arc::new(AtomicBool::new(false));
    let producing = [&plays, &clicks, &hostile].map(|topic| produce_until(topic.clone(), Arc::clone(&stop)));

    // Two that are well, one whose guest traps on every row, one that cannot run at all.
    let file = farm.file("plays", &plays, "");
    assert!(farm.apply("plays", &file).contains("applied as entry 1"));
    assert!(farm.apply("plays", &file).contains("applied already, as entry 1"));
    farm.apply("clicks", &farm.file("clicks", &clicks, ""));
    farm.apply("broken", &farm.file("broken", "no-such-topic", ""));
    farm.apply("hostile", &farm.file("hostile", &hostile, "transforms = \"deployed\"\n[breaker]\nthen = \"go-on\""));
    let (pipeline, module) = (farm.path("hostile.toml"), farm.path("trapping.wasm"));
    let (pipeline, module) = (pipeline.to_str().expect("a path"), module.to_str().expect("a path"));
    std::fs::write(module, guest::trapping()).expect("the module can be written");
    farm.done(&["push", pipeline, module, "--name", "trapping", "--version", "1.0.0"]);
    farm.done(&["deploy", pipeline, "trapping", "--sample", "0"]);

    let mut first = farm.server("a.log");
    let second = farm.server("b.log");
    for name in ["plays", "clicks", "hostile"] {
        farm.wait(name, || swapped(&farm.records(name), if name == "hostile" { 1 } else { 0 }) == 4);
    }
    farm.wait("both servers try again", || farm.count("broken", |on| on["restarts"].as_u64() >= Some(1)) == 2);
    let listed = farm.done(&["pipeline", "list"]);
    assert!(listed.contains("no-such-topic") && listed.contains("2 server(s)"), "{listed}");
    assert_eq!(farm.count("plays", |on| on["state"] == "running" && on["restarts"] == 0), 2, "{listed}");

    // Changed while it runs, and deleted.
    farm.apply("plays", &file.replace("\"1s\"", "\"2s\""));
    farm.wait("entry 2 everywhere", || farm.count("plays", |on| on["number"] == 2 && on["state"] == "running") == 2);
    // Stopped, and started anew.
    assert!(farm.done(&["pipeline", "stop", "clicks", "--note", "a while"]).contains("is stopped"));
    farm.wait("clicks runs nowhere", || farm.count("clicks", |on| !on.is_null()) == 0);
    assert!(farm.done(&["pipeline", "restart", "clicks"]).contains("starts anew when it is resumed"));
    assert!(farm.done(&["pipeline", "resume", "clicks"]).contains("servers start it"));
    farm.wait("clicks runs again", || farm.count("clicks", |on| on["state"] == "running") == 2);
    farm.done(&["pipeline", "restart", "clicks"]);
    farm.wait("clicks runs anew", || farm.count("clicks", |on| on["state"] == "running" && on["number"] == 5) == 2);
    farm.done(&["pipeline", "delete", "broken", "--note", "there is no such topic"]);
    farm.wait("broken is gone", || farm.count("broken", |on| !on.is_null()) == 0);
    let refused = farm.output(&["pipeline", "show", "broken"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
    assert!(stderr(&refused).contains("there is clicks, hostile, plays"), "{}", stderr(&refused));

    // Killed: its processes end with it, and the other server reads on alone.
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    farm.wait("one server's processes", || processes(&farm.path("tmp")) == 3);
    stop.store(true, Ordering::Release);
    let produced = producing.map(|producing| producing.join().expect("the producer ends") as u64);
    for (name, produced) in ["plays", "clicks", "hostile"].into_iter().zip(produced) {
        farm.wait("everything", || messages(&farm.records(name)) == produced);
    }
    assert_eq!(end(second), Some(0), "SIGTERM is a clean end");
    assert_eq!(processes(&farm.path("tmp")), 0, "nothing is left running");
    for (name, produced) in ["plays", "clicks", "hostile"].into_iter().zip(produced) {
        let shown = farm.path(&format!("{name}-shown.toml"));
        std::fs::write(&shown, farm.done(&["pipeline", "show", name])).expect("the file can be written");
        let verified = farm.done(&["verify", shown.to_str().expect("a path"), "--json"]);
        let verified: Value = serde_json::from_str(&verified).expect("JSON");
        let rows = &verified["total"]["rows"];
        let ends_as = if name == "hostile" { "dead_lettered" } else { "written" };
        assert_eq!((&rows["messages"], &rows[ends_as]), (&produced.into(), &produced.into()), "{verified}");
    }
}

#[test]
fn only_what_any_server_can_run_is_applied() {
    let farm = Farm { directory: tempfile::tempdir().expect("a directory") };
    std::fs::create_dir(farm.path("tmp")).expect("a directory");
    let text = farm.file("plays", "plays", "").replace("\"6000\"", "\"6000\"\n\"sasl.password\" = \"hunter2\"");
    let path = farm.path("plays.toml");
    std::fs::write(&path, text).expect("the file can be written");
    let refused = farm.output(&["pipeline", "apply", path.to_str().expect("a path")]);
    assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
    let told = stderr(&refused);
    assert!(told.contains("the secret sasl.password would lie in the storage") && !told.contains("hunter2"), "{told}");
    assert!(!farm.path("storage").exists(), "nothing was stored");
}
