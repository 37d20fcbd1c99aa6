//! Sessions of people in a browser: a cookie that stands for a token for some hours.
//!
//! The cookie is random and known to this host only, so its end is the host's business and not the browser's; what is
//! remembered of it and of the token is a hash. A host that starts anew has no sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::tokens::hash;

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);

/// Sessions at a time.
const MOST: usize = 10_000;

/// The header that says that a change was asked for by the console's own page, which alone can read the session's token.
const CSRF_HEADER: &str = "x-csrf-token";

/// The sessions of one host.
pub(super) struct Sessions {
    cookie: String,
    attributes: &'static str,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    /// The SHA-256 of the token.
    token: [u8; 32],
    csrf: String,
    ends: Instant,
}

impl Sessions {
    /// None yet. `port`: cookies of hosts on one machine are told apart by it. `secure`: the host speaks TLS.
    pub(super) fn new(port: u16, secure: bool) -> Self {
        let attributes = match secure {
            true => "; Path=/; HttpOnly; SameSite=Strict; Secure",
            false => "; Path=/; HttpOnly; SameSite=Strict",
        };
        Self { cookie: format!("wasmill_session_{port}"), attributes, open: Mutex::default() }
    }

    /// Opens a session for a token, given by its hash; what changes must be sent with, and the cookie. `None`: there are
    /// too many.
    pub(super) fn open(&self, token: [u8; 32]) -> Option<(String, String)> {
        let (id, csrf) = (random(), random());
        let now = Instant::now();
        let mut open = self.sessions();
        open.retain(|_, session| session.ends > now);
        if open.len() >= MOST {
            return None;
        }
        open.insert(hash(&id), Session { token, csrf: csrf.clone(), ends: now + LASTS });
        let cookie = format!("{}={id}; Max-Age={}{}", self.cookie, LASTS.as_secs(), self.attributes);
        Some((csrf, cookie))
    }

    /// The hash of the token and what changes must be sent with, for a request that has a session.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<([u8; 32], String)> {
        let id = self.id(headers)?;
        let open = self.sessions();
        let session = open.get(&hash(id)).filter(|session| session.ends > Instant::now())?;
        Some((session.token, session.csrf.clone()))
    }

    /// Ends the session of a request; the cookie that takes the other one back.
    pub(super) fn close(&self, headers: &HeaderMap) -> String {
        if let Some(id) = self.id(headers) {
            self.sessions().remove(&hash(id));
        }
        format!("{}=; Max-Age=0{}", self.cookie, self.attributes)
    }

    /// Whether a request carries what its session wants with a change.
    pub(super) fn is_vouched(headers: &HeaderMap, csrf: &str) -> bool {
        let given = headers.get(CSRF_HEADER).map(|value| value.as_bytes());
        given.is_some_and(|given| given.ct_eq(csrf.as_bytes()).into())
    }

    fn id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, id)| id)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_cookie_stands_for_its_token_until_it_ends() {
        let sessions = Sessions::new(8780, true);
        let (csrf, cookie) = sessions.open([7; 32]).unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let headers = with("cookie", &format!("other=1; {pair}"));
        assert_eq!(sessions.of(&headers), Some(([7; 32], csrf.clone())));
        assert!(Sessions::is_vouched(&with("x-csrf-token", &csrf), &csrf));
        assert!(!Sessions::is_vouched(&headers, &csrf) && !Sessions::is_vouched(&with("x-csrf-token", ""), &csrf));
        assert_eq!(sessions.of(&with("cookie", &format!("{pair}x"))), None, "another id");
        assert_eq!(Sessions::new(8781, true).of(&headers), None, "of another host");
        sessions.sessions().values_mut().for_each(|session| session.ends = Instant::now());
        assert_eq!(sessions.of(&headers), None, "it has ended");

        let (_, cookie) = sessions.open([8; 32]).unwrap();
        assert_eq!(sessions.sessions().len(), 1, "those that have ended are forgotten");
        let headers = with("cookie", cookie.split(';').next().unwrap());
        assert!(sessions.close(&headers).contains("=; Max-Age=0;"));
        assert_eq!(sessions.of(&headers), None, "it was closed");
    }
}
