//! Who asks: a token as the password of basic authentication, whatever the user's name; or as a bearer token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Office;
use super::answer::{Answer, Refusal};
use crate::admin::caller::from_this_machine;
use crate::admin::tokens::{Holder, Role};

/// Somebody who was let in.
pub(super) struct Caller(Holder);

impl Caller {
    /// Refuses whoever may not do what needs `role`.
    pub(super) fn must(&self, role: Role) -> Answer<()> {
        if self.0.may(role) {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("this needs the role {role}; the token {:?} has not got it", self.0.name)))
    }

    /// The same, for one pipeline.
    pub(super) fn must_for(&self, role: Role, pipeline: &str) -> Answer<()> {
        self.must(role)?;
        if self.sees(pipeline) {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("the token {:?} is not for pipeline {pipeline}", self.0.name)))
    }

    /// Whether this pipeline is theirs to see.
    pub(super) fn sees(&self, pipeline: &str) -> bool {
        self.0.is_for(pipeline)
    }

    /// As records name them: `token NAME`.
    pub(super) fn by(&self) -> String {
        format!("token {}", self.0.name)
    }
}

/// The secret of an `Authorization` header.
fn secret(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

impl FromRequestParts<Arc<Office>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, office: &Arc<Office>) -> Answer<Self> {
        let Some(tokens) = &office.tokens else {
            return from_this_machine(parts, office.plain).map(Self).map_err(Refusal::forbidden);
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(secret) = header.and_then(secret) else {
            return Err(Refusal::unknown("a token is needed, as the password of basic authentication"));
        };
        if let Some(holder) = tokens.whoever(&secret) {
            return Ok(Self(holder));
        }
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        match address.is_some_and(|address| office.failures.count(address)) {
            true => Err(Refusal::unknown("the password is no token")),
            false => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many failed logins from this address")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_token() {
        assert_eq!(secret("Basic YW5uOndhc21pbGxfeDp5"), Some("wasmill_x:y".to_owned()));
        assert_eq!(secret("bearer wasmill_x"), Some("wasmill_x".to_owned()));
        for wrong in ["Basic", "Basic ???", "Basic YW5u", "Digest abc", ""] {
            assert_eq!(secret(wrong), None, "{wrong}");
        }
    }
}
