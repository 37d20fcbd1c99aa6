//! Certificates, taken into use again when they are renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::config::AdminTls;
use crate::error::{Error, Result};

/// How often it is looked whether a file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The server's side of TLS 1.2 and 1.3 with the certificates of `[admin.tls]`.
///
/// # Errors
/// A file cannot be read or holds something else; the key is not the certificate's.
pub(super) fn config(tls: &AdminTls) -> Result<RustlsConfig> {
    Ok(RustlsConfig::from_config(Arc::new(server(tls)?)))
}

/// Gives new connections what stands in the files, whenever they change; never ends. What cannot be used changes nothing: a
/// certificate and its key are rarely replaced in one step.
/// `what` is served with them, for people.
pub(super) async fn follow(what: &str, tls: AdminTls, used: RustlsConfig) {
    let mut seen = versions(&tls);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = versions(&tls);
        if now == std::mem::replace(&mut seen, now.clone()) {
            continue;
        }
        match server(&tls) {
            Ok(config) => {
                used.reload_from_config(Arc::new(config));
                tracing::info!("the certificates of {what} were read again");
            }
            Err(error) => tracing::warn!(%error, "the new certificates cannot be used; those in use stay"),
        }
    }
}

/// When each file was changed last.
fn versions(tls: &AdminTls) -> Vec<Option<SystemTime>> {
    let files = [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()];
    let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|there| there.modified()).ok();
    files.into_iter().flatten().map(changed).collect()
}

fn server(tls: &AdminTls) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::fatal("TLS cannot be set up").because(error))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| wrong(&tls.key, error))?;
    let config = builder.with_single_cert(certificates(&tls.certificate)?, key);
    let mut config = config.map_err(|error| wrong(&tls.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(path, error))?;
    if found.is_empty() {
        return Err(Error::config(format!("{} holds no certificate", path.display())).hint("PEM is wanted"));
    }
    Ok(found)
}

fn wrong(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::config(format!("{} cannot be used for TLS", path.display())).because(error)
}
