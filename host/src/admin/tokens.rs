//! Who may do what: the file of tokens. It holds hashes only, and is read anew when it changes.
//!
//! ```toml
//! [[tokens]]
//! name = "grafana"
//! sha256 = "1f0c..."
//! roles = ["viewer"]
//! pipelines = ["listen-events"]      # without it: all
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::error::{Error, Result};

/// How often it is looked whether the file changed, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file of tokens is written by people.
const FILE_BYTES: u64 = 1 << 20;

/// What a token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "wasmill_";

/// What somebody may do. Each includes `viewer`; `admin` includes all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See status, metrics, deployments and transforms.
    Viewer,
    /// See what comes from events: guests' logs, rows, dead letters.
    Payloads,
    /// Change what runs.
    Deployer,
    /// Everything, and see who did what.
    Admin,
}

impl Role {
    /// Its name, as the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Payloads => "payloads",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }

    /// Whether somebody with this role may do what needs `wanted`.
    fn includes(self, wanted: Self) -> bool {
        self == wanted || self == Self::Admin || wanted == Self::Viewer
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Viewer, Self::Payloads, Self::Deployer, Self::Admin];
        all.into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| Error::config(format!("{text:?} is no role")).hint("viewer, payloads, deployer or admin"))
    }
}

/// One token, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; the audit names it.
    pub name: String,
    /// SHA-256 of the token in hexadecimal digits. Tokens are random, so nothing slower is needed.
    pub sha256: String,
    /// What it allows.
    pub roles: Vec<Role>,
    /// For which pipelines; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<Vec<String>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tokens: Vec<Token>,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The token's name.
    pub name: String,
    /// What it allows.
    pub roles: Vec<Role>,
    /// For which pipelines; `None`: all.
    pub pipelines: Option<Vec<String>>,
}

impl Holder {
    /// Whoever is on this machine, where no tokens are asked for: they may do everything.
    pub(crate) fn local() -> Self {
        Self { name: "local".to_owned(), roles: vec![Role::Admin], pipelines: None }
    }

    /// Whether it is a token for this pipeline.
    pub fn is_for(&self, pipeline: &str) -> bool {
        self.pipelines.as_ref().is_none_or(|all| all.iter().any(|one| one == pipeline))
    }

    /// Whether they may do what needs `wanted`.
    pub fn may(&self, wanted: Role) -> bool {
        self.roles.iter().any(|role| role.includes(wanted))
    }
}

impl Token {
    /// A new token of this name, and its secret, which is nowhere else.
    pub fn generate(name: &str, roles: Vec<Role>, pipelines: Option<Vec<String>>) -> (Self, String) {
        let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let sha256 = hash(&secret).iter().map(|byte| format!("{byte:02x}")).collect();
        (Self { name: name.to_owned(), sha256, roles, pipelines }, secret)
    }

    /// As it stands in the file.
    pub fn as_toml(&self) -> String {
        toml::to_string(&File { tokens: vec![self.clone()] }).unwrap_or_default()
    }

    fn hash(&self) -> Option<[u8; 32]> {
        let digits = self.sha256.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(hash)
    }
}

pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The tokens of one file.
pub struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    tokens: Vec<([u8; 32], Token)>,
    looked: Instant,
    /// Modified when, and how long: of what was read last, whether it could be used or not.
    version: Option<(SystemTime, u64)>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<Self> {
        let known = Known { tokens: read(path)?, looked: Instant::now(), version: version(path) };
        Ok(Self { path: path.to_owned(), known: Mutex::new(known) })
    }

    /// Whose token this is, if it is one for `pipeline`. Takes the same time for every wrong one.
    pub fn holder(&self, secret: &str, pipeline: &str) -> Option<Holder> {
        self.holder_of(&hash(secret), pipeline)
    }

    /// The same, of a secret's SHA-256.
    pub(super) fn holder_of(&self, wanted: &[u8; 32], pipeline: &str) -> Option<Holder> {
        self.find(wanted).filter(|holder| holder.is_for(pipeline))
    }

    /// Whose token this is, for whichever pipelines. Takes the same time for every wrong one.
    pub(crate) fn whoever(&self, secret: &str) -> Option<Holder> {
        self.find(&hash(secret))
    }

    fn find(&self, wanted: &[u8; 32]) -> Option<Holder> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut known);
        let (mut found, mut place) = (Choice::from(0), 0_u64);
        for (index, (hash, _)) in (0_u64..).zip(&known.tokens) {
            let is_it = hash.ct_eq(wanted);
            place.conditional_assign(&index, is_it);
            found |= is_it;
        }
        let (_, token) = known.tokens.get(usize::try_from(place).ok()?).filter(|_| found.into())?;
        let Token { name, roles, pipelines, .. } = token.clone();
        Some(Holder { name, roles, pipelines })
    }

    /// Reads the file again if it changed. What cannot be used changes nothing: nobody is locked out by a slip.
    fn look(&self, known: &mut Known) {
        if known.looked.elapsed() < LOOK_EVERY {
            return;
        }
        known.looked = Instant::now();
        let now = version(&self.path);
        if now == known.version {
            return;
        }
        known.version = now;
        match read(&self.path) {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the file of tokens was read again");
                known.tokens = tokens;
            }
            Err(error) => tracing::error!(%error, "the file of tokens cannot be used; those known so far stay"),
        }
    }
}

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let there = std::fs::metadata(path).ok()?;
    Some((there.modified().ok()?, there.len()))
}

fn read(path: &Path) -> Result<Vec<([u8; 32], Token)>> {
    let name = path.display();
    let cannot = |error: std::io::Error| Error::config(format!("cannot read the tokens in {name}")).because(error);
    if std::fs::metadata(path).map_err(cannot)?.len() > FILE_BYTES {
        return Err(Error::config(format!("{name} is too long for a file of tokens")));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    let wrong = |why: String| {
        Error::config(format!("{name} is no file of tokens: {why}"))
            .hint("`wasmill token NAME --role ROLE` makes entries")
    };
    let File { tokens } = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    let mut known: Vec<([u8; 32], Token)> = Vec::new();
    for token in tokens {
        let hash =
            token.hash().ok_or_else(|| wrong(format!("sha256 of {:?} has not 64 hexadecimal digits", token.name)))?;
        if token.name.is_empty() || known.iter().any(|(_, other)| other.name == token.name) {
            return Err(wrong(format!("the name {:?} is empty or stands there twice", token.name)));
        }
        known.push((hash, token));
    }
    if known.is_empty() {
        return Err(wrong("it has no [[tokens]]".to_owned()));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tokens: &[&Token]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, tokens.iter().map(|token| token.as_toml()).collect::<String>()).unwrap();
        file
    }

    #[test]
    fn a_token_opens_what_its_entry_says() {
        let (one, secret) = Token::generate("ann", vec![Role::Deployer], Some(vec!["plays".to_owned()]));
        let (other, other_secret) = Token::generate("bob", vec![Role::Admin], None);
        let file = file(&[&one, &other]);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&secret) && secret.starts_with(PREFIX), "only its hash stands there");
        let tokens = Tokens::open(file.path()).unwrap();
        let ann = tokens.holder(&secret, "plays").unwrap();
        assert_eq!((ann.name.as_str(), ann.may(Role::Viewer), ann.may(Role::Deployer)), ("ann", true, true));
        assert!(!ann.may(Role::Payloads) && !ann.may(Role::Admin));
        assert_eq!(tokens.holder(&secret, "other"), None, "of another pipeline");
        assert!(tokens.holder(&other_secret, "other").unwrap().may(Role::Payloads));
        for wrong in ["", "wasmill_", &secret[1..], &format!("{secret}x")] {
            assert_eq!(tokens.holder(wrong, "plays"), None, "{wrong}");
        }
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let (one, secret) = Token::generate("ann", vec![Role::Viewer], None);
        let (other, other_secret) = Token::generate("bob", vec![Role::Viewer], None);
        let file = file(&[&one]);
        let tokens = Tokens::open(file.path()).unwrap();
        let look = || tokens.known.lock().unwrap().looked -= LOOK_EVERY;
        std::fs::write(&file, "nonsense").unwrap();
        look();
        assert!(tokens.holder(&secret, "p").is_some());
        std::fs::write(&file, one.as_toml() + &other.as_toml()).unwrap();
        look();
        assert!(tokens.holder(&other_secret, "p").is_some());
        std::fs::write(&file, other.as_toml()).unwrap();
        look();
        assert_eq!(tokens.holder(&secret, "p"), None, "it was taken back");
    }

    #[test]
    fn what_is_no_file_of_tokens_is_refused() {
        let entry = |sha256: &str| format!("[[tokens]]\nname = \"a\"\nsha256 = \"{sha256}\"\nroles = [\"viewer\"]\n");
        let good = entry(&"0a".repeat(32));
        let twice = format!("{good}{good}");
        for wrong in ["", "[[tokens]]\nname = \"a\"", &entry("0a"), &entry(&"é".repeat(32)), &twice, "[[users]]"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, wrong).unwrap();
            assert!(Tokens::open(file.path()).is_err(), "{wrong}");
        }
    }
}
