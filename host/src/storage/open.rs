//! From the text of a `location = "..."` to a storage and a path in it. Opens no connection and touches no file.

use std::path::Path;
use std::sync::Arc;

use super::hdfs::HdfsStorage;
use super::local::LocalStorage;
use super::{Location, Storage};
use crate::error::{Error, Result};

/// Settings of what is written below a location. The default leaves all to the storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageOptions {
    /// Permission bits of new files on HDFS; directories get the same, with `x` wherever they have `r`. Default 0o644.
    /// Files on a local disk follow the umask.
    pub file_mode: Option<u32>,
    /// Group of new files on HDFS. Default: the group of the directory.
    pub group: Option<String>,
    /// Copies of each block on HDFS. Default: as the NameNode is set.
    pub replication: Option<u32>,
    /// Whether closing a file makes it survive a power loss of every machine that holds it. Default: on a local disk
    /// yes, on HDFS no (there it is `dfs.datanode.synconclose` that costs least).
    pub sync_on_close: Option<bool>,
}

/// The parts of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The authority (`host:port` or the name of a name service), and the path.
    Hdfs(String, String),
    /// The absolute path.
    Local(String),
}

/// Opens `hdfs://host:port/path`, `hdfs://nameservice/path` (with `HADOOP_CONF_DIR`), `file:///path` or a plain path,
/// which is made absolute against the working directory.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a location that is none of these. A server that does not
/// answer is found by the first operation, not here.
pub fn open(location: &str, options: &StorageOptions) -> Result<Location> {
    let (storage, path): (Arc<dyn Storage>, String) = match place(location)? {
        Place::Local(path) => {
            let default = LocalStorage::default();
            let sync_on_close = options.sync_on_close.unwrap_or(default.sync_on_close);
            (Arc::new(LocalStorage { sync_on_close }), path)
        }
        Place::Hdfs(authority, path) => (Arc::new(HdfsStorage::open(&authority, options)?), path),
    };
    Ok(Location { storage, path, url: location.to_owned() })
}

fn place(location: &str) -> Result<Place> {
    if let Some(rest) = strip_scheme(location, "hdfs") {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(wrong(location, "is written hdfs://host:port/path"));
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err(wrong(location, "names a user")
                .hint("the user is set by HADOOP_USER_NAME, or by Kerberos, not in the location"));
        }
        if authority.is_empty() {
            return Err(wrong(location, "names no NameNode")
                .hint("write hdfs://host:port/path, or hdfs://nameservice/path with HADOOP_CONF_DIR set"));
        }
        return Ok(Place::Hdfs(authority.to_owned(), hdfs_directory(location, path)?));
    }
    if let Some(rest) = strip_scheme(location, "file") {
        let path = rest.strip_prefix("//localhost/").or_else(|| rest.strip_prefix("///")).or_else(|| {
            let plain = rest.strip_prefix('/')?;
            (!plain.starts_with('/')).then_some(plain)
        });
        let path = path.ok_or_else(|| wrong(location, "is written file:///path"))?;
        return Ok(Place::Local(directory(location, &format!("/{path}"))?));
    }
    if let Some((scheme, _)) = location.split_once("://") {
        return Err(Error::config(format!("{scheme}://... is not supported yet")).hint("use hdfs:// or a local path"));
    }
    if location.is_empty() {
        return Err(Error::config("a location is empty").hint("write hdfs://host:port/path or a local path"));
    }
    let absolute = std::path::absolute(Path::new(location))
        .map_err(|error| wrong(location, "cannot be made an absolute path").because(error))?;
    let absolute = absolute.to_str().ok_or_else(|| wrong(location, "is below a directory whose name is not UTF-8"))?;
    Ok(Place::Local(directory(location, absolute)?))
}

fn strip_scheme<'a>(location: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = location.split_once(':')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn hdfs_directory(location: &str, path: &str) -> Result<String> {
    if path.split('/').any(|part| part == "..") {
        return Err(wrong(location, "goes up with '..'").hint("write the path that it leads to"));
    }
    directory(location, path)
}

/// `path` without empty parts and without a slash at its end: one directory has one spelling. `..` is taken off with
/// the part before it, as a shell's `cd` does.
fn directory(location: &str, path: &str) -> Result<String> {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Err(wrong(location, "is the root directory").hint("name a directory below it"));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn wrong(location: &str, what: &str) -> Error {
    Error::config(format!("location {location:?} {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hdfs(authority: &str, path: &str) -> Place {
        Place::Hdfs(authority.into(), path.into())
    }

    #[test]
    fn locations_are_told_apart() {
        let cases = [
            ("hdfs://nn:9000/user/events", hdfs("nn:9000", "/user/events")),
            ("HDFS://nn:9000//user/./events//", hdfs("nn:9000", "/user/events")),
            ("hdfs://events/a%20b/c d", hdfs("events", "/a%20b/c d")),
            ("file:///data/events/", Place::Local("/data/events".into())),
            ("file:/data/events", Place::Local("/data/events".into())),
            ("file://localhost/data", Place::Local("/data".into())),
            ("/data/events/", Place::Local("/data/events".into())),
            ("/data/../x/./y", Place::Local("/x/y".into())),
            ("/data/a:b", Place::Local("/data/a:b".into())),
        ];
        for (text, wanted) in cases {
            assert_eq!(place(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn a_relative_path_is_below_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        let wanted = format!("{}/target/table", here.display());
        assert_eq!(place("./target/table").unwrap(), Place::Local(wanted));
    }

    #[test]
    fn other_locations_are_refused_with_the_way_out() {
        let cases = [
            ("s3://bucket/x", "s3://... is not supported yet", "use hdfs:// or a local path"),
            ("hdfs:/user", "is written hdfs://host:port/path", ""),
            ("hdfs://nn:9000", "is the root directory", "below it"),
            ("hdfs://nn:9000/", "is the root directory", "below it"),
            ("hdfs://me@nn:9000/x", "names a user", "HADOOP_USER_NAME"),
            ("file://server/share", "is written file:///path", ""),
            ("/", "is the root directory", "below it"),
            ("hdfs:///user/events", "names no NameNode", "HADOOP_CONF_DIR"),
            ("hdfs://nn:9000/data/../x", "'..'", "leads to"),
            ("", "empty", "local path"),
        ];
        for (text, message, hint) in cases {
            let error = place(text).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert!(error.what_to_do().unwrap_or_default().contains(hint), "{text}: {:?}", error.what_to_do());
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_clean_path_or_an_error(text in "(hdfs://|file://|)[a-z/.:@]{0,20}") {
            if let Ok(Place::Hdfs(_, path) | Place::Local(path)) = place(&text) {
                prop_assert!(path.starts_with('/') && path.len() > 1);
                prop_assert!(path[1..].split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}
