//! What README.md says is so: its commands are run as written, its pipeline file is read, what it names is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use wasmill::config::{Config, Surroundings};

use crate::binary::{self, run, stderr, stdout};

fn text(path: &str) -> String {
    std::fs::read_to_string(binary::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The first block of `language` behind `title`.
fn block<'a>(text: &'a str, title: &str, language: &str) -> &'a str {
    let (_, rest) = text.split_once(title).unwrap_or_else(|| panic!("no {title:?}"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("the block's end").0
}

/// What is marked as code: the lines of fenced blocks, and what stands between backquotes.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line);
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

#[test]
fn five_commands_lead_from_nothing_to_a_tested_module() {
    let readme = text("README.md");
    let commands = block(&readme, "From nothing to a tested module", "sh");
    assert_eq!(commands.lines().count(), 5, "{commands}");

    let directory = tempfile::tempdir().expect("a directory");
    let binaries = binary::path().parent().expect("the binary's directory");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-euc", commands])
        .current_dir(directory.path())
        .env("PATH", path)
        // What cargo built for one author can be used for the next run of this test.
        .env("CARGO_TARGET_DIR", binaries.parent().expect("the target directory").join("author"))
        .output()
        .expect("bash can be started");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let told = stdout(&output);
    let last = told.lines().last().unwrap_or_default();
    assert!(last.contains(" kept, ") && !last.starts_with("0 kept") && !last.contains(" 0 filtered"), "{told}");
}

#[test]
fn the_pipeline_file_is_read() {
    let readme = text("README.md");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("keep_plays.wasm"), b"").expect("a file");
    let here = Surroundings::of_this_process().expect("a process");
    let surroundings =
        Surroundings { variable: Arc::new(|_| None), working_directory: directory.path().to_owned(), ..here };
    let pipeline = block(&readme, "## Describe a pipeline", "toml");
    let config = Config::parse(Path::new("pipeline.toml"), pipeline, &surroundings);
    assert_eq!(config.map_err(|mistakes| mistakes.to_string()).expect("no mistakes").transforms.len(), 1);
}

#[test]
fn every_command_that_the_documents_name_exists() {
    let mut documents =
        vec!["README.md".to_owned(), "guest-sdk/README.md".to_owned(), "host/ARCHITECTURE.md".to_owned()];
    for entry in std::fs::read_dir(binary::root().join("host/docs")).expect("the documents") {
        documents.push(format!("host/docs/{}", entry.expect("a file").file_name().to_string_lossy()));
    }
    let mut commands = BTreeSet::new();
    for document in documents.iter().filter(|path| path.ends_with(".md")) {
        let text = text(document);
        for part in code(&text) {
            let Some(rest) = part.trim().strip_prefix("wasmill ") else { continue };
            let is_word =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let words: Vec<&str> = rest.split([' ', '|']).take_while(is_word).collect();
            // A group is followed by one of its commands; what follows any other command is an argument.
            let count = if ["table", "dead-letters", "transform", "offsets"].contains(words.first().unwrap_or(&"")) {
                2
            } else {
                1
            };
            if !words.is_empty() {
                commands.insert((words.into_iter().take(count).collect::<Vec<_>>().join(" "), document.clone()));
            }
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    for (command, document) in &commands {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        assert!(run(&arguments).status.success(), "{document} names `wasmill {command}`, which does not exist");
    }
}

#[test]
fn every_make_target_and_file_that_it_names_exists() {
    let readme = text("README.md");
    let makefile = text("Makefile");
    for part in readme.split(['`', '\n']) {
        if let Some(target) = part.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) {
            assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no {target}");
        }
    }
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
        assert!(binary::root().join(link.0).exists(), "README.md links to {}", link.0);
    }
}
