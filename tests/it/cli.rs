//! The command line as its users see it: help, wrong usage, wrong files, exit codes, pipes.

use std::process::Stdio;

use crate::binary::{self, run, stderr, stdout};
use crate::golden;

/// All commands with their subcommands, as the help names them.
fn commands(prefix: &[&str]) -> Vec<Vec<String>> {
    let mut arguments = prefix.to_vec();
    arguments.push("--help");
    let help = stdout(&run(&arguments));
    let Some((_, list)) = help.split_once("Commands:\n") else { return vec![] };
    let mut found = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // A wrapped description stands further to the right.
        let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else { continue };
        let name = name.split_whitespace().next().expect("a name");
        if name == "help" {
            continue;
        }
        let mut path = prefix.to_vec();
        path.push(name);
        found.push(path.iter().map(|word| (*word).to_owned()).collect());
        found.extend(commands(&path));
    }
    found
}

#[test]
fn every_command_has_a_help_with_an_example() {
    golden::check("help/wasmill.txt", &stdout(&run(&["--help"])));
    let commands = commands(&[]);
    assert!(commands.len() > 5, "{commands:?}");
    for words in commands {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = run(&arguments);
        assert!(output.status.success(), "{words:?}");
        let help = stdout(&output);
        let is_group = help.contains("\nCommands:\n");
        assert!(is_group || help.contains("\nExample"), "the help of {words:?} has no example");
        golden::check(&format!("help/{}.txt", words.join("-")), &help);
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for (arguments, told) in [
        (&["fly"][..], "unrecognized subcommand 'fly'"),
        (&["run"], "<PIPELINE>"),
        (&["run", "a.toml", "--until", "dawn"], "invalid value 'dawn'"),
        (&["completions", "dos"], "invalid value 'dos'"),
        (
            &["run", "no-such-file.toml"],
            "error: cannot read the pipeline file no-such-file.toml\n  caused by: No such file",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn every_wrong_file_is_told_in_full() {
    let directory = golden::path("bad");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .expect("the directory of wrong files")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let run = |verb: &str| {
            let mut command = binary::command();
            command.current_dir(&directory).args([verb, &name]).env("WASMILL_TEST_SECRET", "hunter2");
            command.output().expect("the binary can be started")
        };
        let output = run("run");
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{name}");
        let told = stderr(&output).replace(&*directory.to_string_lossy(), "<directory>");
        assert!(!told.contains("hunter2"), "{name} shows a secret: {told}");
        golden::check(&format!("bad/{}", name.replace(".toml", ".txt")), &told);

        let checked = run("check");
        assert_eq!(checked.status.code(), Some(2), "{name}: {}", stdout(&checked));
        let mistakes = told.lines().filter(|line| line.contains(&format!("{name}:")));
        let found = stdout(&checked).replace(&*directory.to_string_lossy(), "<directory>");
        mistakes.for_each(|line| assert!(found.contains(line.trim()), "check does not tell: {line}"));
    }
}

#[test]
fn completions_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = stdout(&output);
        for words in commands(&[]) {
            let name = words.last().expect("a name");
            assert!(script.contains(name.as_str()), "{shell} does not know {words:?}");
        }
    }
    let script = stdout(&run(&["completions", "bash"]));
    let mut bash = std::process::Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    std::io::Write::write_all(&mut bash.stdin.take().expect("a pipe"), script.as_bytes()).expect("bash reads");
    assert!(bash.wait().expect("bash ends").success(), "the script for bash has a mistake");
}

#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["eventsim", "--events", "100000"]] {
        let mut child = binary::command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let told = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {told}");
        assert!(!told.contains("panicked") && !told.contains("error"), "{arguments:?}: {told}");
    }
}
