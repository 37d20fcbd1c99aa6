//! Who asks, and whether they may.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Office;
use super::answer::Refusal;
use super::tokens::{Holder, Role, Tokens};

/// Failed logins of one address in a minute; beyond them it is told to wait.
const FAILURES: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// Addresses that are remembered before those that have been quiet are forgotten.
const ADDRESSES: usize = 10_000;

/// Lets callers in.
pub(super) struct Door {
    pipeline: String,
    tokens: Option<Tokens>,
    plain: bool,
    failures: DefaultKeyedRateLimiter<IpAddr>,
}

/// Somebody who was let in, and from where.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    holder: Holder,
    address: SocketAddr,
}

impl Door {
    /// `plain`: without TLS. Without tokens, whoever reaches a loopback address may do everything.
    pub(super) fn new(pipeline: &str, tokens: Option<Tokens>, plain: bool) -> Self {
        let failures = RateLimiter::keyed(Quota::per_minute(FAILURES));
        Self { pipeline: pipeline.to_owned(), tokens, plain, failures }
    }

    fn let_in(&self, parts: &Parts, address: SocketAddr) -> Result<Caller, Refusal> {
        let Some(tokens) = &self.tokens else {
            return self.local(parts, address);
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let secret = header.and_then(|value| value.split_once(' '));
        let secret =
            secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, secret)| secret.trim());
        let Some(secret) = secret else {
            return Err(Refusal::Unknown("a token is needed: Authorization: Bearer TOKEN"));
        };
        match tokens.holder(secret, &self.pipeline) {
            Some(holder) => Ok(Caller { holder, address }),
            None => {
                self.failed(address.ip())?;
                Err(Refusal::Unknown("this is no token for this pipeline"))
            }
        }
    }

    /// Counts a failed login against an address.
    fn failed(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.failures.len() > ADDRESSES {
            self.failures.retain_recent();
        }
        self.failures.check_key(&address).map_err(|_| Refusal::TooMany)
    }

    /// A page in a browser on this machine must not be able to ask under a name of its own.
    fn local(&self, parts: &Parts, address: SocketAddr) -> Result<Caller, Refusal> {
        let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
        let is_local = name == "localhost"
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_local && self.plain {
            return Err(Refusal::Forbidden("without tokens only localhost is answered".to_owned()));
        }
        let holder = Holder { name: "local".to_owned(), roles: vec![Role::Admin] };
        Ok(Caller { holder, address })
    }
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
