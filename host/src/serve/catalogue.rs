//! The pipelines of a storage: `<storage>/pipelines/<name>/<number, 20 digits>.json`.
//!
//! Numbered and create-only, like the log of deployments: of two operators who apply at once, one wins and the other is told
//! what won. The newest entry of a name says whether it runs, and as what.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Id;
use crate::error::{Error, Result};
use crate::registry::{check_name, parse, time, to_json};
use crate::runtime::Runtime;
use crate::storage::{Location, StorageError, create_once};

/// The newest format of an entry that this program reads, and the one that it writes.
const FORMAT: u64 = 1;

/// Restarts of single servers that are remembered; of older ones every server has heard.
const RESTARTS: usize = 64;

/// What was done to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is as its file says; whether it runs, stays.
    Apply,
    /// It runs nowhere. What it wrote stays, and its checkpoints: applied again, it goes on where it was.
    Delete,
    /// It runs nowhere for a while.
    Pause,
    /// It runs nowhere until somebody resumes it.
    Stop,
    /// It runs again.
    Resume,
    /// It is started anew, everywhere or on some servers.
    Restart,
}

/// Whether a pipeline is to run. Servers do the same for `Paused` and `Stopped`: its processes end with a checkpoint. They are
/// two since clients of Kafka Connect's API tell them apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// On every server.
    #[default]
    Running,
    /// Nowhere, for a while.
    Paused,
    /// Nowhere, until it is resumed.
    Stopped,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The format of this file.
    pub format: u64,
    /// The pipeline.
    pub name: String,
    /// Its number among the entries of the pipeline, from 1.
    pub number: u64,
    /// Its own random id, which tells our entry from one that says the same.
    pub id: Id,
    /// What was done.
    pub action: Action,
    /// Whether it is to run.
    #[serde(default)]
    pub target: Target,
    /// The pipeline file, as it was written: what refers to the environment is resolved on each server.
    pub file: String,
    /// What the file was made of, where it came as a connector's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<BTreeMap<String, String>>,
    /// The last entry that asked all servers to start it anew; 0: none.
    #[serde(default)]
    pub restarted: u64,
    /// The last entry that asked a single server to do so, by the server's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarted_on: BTreeMap<String, u64>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// `user@machine`.
    pub by: String,
    /// Why.
    pub note: String,
}

impl Entry {
    /// Whether there is no such pipeline any more.
    pub fn is_deleted(&self) -> bool {
        self.action == Action::Delete
    }

    /// Whether servers are to run it.
    pub fn runs(&self) -> bool {
        !self.is_deleted() && self.target == Target::Running
    }

    /// The last entry that asked this server to start it anew; 0: none.
    pub(super) fn restarted(&self, host: &str) -> u64 {
        self.restarted_on.get(host).copied().unwrap_or(0).max(self.restarted)
    }
}

/// What is to be appended; the catalogue gives it its number.
#[derive(Clone)]
struct Draft {
    action: Action,
    target: Target,
    file: String,
    connector: Option<BTreeMap<String, String>>,
    restarted: u64,
    restarted_on: BTreeMap<String, u64>,
}

impl Draft {
    /// What `entry` says, with `action` done to it.
    fn after(entry: &Entry, action: Action) -> Self {
        let Entry { target, file, connector, restarted, restarted_on, .. } = entry.clone();
        Self { action, target, file, connector, restarted, restarted_on }
    }
}

/// A file that is to be applied.
pub struct Wanted<'a> {
    /// The pipeline's name.
    pub name: &'a str,
    /// Its checked file.
    pub file: &'a str,
    /// What the file was made of, where it came as a connector's configuration.
    pub connector: Option<BTreeMap<String, String>>,
    /// Whether it is to run; `None`: as it was, and a new one does.
    pub target: Option<Target>,
}

/// What became of a file that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It runs from here on.
    New(Entry),
    /// It runs already.
    Unchanged(Entry),
}

/// The pipelines of one storage.
#[derive(Clone)]
pub struct Catalogue {
    location: Location,
    runtime: Arc<dyn Runtime>,
}

impl Catalogue {
    /// The catalogue in the storage at `location`, which need not exist yet.
    pub fn new(location: Location, runtime: Arc<dyn Runtime>) -> Self {
        Self { location, runtime }
    }

    /// The storage.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The newest entry of every pipeline, by name; those that were deleted among them.
    ///
    /// # Errors
    /// The storage does not answer, or an entry cannot be read.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        let entries = self.location.storage.list(&self.location.join("pipelines")).await;
        let entries = entries.map_err(|error| self.unanswered(error))?;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_directory && check_name(&entry.name).is_ok()) {
            found.extend(self.newest(&entry.name).await?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The newest entry of a pipeline.
    ///
    /// # Errors
    /// As [`Catalogue::list`].
    pub async fn newest(&self, name: &str) -> Result<Option<Entry>> {
        let entries = self.location.storage.list(&self.directory(name)).await;
        let entries = entries.map_err(|error| self.unanswered(error))?;
        let number = |name: &str| name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse::<u64>().ok();
        let Some(number) = entries.iter().filter_map(|entry| number(&entry.name)).max() else { return Ok(None) };
        let path = self.path(name, number);
        let bytes = self.location.storage.read(&path).await.map_err(|error| self.unanswered(error))?;
        let entry: Entry = parse(&path, &bytes)?;
        if entry.format > FORMAT {
            let message = format!("entry {number} of pipeline {name} was written by a newer wasmill");
            return Err(Error::fatal(message).hint("use that version of wasmill"));
        }
        if (entry.name.as_str(), entry.number) != (name, number) {
            let message = format!("{path} says that it is entry {} of pipeline {}", entry.number, entry.name);
            return Err(Error::fatal(message).hint("it was copied or renamed by hand; nothing here is ever edited"));
        }
        Ok(Some(entry))
    }

    /// Lets a checked file run under its name. `by`: who wants that; `note`: why.
    ///
    /// # Errors
    /// Others were faster; and as [`Catalogue::list`].
    pub async fn apply(&self, wanted: Wanted<'_>, by: &str, note: &str) -> Result<Applied> {
        let Wanted { name, file, connector, target } = wanted;
        check_name(name)?;
        let present = self.newest(name).await?;
        let living = present.as_ref().filter(|present| !present.is_deleted());
        let is_same = |present: &&Entry| {
            present.file == file
                && present.connector == connector
                && target.is_none_or(|target| target == present.target)
        };
        if let Some(present) = living.filter(is_same) {
            return Ok(Applied::Unchanged(present.clone()));
        }
        let target = target.or(living.map(|present| present.target)).unwrap_or_default();
        let (restarted, restarted_on) =
            present.as_ref().map(|present| (present.restarted, present.restarted_on.clone())).unwrap_or_default();
        let file = file.to_owned();
        let draft = Draft { action: Action::Apply, target, file, connector, restarted, restarted_on };
        self.append(name, present.as_ref(), draft, (by, note)).await.map(Applied::New)
    }

    /// Lets a pipeline run nowhere.
    ///
    /// # Errors
    /// There is none of that name, or others were faster; and as [`Catalogue::list`].
    pub async fn delete(&self, name: &str, by: &str, note: &str) -> Result<Entry> {
        let present = self.present(name).await?;
        self.append(name, Some(&present), Draft::after(&present, Action::Delete), (by, note)).await
    }

    /// Lets a pipeline run or not; the newest entry then says so. Nothing is appended when it says so already.
    ///
    /// # Errors
    /// As [`Catalogue::delete`].
    pub async fn switch(&self, name: &str, target: Target, by: &str, note: &str) -> Result<Entry> {
        let present = self.present(name).await?;
        if present.target == target {
            return Ok(present);
        }
        let action = match target {
            Target::Running => Action::Resume,
            Target::Paused => Action::Pause,
            Target::Stopped => Action::Stop,
        };
        let draft = Draft { target, ..Draft::after(&present, action) };
        self.append(name, Some(&present), draft, (by, note)).await
    }

    /// Starts a pipeline anew on these servers, by their ids, or on all where there are none. Each process finishes its
    /// checkpoint first.
    ///
    /// # Errors
    /// As [`Catalogue::delete`].
    pub async fn restart(&self, name: &str, hosts: &[String], by: &str, note: &str) -> Result<Entry> {
        let present = self.present(name).await?;
        let number = present.number + 1;
        let mut draft = Draft::after(&present, Action::Restart);
        if hosts.is_empty() {
            (draft.restarted, draft.restarted_on) = (number, BTreeMap::new());
        }
        draft.restarted_on.extend(hosts.iter().map(|host| (host.clone(), number)));
        while draft.restarted_on.len() > RESTARTS
            && let Some(oldest) =
                draft.restarted_on.iter().min_by_key(|(_, number)| **number).map(|(host, _)| host.clone())
        {
            draft.restarted_on.remove(&oldest);
        }
        self.append(name, Some(&present), draft, (by, note)).await
    }

    /// The newest entry of a pipeline that was not deleted.
    ///
    /// # Errors
    /// There is none; and as [`Catalogue::list`].
    pub async fn present(&self, name: &str) -> Result<Entry> {
        check_name(name)?;
        if let Some(present) = self.newest(name).await?.filter(|entry| !entry.is_deleted()) {
            return Ok(present);
        }
        let all = self.list().await?;
        let names: Vec<&str> =
            all.iter().filter(|entry| !entry.is_deleted()).map(|entry| entry.name.as_str()).collect();
        let hint = match names.is_empty() {
            true => "`wasmill pipeline apply FILE` brings one".to_owned(),
            false => format!("there is {}", names.join(", ")),
        };
        Err(Error::config(format!("there is no pipeline {name} in {}", self.location.url)).hint(hint))
    }

    async fn append(
        &self,
        name: &str,
        present: Option<&Entry>,
        draft: Draft,
        (by, note): (&str, &str),
    ) -> Result<Entry> {
        let number = present.map_or(0, |entry| entry.number) + 1;
        let Draft { action, target, file, connector, restarted, restarted_on } = draft;
        let entry = Entry {
            format: FORMAT,
            name: name.to_owned(),
            number,
            id: Id(self.runtime.random()),
            action,
            target,
            file,
            connector,
            restarted,
            restarted_on,
            at_ms: self.runtime.now_ms(),
            by: by.to_owned(),
            note: note.to_owned(),
        };
        let path = self.path(name, number);
        let written = create_once(self.location.storage.as_ref(), &path, to_json(&entry), self.runtime.random()).await;
        let Some(other) = written.map_err(|error| self.unanswered(error))? else { return Ok(entry) };
        let Entry { by, at_ms, note, .. } = parse(&path, &other)?;
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        Err(Error::fatal(format!("pipeline {name} was changed meanwhile by {by} at {}{note}", time(at_ms)))
            .hint("nothing of yours was done; look at it with `wasmill pipeline show`, then try again"))
    }

    fn directory(&self, name: &str) -> String {
        self.location.join(&format!("pipelines/{name}"))
    }

    fn path(&self, name: &str, number: u64) -> String {
        format!("{}/{number:020}.json", self.directory(name))
    }

    fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the storage {} does not answer", self.location.url))
            .because(error)
            .hint("is the address right, does the server answer, and may this user write there?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::runtime::TokioRuntime;
    use crate::storage::{StorageOptions, open};

    fn catalogue(directory: &std::path::Path) -> Catalogue {
        let location = open(directory.to_str().unwrap(), &StorageOptions::default()).unwrap();
        Catalogue::new(location, Arc::new(TokioRuntime::new(tokio::runtime::Handle::current())))
    }

    fn file<'a>(name: &'a str, file: &'a str) -> Wanted<'a> {
        Wanted { name, file, connector: None, target: None }
    }

    #[tokio::test]
    async fn the_newest_entry_of_a_name_counts() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = catalogue(directory.path());
        assert!(catalogue.list().await.unwrap().is_empty());
        assert_eq!(catalogue.delete("plays", "ann@here", "").await.unwrap_err().kind(), ErrorKind::Config);
        assert!(matches!(catalogue.apply(file("plays", "one"), "ann@here", "").await, Ok(Applied::New(_))));
        assert!(matches!(catalogue.apply(file("plays", "one"), "ann@here", "").await, Ok(Applied::Unchanged(_))));
        assert!(matches!(catalogue.apply(file("plays", "two"), "ann@here", "").await, Ok(Applied::New(_))));
        catalogue.apply(file("clicks", "three"), "ann@here", "").await.unwrap();
        catalogue.delete("plays", "ann@here", "no longer").await.unwrap();
        let found: Vec<_> =
            catalogue.list().await.unwrap().into_iter().map(|entry| (entry.name, entry.number, entry.action)).collect();
        assert_eq!(found, [("clicks".to_owned(), 1, Action::Apply), ("plays".to_owned(), 3, Action::Delete)]);
        let error = catalogue.present("plays").await.unwrap_err();
        assert_eq!(error.what_to_do(), Some("there is clicks"));
        let again = catalogue.apply(file("plays", "two"), "ann@here", "").await;
        assert!(matches!(again, Ok(Applied::New(entry)) if entry.number == 4));
    }

    #[tokio::test]
    async fn a_change_leaves_alone_what_it_is_not_about() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = catalogue(directory.path());
        catalogue.apply(file("plays", "one"), "ann@here", "").await.unwrap();
        let paused = catalogue.switch("plays", Target::Paused, "ann@here", "").await.unwrap();
        assert_eq!((paused.number, paused.action, paused.runs()), (2, Action::Pause, false));
        assert_eq!(catalogue.switch("plays", Target::Paused, "ann@here", "").await.unwrap().number, 2, "it is already");
        let Ok(Applied::New(changed)) = catalogue.apply(file("plays", "two"), "ann@here", "").await else { panic!() };
        assert_eq!((changed.number, changed.target), (3, Target::Paused), "another file does not start it");
        let resumed = catalogue.switch("plays", Target::Running, "ann@here", "").await.unwrap();
        assert!(resumed.runs() && resumed.file == "two");
        // Two restarts of single servers, one behind the other: a server that sees only the second knows of both.
        catalogue.restart("plays", &["a".to_owned()], "ann@here", "").await.unwrap();
        let second = catalogue.restart("plays", &["b".to_owned()], "ann@here", "").await.unwrap();
        assert_eq!(["a", "b", "c"].map(|host| second.restarted(host)), [5, 6, 0]);
        let all = catalogue.restart("plays", &[], "ann@here", "").await.unwrap();
        assert_eq!((["a", "c"].map(|host| all.restarted(host)), all.restarted_on.len()), ([7, 7], 0));
        // A deleted one that comes again is a new one.
        catalogue.switch("plays", Target::Stopped, "ann@here", "").await.unwrap();
        catalogue.delete("plays", "ann@here", "").await.unwrap();
        let Ok(Applied::New(again)) = catalogue.apply(file("plays", "two"), "ann@here", "").await else { panic!() };
        assert!(again.runs());
    }

    #[tokio::test]
    async fn of_two_who_apply_at_once_one_wins_and_the_other_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = catalogue(directory.path());
        let both = ["one", "two"].map(|file| Draft {
            action: Action::Apply,
            target: Target::Running,
            file: file.to_owned(),
            connector: None,
            restarted: 0,
            restarted_on: BTreeMap::new(),
        });
        let both = both.map(|draft| catalogue.append("plays", None, draft, ("ann@here", "mine")));
        let outcomes = futures::future::join_all(both).await;
        let told: Vec<String> =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("meanwhile by ann@here") && told[0].ends_with("(mine)"), "{told:?}");
        assert_eq!(catalogue.present("plays").await.unwrap().number, 1);
    }

    #[tokio::test]
    async fn names_lead_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = catalogue(directory.path());
        for name in ["../up", "a/b", "", "."] {
            let applied = catalogue.apply(file(name, ""), "", "").await;
            assert!(catalogue.present(name).await.is_err() && applied.is_err(), "{name}");
        }
    }
}
