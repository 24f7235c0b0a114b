//! Connections: accepted, bounded in number and time, drained at shutdown.

mod client_address;
mod tls;
mod write_timeout;

pub use tls::{Certificate, CertificateError};

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Config, Service,
    router::{Surface, surface},
};
use write_timeout::WriteTimeout;

/// Largest head of a request, in bytes; a larger one is answered with 431. A key and a few headers need far less.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// What is held of an answer that its client does not take, in bytes. Behind it the engine's own bounds hold.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Pause after an `accept` that failed for want of something (file descriptors, memory), which waiting may bring.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How a shutdown ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy at the end of the grace period, and were cut.
    pub cut: usize,
}

/// A bound address, what answers there, and how.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    surface: Surface,
}

impl From<TcpListener> for Listener {
    /// Everything answers, without TLS.
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, surface: Surface::Whole }
    }
}

impl Listener {
    /// Only this part of the routes answers.
    pub fn with_surface(self, surface: Surface) -> Self {
        Self { surface, ..self }
    }

    /// Clients speak TLS.
    pub fn with_tls(self, certificate: &Certificate) -> io::Result<Self> {
        Ok(Self { tls: Some(certificate.config()?.into()), ..self })
    }
}

/// Serves until `shutdown` completes, then drains, and returns when that is done.
///
/// Draining: `/readyz` says no, requests for a model are refused with 503, idle connections are closed and running
/// answers have [`Config::grace`] to finish, those in the background included, which fail after it. The listener stays open meanwhile, so that a load balancer's probe finds
/// "not ready" and not a closed door. Dropping the future ends everything at once.
pub async fn serve(listener: impl Into<Listener>, service: Service, shutdown: impl Future<Output = ()>) -> Drained {
    let Listener { tcp: listener, tls, surface: part } = listener.into();
    let router = surface(service.clone(), part);
    let connect = |(stream, peer, permit), drain: &watch::Receiver<bool>| {
        let (tls, router, config, drain) = (tls.clone(), router.clone(), service.config().clone(), drain.clone());
        async move {
            // A token is a small write that must not wait for another.
            if let Err(error) = TcpStream::set_nodelay(&stream, true) {
                tracing::debug!(%error, "TCP_NODELAY was not set");
            }
            let stream = WriteTimeout::new(stream, config.write_timeout);
            match tls {
                None => connection(stream, peer, permit, router, config, drain).await,
                // Whoever opens a connection and does not shake hands holds a place no longer than one who sends no request.
                Some(tls) => match timeout(config.header_timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, peer, permit, router, config, drain).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        }
    };
    let permits = Arc::new(Semaphore::new(service.config().max_connections.min(Semaphore::MAX_PERMITS)));
    let (draining, drain) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &permits) => {
                connections.spawn(connect(accepted, &drain));
            }
        }
    }
    service.begin_shutdown();
    draining.send_replace(true);
    // Connections that come now can only be told that it is over; nobody waits for them.
    let mut late = JoinSet::new();
    let mut grace = pin!(sleep(service.config().grace));
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            () = service.background().idle(), if connections.is_empty() => return Drained { cut: 0 },
            () = &mut grace => {
                service.background().stop().await;
                return Drained { cut: connections.len() };
            }
            Some(_) = late.join_next() => {}
            accepted = accept(&listener, &permits) => {
                late.spawn(connect(accepted, &drain));
            }
        }
    }
}

/// The next connection, once there is room for one.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    // The semaphore is never closed; should it be, nothing more is accepted.
    let Ok(permit) = permits.clone().acquire_owned().await else { std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection to its end.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
    router: Router,
    config: Config,
    mut drain: watch::Receiver<bool>,
) {
    let is_late = *drain.borrow();
    let router = TowerToHyperService::new(router);
    let trusted_proxies = config.trusted_proxies;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = client_address::of(peer, request.headers(), &trusted_proxies);
        request.extensions_mut().insert(client);
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .keep_alive(!is_late)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = if is_late {
        connection.await
    } else {
        tokio::select! {
            result = connection.as_mut() => result,
            // The value's lock must not be held across the wait below, so only the fact is kept.
            () = async { drop(drain.wait_for(|draining| *draining).await) } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = result {
        // Clients leave all the time; what a request came to is in its own line.
        tracing::debug!(%error, "a connection ended early");
    }
}
