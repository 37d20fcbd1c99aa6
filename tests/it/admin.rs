//! The admin API as those who ask see it: independent clients, with the tokens that `wasmill token` made.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{self, root, run, stderr, stdout};
use crate::deployments::{Job, end, module, produce_until, swapped};
use crate::kafka::broker;
use crate::servers;

const PATIENCE: Duration = Duration::from_secs(60);

/// A setting that is a secret.
const PLANTED: &str = "31.4159265";

pub(crate) fn token(tokens: &Path, name: &str, role: &str, pipeline: &str) -> String {
    let into = tokens.to_str().expect("a path");
    let output = run(&["token", name, "--role", role, "--pipeline", pipeline, "--into", into]);
    assert!(output.status.success(), "{}", stderr(&output));
    let secret = stdout(&output).trim().to_owned();
    let text = std::fs::read_to_string(tokens).expect("the file of tokens");
    assert!(text.contains(name) && !text.contains(&secret), "only the hash stands there");
    secret
}

/// The address that a host's log names.
pub(crate) fn address(log: &Path) -> String {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once("the admin API listens on ") {
            return rest.split_whitespace().next().unwrap_or_default().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "the API does not listen:\n{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs Python in `directory`, which may keep what it leaves.
fn python(directory: &Path, arguments: &[&str]) {
    let output = Command::new(servers::python()).args(arguments).current_dir(directory).output();
    let output = output.expect("Python can be started");
    assert!(output.status.success(), "{arguments:?}:\n{}\n{}", stdout(&output), stderr(&output));
}

#[test]
fn every_role_may_do_what_it_says_and_the_document_tells_the_truth() {
    let topic = broker::topic("admin", 4, &[]);
    let brokers = servers::kafka();
    let job = Job::new(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntokens = \"tokens.toml\"\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""
    ));
    let tokens = job.path("tokens.toml");
    let of = |role: &str| token(&tokens, role, role, "plays");
    let secrets = json!({
        "viewer": of("viewer"), "payloads": of("payloads"), "deployer": of("deployer"), "admin": of("admin"),
    });
    let other = token(&tokens, "stranger", "admin", "another-pipeline");
    job.push("keep-plays");
    // Named where it stands; the value itself may stand nowhere.
    let planted = job.path("planted");
    std::fs::write(&planted, PLANTED).expect("the secret can be written");
    let set = format!("keep-plays.min_seconds=file:{}", planted.display());
    job.done(&["deploy"], &["keep-plays", "--sample", "0", "--set", &set]);
    let stop = Arc::new(AtomicBool::new(false));
    let producing = produce_until(topic, Arc::clone(&stop));
    let host = job.host("a.log");
    let url = address(&job.path("a.log"));
    job.wait("rows of all topic partitions", |records| swapped(records, 1) == 4);

    let ask = |arguments: &[&str], token: &str| {
        let mut command = binary::command();
        command.args(arguments).env("WASMILL_URL", &url).env("WASMILL_TOKEN", token);
        command.output().expect("the binary can be started")
    };
    let token = |role: &str| secrets[role].as_str().expect("a token");
    over_http(&job, |arguments, role| ask(arguments, token(role)));

    let facts = job.path("facts.json");
    let told = json!({ "tokens": secrets, "other": other, "topic_partitions": 4, "planted": PLANTED, "module": module("keep-plays") });
    std::fs::write(&facts, told.to_string()).expect("the facts can be written");
    let bearer = format!("Authorization: Bearer {}", secrets["admin"].as_str().expect("a token"));
    let schema = format!("{url}/openapi.json");
    // Streams of events never end, and a range is rebuilt wherever the request says: neither is among it.
    let most =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth";
    let directory = &job.path(".");
    python(
        directory,
        &[
            "-m",
            "schemathesis.cli",
            "run",
            &schema,
            "-H",
            &bearer,
            "--exclude-path-regex",
            "(events|reprocesses)$",
            "--checks",
            most,
            "--max-examples",
            "30",
            "--phases",
            "coverage,fuzzing",
            "--warnings",
            "off",
        ],
    );
    for verb in [&["status", "--json"][..], &["deployments", "--json"], &["logs", "--transform", "keep-plays"]] {
        let output = ask(verb, token("payloads"));
        assert!(output.status.success(), "{verb:?}: {}", stderr(&output));
    }
    let said = ask(&["pause", "--note", "from afar"], token("deployer"));
    assert!(stdout(&said).contains("paused"), "{}", stderr(&said));
    for verb in [&["resume"][..], &["rollback", "--to", "1", "--json"]] {
        let output = ask(verb, token("admin"));
        assert!(output.status.success(), "{verb:?}: {}", stderr(&output));
    }
    let refused = ask(&["resume"], token("viewer"));
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("needs the role deployer"), "{}", stderr(&refused));
    let unknown = ask(&["status"], "wasmill_wrong");
    assert!(
        stderr(&unknown).contains("no token") && stderr(&unknown).contains("WASMILL_TOKEN"),
        "{}",
        stderr(&unknown)
    );

    // At its end the address of this machine has failed too often.
    let check = root().join("tests/python/check_admin.py");
    python(directory, &[check.to_str().expect("a path"), &url, facts.to_str().expect("a path")]);

    job.done(&["resume"], &[]);
    stop.store(true, Ordering::Release);
    producing.join().expect("the producer ends");
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end, whoever listens");
    std::fs::remove_file(&facts).expect("the facts can be removed");
    let everything = job.everything_but(&planted);
    assert!(everything.contains("\"file\""), "the deployments are among it");
    let tokens = secrets.as_object().expect("an object").values().filter_map(Value::as_str);
    for secret in tokens.chain([PLANTED]) {
        assert!(!everything.contains(secret), "a secret stands in a file");
    }
}

/// What transforms and deployments need, asked of a host.
fn over_http(job: &Job, ask: impl Fn(&[&str], &str) -> std::process::Output) {
    let path = module("keep-plays");
    let path = path.to_str().expect("a path");
    let push = ["push", path, "--version", "9.0.0", "--json"];
    let refused = ask(&push, "payloads");
    assert!(stderr(&refused).contains("needs the role deployer"), "{}", stderr(&refused));
    for is_new in [true, false] {
        let pushed = ask(&push, "deployer");
        let told: Value = serde_json::from_str(&stdout(&pushed)).unwrap_or_else(|_| panic!("{}", stderr(&pushed)));
        assert_eq!((&told["new"], &told["release"]["pushed_by"]), (&is_new.into(), &"token deployer".into()), "{told}");
    }
    let wrong = job.path("wrong.wasm");
    std::fs::write(&wrong, b"hello").expect("a file");
    let refused = ask(&["push", wrong.to_str().expect("a path")], "deployer");
    assert!(stderr(&refused).contains("not a WebAssembly module"), "{}", stderr(&refused));
    std::fs::write(&wrong, vec![0; (64 << 20) + 1]).expect("a file");
    let refused = ask(&["push", wrong.to_str().expect("a path")], "deployer");
    assert!(!refused.status.success() && stderr(&refused).contains("at most 67108864 bytes"), "{}", stderr(&refused));

    let tried = ask(&["deploy", "keep-plays@9.0.0", "--sample", "0", "--dry-run", "--json"], "deployer");
    let told: Value = serde_json::from_str(&stdout(&tried)).unwrap_or_else(|_| panic!("{}", stderr(&tried)));
    assert_eq!(
        (&told["accepted"], &told["proposal"]["deployment"]["transforms"][0]["version"]),
        (&Value::Null, &"9.0.0".into())
    );
    let listed = ask(&["transforms", "show", "keep-plays@9.0.0", "--json"], "viewer");
    assert!(stdout(&listed).contains("token deployer"), "{}", stderr(&listed));
    let pulled = job.path("pulled.wasm");
    let output = ["transforms", "pull", "keep-plays@9.0.0", "-o", pulled.to_str().expect("a path")];
    assert!(stdout(&ask(&output, "viewer")).contains("keep-plays-9.0.0"));
    assert_eq!(std::fs::read(&pulled).expect("a module"), std::fs::read(path).expect("a module"));
    let withdrawn = ask(&["transforms", "remove", "keep-plays@9.0.0", "--note", "a test"], "deployer");
    assert!(stdout(&withdrawn).contains("can be deployed no more"), "{}", stderr(&withdrawn));
    let list = ask(&["transforms", "list"], "viewer");
    assert!(stdout(&list).contains("withdrawn") && stdout(&list).contains("a test"), "{}", stderr(&list));
    let unknown = ask(&["transforms", "show", "no-such"], "viewer");
    assert!(stderr(&unknown).contains("never pushed"), "{}", stderr(&unknown));
    let diff = ask(&["diff", "1", "1"], "viewer");
    assert!(stdout(&diff).contains("from deployment 1 to 1"), "{}", stderr(&diff));
    let replay = ask(&["replay", "--dead-letters", "--json"], "deployer");
    let told: Value = serde_json::from_str(&stdout(&replay)).unwrap_or_else(|_| panic!("{}", stderr(&replay)));
    assert_eq!((&told["done"], &told["total"]["replayed"]), (&false.into(), &0.into()), "{told}");
    let into = job.path("rebuilt");
    let rebuild = ["reprocess", "--from", "earliest", "--into", into.to_str().expect("a path"), "--json"];
    assert!(stderr(&ask(&rebuild, "deployer")).contains("needs the role admin"));
    let told = ask(&rebuild, "admin");
    let plan: Value = serde_json::from_str(&stdout(&told)).unwrap_or_else(|_| panic!("{}", stderr(&told)));
    assert_eq!(plan["plan"]["ranges"].as_array().map(Vec::len), Some(4), "{plan}");
    let begun = Instant::now();
    while !into.join("_reprocess/checkpoints").exists() {
        assert!(begun.elapsed() < PATIENCE, "the host does not rebuild it");
        std::thread::sleep(Duration::from_millis(100));
    }
    let replay = ask(&["replay", "--dead-letters", "--why", "a test", "--yes"], "viewer");
    assert!(stderr(&replay).contains("needs the role deployer"), "{}", stderr(&replay));
}

#[test]
fn an_api_that_others_reach_needs_tokens() {
    let job = Job::new("[admin]\nlisten = \"0.0.0.0:8780\"\n[source.file]\npath = \"none.jsonl\"");
    let told = job.refused(&["run"], &[]);
    assert!(told.contains("0.0.0.0:8780") && told.contains("needs tokens"), "{told}");
}

/// What a certificate for `name` is to say.
fn wanted(name: &str) -> rcgen::CertificateParams {
    let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
    let mut wanted = rcgen::CertificateParams::new(names).expect("names");
    wanted.distinguished_name.push(rcgen::DnType::CommonName, name);
    wanted
}

/// Who signs certificates, and its key.
fn authority(name: &str) -> (rcgen::CertificateParams, rcgen::KeyPair) {
    let mut ca = wanted(name);
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (ca, rcgen::KeyPair::generate().expect("a key"))
}

/// A certificate for `name` and its key, in PEM format.
fn certificate(name: &str, by: &rcgen::Issuer<'_, rcgen::KeyPair>) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = wanted(name).signed_by(&key, by).expect("a certificate");
    (made.pem(), key.serialize_pem())
}

#[test]
fn the_api_speaks_tls_and_asks_for_certificates() {
    let topic = broker::topic("admin-tls", 1, &[]);
    let brokers = servers::kafka();
    let job = Job::new(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntokens = \"tokens.toml\"\n\
         [admin.tls]\ncertificate = \"host.pem\"\nkey = \"host.key\"\nclient_ca = \"ca.pem\"\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""
    ));
    let write = |name: &str, text: &str| std::fs::write(job.path(name), text).expect("a file");
    let (ca, key) = authority("tests");
    write("ca.pem", &ca.self_signed(&key).expect("a certificate").pem());
    let issuer = rcgen::Issuer::new(ca, key);
    let (host_pem, host_key) = certificate("localhost", &issuer);
    write("host.pem", &host_pem);
    write("host.key", &host_key);
    let (mine, my_key) = certificate("ann", &issuer);
    write("ann.pem", &(mine + &my_key));
    let secret = token(&job.path("tokens.toml"), "ann", "viewer", "plays");
    job.push("keep-plays");
    job.done(&["deploy"], &["keep-plays", "--sample", "0"]);
    let host = job.host("a.log");
    let url = address(&job.path("a.log"));
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");

    let ask = |url: &str, more: &[(&str, &str)]| {
        let mut command = binary::command();
        command.args(["deployments", "--json", "--url", url]).env("WASMILL_TOKEN", &secret);
        for (name, file) in more {
            command.env(name, job.path(file));
        }
        command.output().expect("the binary can be started")
    };
    let both = [("WASMILL_CA", "ca.pem"), ("WASMILL_IDENTITY", "ann.pem")];
    let answered = ask(&url, &both);
    assert!(answered.status.success(), "{}", stderr(&answered));
    assert!(stdout(&answered).contains("keep-plays"), "{}", stdout(&answered));
    for (url, more) in [(url.clone(), &both[..1]), (url.clone(), &both[1..]), (url.replace("https", "http"), &both[..])]
    {
        let refused = ask(&url, more);
        assert_eq!(refused.status.code(), Some(1), "{more:?}: {}", stdout(&refused));
        assert!(stderr(&refused).contains("does not answer"), "{}", stderr(&refused));
    }

    // A renewed certificate is taken into use as soon as its key is there, too.
    let (ca, key) = authority("renewed");
    write("renewed-ca.pem", &ca.self_signed(&key).expect("a certificate").pem());
    let (host_pem, host_key) = certificate("localhost", &rcgen::Issuer::new(ca, key));
    write("host.pem", &host_pem);
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(ask(&url, &both).status.success(), "one without the other changes nothing");
    write("host.key", &host_key);
    let renewed = [("WASMILL_CA", "renewed-ca.pem"), ("WASMILL_IDENTITY", "ann.pem")];
    let begun = Instant::now();
    while !ask(&url, &renewed).status.success() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", stderr(&ask(&url, &renewed)));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(ask(&url, &both).status.code(), Some(1), "the old one is not shown any more");
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
}
