//! `[admin]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::file::{Field, Section};
use super::value;
use super::{AdminConfig, AdminTls};

/// The section; `None` when there is none, or when it has mistakes.
pub(super) fn admin(root: &Section<'_>) -> Option<AdminConfig> {
    let section = root.section("admin")?;
    let listen = match section.optional("listen") {
        Some(field) => address(&field),
        None => Some(AdminConfig::LISTEN),
    };
    let tokens = section.optional("tokens").map(|field| file(&field));
    let tls = section.section("tls").map(tls);
    if let (Some(listen), None) = (listen, &tokens)
        && !listen.ip().is_loopback()
    {
        section.mistake("listen", format!("{listen} is reached from other machines, which needs tokens = \"FILE\""));
    }
    section.finish();
    // What is there and wrong is a mistake already.
    Some(AdminConfig {
        listen: listen?,
        tokens: match tokens {
            Some(tokens) => Some(tokens?),
            None => None,
        },
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
    })
}

fn tls(section: Section<'_>) -> Option<AdminTls> {
    let certificate = section.required("certificate", "\"host.pem\"").and_then(|field| file(&field));
    let key = section.required("key", "\"host.key\"").and_then(|field| file(&field));
    let client_ca = section.optional("client_ca").map(|field| file(&field));
    section.finish();
    let client_ca = match client_ca {
        Some(path) => Some(path?),
        None => None,
    };
    Some(AdminTls { certificate: certificate?, key: key?, client_ca })
}

fn address(field: &Field<'_>) -> Option<SocketAddr> {
    let address = value::text(field).and_then(|text| text.parse().ok());
    if address.is_none() {
        field.wanted("an address with its port, like \"127.0.0.1:8780\" or \"[::1]:8780\"");
    }
    address
}

/// A file, relative to the pipeline file's directory.
pub(super) fn file(field: &Field<'_>) -> Option<PathBuf> {
    let path = field.reader().directory.join(value::text(field)?);
    if path.is_file() {
        return Some(path);
    }
    let what = if field.is_secret() { field.found() } else { path.display().to_string() };
    field.mistake(format!("there is no file {what}"));
    None
}
