//! A job downstream: it puts files of the table together, or removes old ones. It touches a file only if a higher record
//! than the one that names it exists, or that record's mark: the one rule that such jobs must keep.

use wasmill::checkpoint::{Record, mark_name, newest, record_name};

use super::books::Books;
use super::contents::Contents;
use super::disk::Disk;
use super::executor::Simulator;
use super::reader::TABLE;

/// What tells the job that a record's files are all published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The mark.
    Mark,
    /// Without marks there is only what the job sees: all files are there.
    Visible,
}

/// One look at one topic partition, and what follows from it.
pub(super) fn work(disk: &Disk, books: &Books, simulator: &Simulator, topic_partitions: u64, sign: Sign) {
    let partition = simulator.draw(topic_partitions);
    let mut contents = disk.contents.lock().unwrap();
    let Some(newest) = newest_record(&contents, partition) else { return };
    let prefix = format!("{TABLE}/day=");
    let mine = format!("/part-events-{partition}-");
    let start_of = |path: &str| path.rsplit_once(&mine)?.1.split('-').next()?.parse::<i64>().ok();
    let files = contents.files.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
    let files: Vec<(String, i64)> = files.filter_map(|(path, _)| Some((path.clone(), start_of(path)?))).collect();
    let may_touch_newest = match sign {
        Sign::Mark => contents.files.contains_key(&chain_path(partition, &mark_name(newest.sequence, newest.id))),
        Sign::Visible => {
            let all = newest.files.iter().chain(&newest.dead_letter_files);
            !newest.is_fence() && all.clone().all(|file| contents.files.contains_key(&file.target))
        }
    };
    // Files of the newest record first: those are what is dangerous.
    let of_newest: Vec<&String> =
        files.iter().map(|(path, _)| path).filter(|path| newest.files.iter().any(|f| f.target == **path)).collect();
    let older: Vec<&String> = files.iter().filter(|(_, start)| *start < newest.start).map(|(path, _)| path).collect();
    let touched = if may_touch_newest && !of_newest.is_empty() { of_newest } else { older };
    let Some(path) = touched.get(simulator.draw(touched.len() as u64) as usize).map(|path| (*path).clone()) else {
        return;
    };
    let Some(file) = contents.files.remove(&path) else { return };
    if simulator.once_in(2) {
        let compacted = path.replace("/part-", "/compacted-");
        books.took([compacted.clone()]);
        contents.files.insert(compacted, file);
    }
    books.took([path.clone()]);
    drop(contents);
    disk.note(|| format!("the job downstream takes {path}"));
}

fn chain_path(partition: u64, name: &str) -> String {
    format!("/checkpoints/events/{partition}/{name}")
}

fn newest_record(contents: &Contents, partition: u64) -> Option<Record> {
    let directory = chain_path(partition, "");
    let names = contents.files.range(directory.clone()..).map_while(|(path, _)| path.strip_prefix(&directory));
    let sequence = newest(names)?;
    serde_json::from_slice(&contents.files.get(&chain_path(partition, &record_name(sequence)))?.bytes).ok()
}
