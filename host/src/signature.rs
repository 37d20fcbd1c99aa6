//! Signatures: who vouches that these bytes are this version of this transform.
//!
//! What is signed is the name, the version and the hash together, so a module cannot be passed off as another version.
//! Keys and signatures are text: a word that says what it is, a colon, base64.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What every signed text begins with: it is good for nothing else.
const PURPOSE: &str = "wasmill transform 1";

/// A key that signs. Never shown in logs or errors.
pub struct SecretKey(SigningKey);

/// A key that vouches.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A signature and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Signature {
    /// The key that vouches.
    #[schema(value_type = String)]
    pub key: PublicKey,
    /// The signature, in base64.
    pub signature: String,
}

/// A transform's version and its bytes, as they are signed.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The transform's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a Version,
    /// sha256 of its module, in lower-case hexadecimal digits.
    pub sha256: &'a str,
}

impl Statement<'_> {
    /// Names and versions hold no line ends, so no two statements have one text.
    fn text(&self) -> String {
        format!("{PURPOSE}\n{}\n{}\n{}\n", self.name, self.version, self.sha256)
    }
}

impl SecretKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// The key that vouches for what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs.
    pub fn sign(&self, statement: &Statement<'_>) -> Signature {
        let signature = self.0.sign(statement.text().as_bytes());
        Signature { key: self.public(), signature: STANDARD.encode(signature.to_bytes()) }
    }

    /// The key as the text of its file.
    pub fn to_text(&self) -> String {
        format!("wasmill-secret:{}", STANDARD.encode(self.0.to_bytes()))
    }
}

impl Signature {
    /// Whether it vouches for this statement.
    pub fn is_of(&self, statement: &Statement<'_>) -> bool {
        let bytes = STANDARD.decode(&self.signature).ok();
        let signature = bytes.and_then(|bytes| ed25519_dalek::Signature::from_slice(&bytes).ok());
        // Strict: no second signature can be made of a first one.
        signature.is_some_and(|signature| self.key.0.verify_strict(statement.text().as_bytes(), &signature).is_ok())
    }
}

/// Whether one of `keys` vouches for this.
///
/// # Errors
/// None does.
pub fn require(keys: &[PublicKey], signature: Option<&Signature>, statement: &Statement<'_>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let Statement { name, version, .. } = statement;
    let refused = |why: String| {
        Error::config(format!("{name} {version} {why}")).hint(
            "this pipeline takes signed modules only: wasmill sign KEY MODULE, then push; [registry] keys says whose",
        )
    };
    match signature {
        None => Err(refused("is not signed".to_owned())),
        Some(signature) if !signature.is_of(statement) => {
            Err(refused(format!("has a signature of {} that is not of these bytes", signature.key)))
        }
        Some(signature) if !keys.contains(&signature.key) => {
            Err(refused(format!("is signed by {}, whom this pipeline does not trust", signature.key)))
        }
        Some(_) => Ok(()),
    }
}

fn key_bytes(text: &str, word: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.trim().strip_prefix(word)?.strip_prefix(':')?).ok()?.try_into().ok()
}

impl FromStr for SecretKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = key_bytes(text, "wasmill-secret").ok_or_else(|| {
            Error::config("this is no secret key").hint("wasmill keygen FILE makes one, and FILE.pub beside it")
        })?;
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let key = key_bytes(text, "wasmill-public").and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        let wrong = || {
            Error::config("this is no public key")
                .hint("it begins with wasmill-public:, as in the FILE.pub of wasmill keygen")
        };
        key.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasmill-public:{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_name_version_and_module() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let (one, two) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
        let statement = Statement { name: "keep", version: &one, sha256: "00ff" };
        let signature = key.sign(&statement);
        assert!(signature.is_of(&statement));
        for changed in [
            Statement { name: "kept", ..statement },
            Statement { version: &two, ..statement },
            Statement { sha256: "00fe", ..statement },
        ] {
            assert!(!signature.is_of(&changed), "{changed:?}");
        }
        let keys = [key.public()];
        assert!(require(&keys, Some(&signature), &statement).is_ok());
        let told = |signature: Option<&Signature>| require(&keys, signature, &statement).unwrap_err().to_string();
        assert!(told(None).contains("is not signed"));
        assert!(told(Some(&other.sign(&statement))).contains("does not trust"));
        assert!(told(Some(&key.sign(&Statement { sha256: "11", ..statement }))).contains("not of these bytes"));
        let stolen = Signature { key: key.public(), ..other.sign(&statement) };
        assert!(told(Some(&stolen)).contains("not of these bytes"));
        assert!(require(&[], None, &statement).is_ok(), "without keys nobody needs to sign");
    }

    #[test]
    fn keys_are_text() {
        let key = SecretKey::generate();
        let again: SecretKey = format!("{}\n", key.to_text()).parse().unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        assert!(key.public().to_string().parse::<SecretKey>().is_err());
        assert!(key.to_text().parse::<PublicKey>().is_err());
        assert!(!format!("{key:?}").contains(&key.to_text()[15..]));
    }
}
