//! Files as topic partitions: names, identities, restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::ErrorKind;

fn nothing() -> Wake {
    Arc::new(|| {})
}

fn source(path: &Path) -> Result<FileSource> {
    FileSource::new(&FileConfig { path: path.to_str().unwrap().to_owned() })
}

fn assigned(source: &mut FileSource) -> Vec<TopicPartition> {
    match source.poll(Duration::ZERO).unwrap() {
        Some(SourceEvent::Assigned(all)) => all,
        other => panic!("{other:?}"),
    }
}

/// All messages with their offsets, and the end.
fn read_all(source: &mut FileSource, topic_partition: &TopicPartition, from: i64) -> (Vec<(i64, String)>, i64) {
    let mut reader = source.begin(&[(topic_partition.clone(), from)], &[nothing()]).unwrap().remove(0);
    let mut found = Vec::new();
    loop {
        match reader.read(2).unwrap() {
            Read::Batch(batch) => {
                assert!(!batch.messages.is_empty() && batch.messages.len() <= 2);
                for index in 0..batch.messages.len() {
                    let message = batch.messages.get(index);
                    assert!(message.offset < batch.next);
                    found.push((message.offset, String::from_utf8(message.payload.unwrap().to_vec()).unwrap()));
                }
            }
            Read::Finished { next } => return (found, next),
            Read::Empty => std::thread::yield_now(),
            Read::End { .. } | Read::Expired { .. } => panic!("a file ends for good"),
        }
    }
}

#[test]
fn a_file_goes_on_where_the_last_run_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plays 1.jsonl");
    std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}").unwrap();
    let mut first = source(&path).unwrap();
    let all = assigned(&mut first);
    assert_eq!(all.len(), 1);
    let topic_partition = &all[0];
    assert!(topic_partition.topic.starts_with("plays_1-") && topic_partition.topic.len() == 16, "{topic_partition}");
    let identity = first.identity(topic_partition).unwrap();
    let (found, end) = read_all(&mut first, topic_partition, 0);
    assert_eq!(found, [(0, "{\"a\":1}".into()), (8, "{\"a\":2}".into()), (16, "{\"a\":3}".into())]);
    assert_eq!(end, 23);

    std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n").unwrap();
    let mut second = source(&path).unwrap();
    assert_eq!(&assigned(&mut second)[0], topic_partition);
    assert_eq!(second.identity(topic_partition).unwrap(), identity, "a file may grow");
    assert_eq!(read_all(&mut second, topic_partition, end), (vec![(24, "{\"a\":4}".into())], 32));

    std::fs::write(&path, "{\"b\":1}\n").unwrap();
    let mut third = source(&path).unwrap();
    assert_ne!(third.identity(topic_partition).unwrap(), identity, "another file of the same name");
    let error = third.begin(&[(topic_partition.clone(), 32)], &[nothing()]).err().unwrap();
    assert!(error.to_string().contains("has 8 bytes, but was read up to byte 32"), "{error}");
}

#[test]
fn an_identity_holds_while_a_long_first_line_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let identity = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut source = source(&path).unwrap();
        let all = assigned(&mut source);
        source.identity(&all[0]).unwrap()
    };
    let short = identity("\n{\"a\":1}");
    assert_eq!(identity("\n{\"a\":1}\r\n{}"), short);
    let long = identity(&"x".repeat(HEAD));
    assert_eq!(identity(&"x".repeat(2 * HEAD)), long);
    assert_ne!(identity(&format!("y{}", "x".repeat(HEAD))), long);
}

#[test]
fn a_glob_is_many_topic_partitions_and_empty_files_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a/x.jsonl", "1\n"), ("b/x.jsonl", "2\n"), ("b/y.jsonl", ""), ("b/z.txt", "3\n")] {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut found = source(&directory.path().join("*/*.jsonl")).unwrap();
    let all = assigned(&mut found);
    assert_eq!(all.len(), 2);
    assert_ne!(all[0], all[1], "files of one name are told apart");
    assert!(found.poll(Duration::ZERO).unwrap().is_none());

    let error = |path: &str| {
        let error = source(&directory.path().join(path)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    assert!(error("nothing/*.jsonl").contains("no file matches"));
    assert!(error("b/y.jsonl").contains("has a line"));
    assert!(error("b").contains("is a directory"));
}

#[test]
fn standard_input_counts_on_and_is_read_once() {
    let mut source = FileSource::standard_input(io::Cursor::new(b"{}\n[]\n\nx".to_vec()));
    let all = assigned(&mut source);
    assert_eq!(all, [TopicPartition::new("stdin", 0)]);
    let (found, end) = read_all(&mut source, &all[0], 100);
    assert_eq!(found, [(100, "{}".into()), (103, "[]".into()), (107, "x".into())]);
    assert_eq!(end, 108);
    let error = source.begin(&[(all[0].clone(), 100)], &[nothing()]).err().unwrap();
    assert!(error.to_string().contains("cannot be read again"), "{error}");
}

#[test]
fn the_worker_is_woken_when_standard_input_has_more_and_when_it_ends() {
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
    struct Pipe(std::sync::mpsc::Receiver<Vec<u8>>);
    impl io::Read for Pipe {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            into[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }
    let mut source = FileSource::standard_input(Pipe(receiver));
    let all = assigned(&mut source);
    let (woken, wakes) = std::sync::mpsc::channel();
    let count = Arc::new(AtomicUsize::new(0));
    let wake: Wake = {
        let count = Arc::clone(&count);
        Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = woken.send(());
        })
    };
    let mut reader = source.begin(&[(all[0].clone(), 0)], &[wake]).unwrap().remove(0);
    assert!(matches!(reader.read(10).unwrap(), Read::Empty));
    sender.send(b"{}\n{".to_vec()).unwrap();
    wakes.recv().unwrap();
    assert!(matches!(reader.read(10).unwrap(), Read::Batch(batch) if batch.next == 3));
    assert!(matches!(reader.read(10).unwrap(), Read::Empty));
    drop(sender);
    wakes.recv().unwrap();
    assert!(matches!(reader.read(10).unwrap(), Read::Batch(batch) if batch.next == 4));
    assert!(matches!(reader.read(10).unwrap(), Read::Finished { next: 4 }));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_huge_line_does_not_hold_the_worker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.jsonl");
    let mut text = vec![b'x'; 2 * BYTES_PER_READ];
    text.extend_from_slice(b"\n{}\n");
    std::fs::write(&path, &text).unwrap();
    let mut source = source(&path).unwrap();
    let all = assigned(&mut source);
    let woken = Arc::new(AtomicUsize::new(0));
    let wake: Wake = {
        let woken = Arc::clone(&woken);
        Arc::new(move || {
            woken.fetch_add(1, Ordering::Relaxed);
        })
    };
    let mut reader = source.begin(&[(all[0].clone(), 0)], &[wake]).unwrap().remove(0);
    assert!(matches!(reader.read(10).unwrap(), Read::Empty));
    assert_eq!(woken.load(Ordering::Relaxed), 1, "there is more, so the worker must come again");
    let batch = loop {
        match reader.read(10).unwrap() {
            Read::Batch(batch) => break batch,
            Read::Empty => {}
            _ => panic!("the line is a message"),
        }
    };
    let payload = batch.messages.get(0).payload.unwrap();
    assert!(payload.len() < LONGEST_LINE + 100 && payload.ends_with(b"cut here: the line has 16777216 bytes"));
    assert_eq!(batch.messages.get(1).payload, Some(&b"{}"[..]));
}
