//! Which addresses webhooks may be sent to. Whoever names a URL is a stranger to the network that this machine stands in.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use thiserror::Error;

/// Looks the addresses of a name up.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Lets connections be made to addresses that may be sent to, and to no other. It is asked for each connection, so a name that
/// leads elsewhere later leads nowhere.
#[derive(Clone)]
pub struct Guard {
    /// Networks that the operator lists.
    networks: Arc<[IpNet]>,
    /// Whether all public addresses may be sent to, too.
    public: bool,
    lookup: Lookup,
}

/// An address that may not be sent to. It is not named: where a name leads in here is nobody's affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the address is of this machine or of a private network, which webhooks are not sent to")]
pub struct Refused;

impl Guard {
    /// Admits public addresses and those of `networks`.
    pub fn public(networks: Arc<[IpNet]>) -> Self {
        Self { networks, public: true, lookup: Arc::new(|name| lookup(name).boxed()) }
    }

    /// Admits addresses of `networks` alone.
    pub fn listed(networks: Arc<[IpNet]>) -> Self {
        Self { public: false, ..Self::public(networks) }
    }

    /// Refuses a URL that names an address which may not be sent to.
    pub fn check_literal(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) if !self.admits(address) => Err(Refused),
            _ => Ok(()),
        }
    }

    /// An IPv4 address in the form of IPv6 is the same address.
    fn admits(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.public && catalog::is_public(address) || self.networks.iter().any(|network| network.contains(&canonical))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = (this.lookup)(name.as_str().to_owned()).await?;
            // One that is private shows what the name is for, whatever the others are.
            if found.iter().any(|address| !this.admits(address.ip())) {
                return Err(Refused.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Refused {
    /// This error, if it is one.
    pub fn of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        error.downcast_ref()
    }
}

async fn lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    // The port is replaced by that of the URL.
    Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    fn networks(list: &[&str]) -> Arc<[IpNet]> {
        list.iter().map(|network| network.parse().unwrap()).collect()
    }

    #[test]
    fn public_addresses_are_admitted_and_of_others_those_that_are_listed() {
        let none = Guard::public(networks(&[]));
        for address in ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(none.admits(address.parse().unwrap()), "{address}");
        }
        let special = "127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 192.0.2.1 \
                       255.255.255.255 ::1 :: fc00::1 fe80::1 ff02::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 \
                       64:ff9b:1::1 2001:db8::1 2002:7f00:1::";
        for address in special.split_whitespace() {
            assert!(!none.admits(address.parse().unwrap()), "{address}");
        }
        let some = Guard::public(networks(&["127.0.0.0/8", "fd00::/8"]));
        for (address, expect) in
            [("127.9.9.9", true), ("::ffff:127.0.0.1", true), ("fd00::1", true), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(some.admits(address.parse().unwrap()), expect, "{address}");
        }
        let listed = Guard::listed(networks(&["127.0.0.0/8"]));
        assert!(listed.admits("127.0.0.1".parse().unwrap()) && !listed.admits("1.1.1.1".parse().unwrap()));
    }

    #[test]
    fn addresses_in_urls_are_checked_however_they_are_written() {
        let guard = Guard::public(networks(&[]));
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://0/",
        ] {
            assert_eq!(guard.check_literal(&url.parse().unwrap()), Err(Refused), "{url}");
        }
        for url in ["https://1.1.1.1/", "https://example.org/", "https://[2606:4700::1111]:8443/x"] {
            assert_eq!(guard.check_literal(&url.parse().unwrap()), Ok(()), "{url}");
        }
    }

    /// A name that leads to an address that may be sent to when it is looked up first, and to another one afterwards.
    #[tokio::test]
    async fn a_name_that_is_rebound_to_a_private_address_leads_nowhere() {
        let [good, private] =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.2:0").await.unwrap()];
        let addresses = [good.local_addr().unwrap(), private.local_addr().unwrap()];
        let lookups = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lookups);
        let lookup: Lookup = Arc::new(move |_| {
            let turn = counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(vec![addresses[turn.min(1)]]) }.boxed()
        });
        let guard = Guard { lookup, ..Guard::listed(networks(&["127.0.0.1/32"])) };
        let client = super::super::client(guard).unwrap();
        // It is the connection that counts: nothing is ever answered.
        let first = client.post("http://rebound.example/").send();
        tokio::select! {
            accepted = good.accept() => drop(accepted.unwrap()),
            answer = first => panic!("nobody answers: {answer:?}"),
        }
        let second = client.post("http://rebound.example/").send();
        tokio::select! {
            _ = private.accept() => panic!("the private address was reached"),
            answer = second => {
                assert_eq!(super::super::reason(&answer.unwrap_err()), Refused.to_string());
            }
        }
        assert_eq!(lookups.load(Ordering::Relaxed), 2, "each connection looks the name up anew");
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_is_one_too_many() {
        let mixed = ["1.1.1.1:0", "10.0.0.1:0"].map(|address| address.parse().unwrap());
        let lookup: Lookup = Arc::new(move |_| async move { Ok(mixed.to_vec()) }.boxed());
        let guard = Guard { lookup, ..Guard::public(networks(&[])) };
        let refused = super::super::client(guard).unwrap().post("https://mixed.example/").send().await.unwrap_err();
        assert_eq!(super::super::reason(&refused), Refused.to_string());
    }
}
