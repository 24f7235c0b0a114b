//! The addresses that a server answers at.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use gateway::{Listener, Surface};
use tokio::net::TcpListener;

use crate::config::Edge;

/// Bound addresses; connections wait there until they are served.
pub struct Listeners {
    /// All of them.
    pub all: Vec<Listener>,
    /// Where the public API answers.
    pub public: SocketAddr,
    /// Where administration alone answers, if that is another address.
    pub admin: Option<SocketAddr>,
    /// Where commands on this machine find everything without TLS.
    pub local: SocketAddr,
}

impl Listeners {
    /// Binds what the settings name. A certificate is seldom made out for this machine's own names, and an address for
    /// administration answers nothing else: in both cases local commands get a port of their own on the loopback interface.
    pub async fn bind(edge: &Edge) -> Result<Self> {
        let (listener, public) = bind(edge, edge.listen, "--listen").await?;
        let mut all = Vec::new();
        let mut admin = None;
        match edge.admin_listen {
            None => all.push(listener),
            Some(address) => {
                let (other, bound) = bind(edge, address, "--admin-listen").await?;
                all.push(listener.with_surface(Surface::Public));
                all.push(other.with_surface(Surface::Administration));
                admin = Some(bound);
            }
        }
        let mut local = public;
        if edge.admin_listen.is_some() || edge.certificate.is_some() {
            let tcp =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening for commands on this machine")?;
            local = tcp.local_addr().context("asking for the address that was bound")?;
            all.push(tcp.into());
        }
        Ok(Self { all, public, admin, local })
    }
}

async fn bind(edge: &Edge, address: SocketAddr, flag: &str) -> Result<(Listener, SocketAddr)> {
    let tcp = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}; choose another address with {flag}"))?;
    let bound = tcp.local_addr().context("asking for the address that was bound")?;
    let listener = Listener::from(tcp);
    Ok(match &edge.certificate {
        Some(certificate) => (listener.with_tls(certificate).context("setting TLS up")?, bound),
        None => (listener, bound),
    })
}
