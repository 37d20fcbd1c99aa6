//! HTTP at an address, with or without TLS.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::task::AbortHandle;

use super::tls;
use crate::config::AdminTls;
use crate::error::{Error, Result};

/// How long requests may go on after the end was asked for.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A connection that sends no request in this time is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// An address that is taken, and not served yet.
pub(crate) struct Bound {
    /// What is served there, for people: `the admin API`.
    what: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<(AdminTls, RustlsConfig)>,
}

/// What is served, until it is told to end.
pub(crate) struct Listening {
    handle: Handle<SocketAddr>,
    /// Looks for renewed certificates.
    certificates: Option<AbortHandle>,
}

impl Bound {
    /// Takes an address. `hint`: what to do when it is taken.
    ///
    /// # Errors
    /// It is taken, or a file with certificates cannot be used.
    pub(crate) fn take(
        what: &'static str,
        address: SocketAddr,
        tls: Option<&AdminTls>,
        hint: &'static str,
    ) -> Result<Self> {
        let tls = tls.map(|files| Ok::<_, Error>((files.clone(), tls::config(files)?))).transpose()?;
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let cannot = |error| Error::config(format!("{what} cannot listen on {address}")).because(error).hint(hint);
        let listener = listener.map_err(cannot)?;
        let address = listener.local_addr().unwrap_or(address);
        Ok(Self { what, listener, address, tls })
    }

    /// The address, with the port that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves it on `tokio`.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn serve(
        self,
        service: IntoMakeServiceWithConnectInfo<axum::Router, SocketAddr>,
        tokio: &tokio::runtime::Handle,
    ) -> Result<Listening> {
        let Self { what, listener, address, tls } = self;
        let _inside = tokio.enter();
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!("{what} listens on {scheme}://{address}");
        let handle = Handle::new();
        let cannot = |error| Error::fatal(format!("{what} cannot listen on {address}")).because(error);
        let certificates = tls.clone().map(|(files, used)| tokio.spawn(tls::follow(what, files, used)).abort_handle());
        match tls {
            Some((_, tls)) => {
                let server = axum_server::from_tcp_rustls(listener, tls).map_err(cannot)?;
                let server = server.handle(handle.clone()).first_request_timeout(FIRST_REQUEST);
                tokio.spawn(async move { told(what, server.serve(service).await) });
            }
            None => {
                let server = axum_server::from_tcp(listener).map_err(cannot)?;
                let server = server.handle(handle.clone()).first_request_timeout(FIRST_REQUEST);
                tokio.spawn(async move { told(what, server.serve(service).await) });
            }
        }
        Ok(Listening { handle, certificates })
    }
}

impl Listening {
    /// Takes no more requests; those that are answered may be finished.
    pub(crate) fn end(self) {
        self.certificates.iter().for_each(AbortHandle::abort);
        self.handle.graceful_shutdown(Some(LAST_WORD));
    }
}

fn told(what: &str, served: std::io::Result<()>) {
    if let Err(error) = served {
        tracing::error!(%error, "{what} ended; what runs goes on");
    }
}
