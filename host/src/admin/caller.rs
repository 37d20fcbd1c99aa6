//! Who asks, and whether they may.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Office;
use super::answer::Refusal;
use super::sessions::Sessions;
use super::tokens::{Holder, Role, Tokens, hash};

/// Failed logins of one address in a minute; beyond them it is told to wait.
const FAILURES: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// Addresses that are remembered before those that have been quiet are forgotten.
const ADDRESSES: usize = 10_000;

/// Lets callers in.
pub(super) struct Door {
    pipeline: String,
    tokens: Option<Tokens>,
    plain: bool,
    failures: Failures,
    sessions: Sessions,
}

/// Counts failed logins by address, so that nobody tries many tokens.
pub(crate) struct Failures(DefaultKeyedRateLimiter<IpAddr>);

impl Failures {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(FAILURES)))
    }

    /// Counts one. Whether the address may try again at once.
    pub(crate) fn count(&self, address: IpAddr) -> bool {
        if self.0.len() > ADDRESSES {
            self.0.retain_recent();
        }
        self.0.check_key(&address).is_ok()
    }
}

/// Somebody who was let in, and from where.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    holder: Holder,
    address: SocketAddr,
    /// What a page must send with each change, where the caller came with a cookie.
    csrf: Option<String>,
}

impl Door {
    /// `plain`: without TLS. Without tokens, whoever reaches a loopback address may do everything. `port`: where it listens.
    pub(super) fn new(pipeline: &str, tokens: Option<Tokens>, plain: bool, port: u16) -> Self {
        let (failures, sessions) = (Failures::new(), Sessions::new(port, !plain));
        Self { pipeline: pipeline.to_owned(), tokens, plain, failures, sessions }
    }

    /// Opens a session for whoever has this token; the cookie that says so.
    pub(super) fn sign_in(&self, secret: &str, address: SocketAddr) -> Result<(Caller, String), Refusal> {
        let tokens = self.tokens.as_ref().ok_or_else(|| Refusal::Wrong("no token is needed here".to_owned()))?;
        let secret = secret.trim();
        let Some(holder) = tokens.holder(secret, &self.pipeline) else {
            self.failed(address.ip())?;
            return Err(Refusal::Unknown("this is no token for this pipeline"));
        };
        let (csrf, cookie) = self.sessions.open(hash(secret)).ok_or(Refusal::TooMany)?;
        Ok((Caller { holder, address, csrf: Some(csrf) }, cookie))
    }

    /// Ends the session of a request, if it has one; the cookie that takes the other one back.
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> String {
        self.sessions.close(headers)
    }

    /// The pipeline whose door this is.
    pub(super) fn pipeline(&self) -> &str {
        &self.pipeline
    }

    fn let_in(&self, parts: &Parts, address: SocketAddr) -> Result<Caller, Refusal> {
        let Some(tokens) = &self.tokens else {
            let holder = from_this_machine(parts, self.plain).map_err(|why| Refusal::Forbidden(why.to_owned()))?;
            return Ok(Caller { holder, address, csrf: None });
        };
        if !parts.headers.contains_key(AUTHORIZATION)
            && let Some((secret, csrf)) = self.sessions.of(&parts.headers)
        {
            let is_change = !parts.method.is_safe();
            if is_change && !Sessions::is_vouched(&parts.headers, &csrf) {
                return Err(Refusal::Forbidden(
                    "a change that a page asks for needs the session's X-CSRF-Token".into(),
                ));
            }
            // A token that was taken back takes its sessions with it.
            let holder = tokens.holder_of(&secret, &self.pipeline);
            let holder = holder.ok_or(Refusal::Unknown("the token of this session is none any more"))?;
            return Ok(Caller { holder, address, csrf: Some(csrf) });
        }
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let secret = header.and_then(|value| value.split_once(' '));
        let secret =
            secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, secret)| secret.trim());
        let Some(secret) = secret else {
            return Err(Refusal::Unknown("a token is needed: Authorization: Bearer TOKEN"));
        };
        match tokens.holder(secret, &self.pipeline) {
            Some(holder) => Ok(Caller { holder, address, csrf: None }),
            None => {
                self.failed(address.ip())?;
                Err(Refusal::Unknown("this is no token for this pipeline"))
            }
        }
    }

    /// Counts a failed login against an address.
    fn failed(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.failures.count(address) { Ok(()) } else { Err(Refusal::TooMany) }
    }
}

/// Whoever asks without a token where none is needed. A page in a browser on this machine must not be able to ask under a
/// name of its own. `plain`: without TLS.
///
/// # Errors
/// Why that is not answered.
pub(crate) fn from_this_machine(parts: &Parts, plain: bool) -> Result<Holder, &'static str> {
    let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let is_local = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_local && plain {
        return Err("without tokens only localhost is answered");
    }
    let origin = parts.headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    let is_foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, of)| of != host);
    if origin.is_some_and(is_foreign) {
        return Err("without tokens no page of another origin is answered");
    }
    Ok(Holder::local())
}

impl Caller {
    /// Refuses whoever may not do what needs `role`.
    pub(super) fn must(&self, role: Role) -> Result<(), Refusal> {
        if self.holder.may(role) {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!("this needs the role {role}; the token {:?} has not got it", self.holder.name)))
    }

    /// As records name them: `token NAME`.
    pub(super) fn by(&self) -> String {
        format!("token {}", self.holder.name)
    }

    /// Who they are, and what they may do.
    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// What a page must send with each change, where the caller came with a cookie.
    pub(super) fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// From where.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl FromRequestParts<Arc<Office>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, office: &Arc<Office>) -> Result<Self, Refusal> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
        let address = address.ok_or(Refusal::Unknown("the connection has no address"))?;
        office.door.let_in(parts, address)
    }
}
