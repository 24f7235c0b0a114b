//! Connections: accepted, bounded in number and time, drained at shutdown.

mod write_timeout;

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
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::sleep,
};

use crate::{Config, Service, router};
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

/// Serves until `shutdown` completes, then drains, and returns when that is done.
///
/// Draining: `/readyz` says no, requests for a model are refused with 503, idle connections are closed and running
/// answers have [`Config::grace`] to finish, those in the background included, which fail after it. The listener stays open meanwhile, so that a load balancer's probe finds
/// "not ready" and not a closed door. Dropping the future ends everything at once.
pub async fn serve(listener: TcpListener, service: Service, shutdown: impl Future<Output = ()>) -> Drained {
    let router = router(service.clone());
    let permits = Arc::new(Semaphore::new(service.config().max_connections.min(Semaphore::MAX_PERMITS)));
    let (draining, drain) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, peer, permit) = accept(&listener, &permits) => {
                connections.spawn(connection(stream, peer, permit, router.clone(), service.config().clone(), drain.clone()));
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
            (stream, peer, permit) = accept(&listener, &permits) => {
                late.spawn(connection(stream, peer, permit, router.clone(), service.config().clone(), drain.clone()));
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
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
    router: Router,
    config: Config,
    mut drain: watch::Receiver<bool>,
) {
    // A token is a small write that must not wait for another.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let is_late = *drain.borrow();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .keep_alive(!is_late)
            .serve_connection(TokioIo::new(WriteTimeout::new(stream, config.write_timeout)), service)
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
