//! Which addresses a pull may connect to: those of the public internet.
//!
//! A URL is a request that this machine makes for somebody else, who must not reach through it what only this machine
//! can reach: its own services, its network, the metadata service of its cloud. The check is made on the addresses that
//! are then connected to, so a name cannot resolve to something else a moment later. Behind a proxy only the proxy sees
//! those addresses, and the check is the proxy's.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is in the public internet. The ranges are those of the IANA registries of special-purpose addresses
/// (RFC 6890 and its successors), multicast, and the one public address that a cloud uses for its metadata.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: &[([u8; 4], u32)] = &[
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10), // shared by the customers of a provider
        ([127, 0, 0, 0], 8),
        ([168, 63, 129, 16], 32), // Azure's platform service
        ([169, 254, 0, 0], 16),   // link-local, and most metadata services
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 3), // multicast, reserved, broadcast
    ];
    let bits = address.to_bits();
    !SPECIAL.iter().any(|(network, length)| (bits ^ u32::from_be_bytes(*network)) >> (32 - length) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let within = |network: Ipv6Addr, length: u32| (bits ^ network.to_bits()) >> (128 - length) == 0;
    let last_v4 = || Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).expect("masked to 32 bits"));
    // Addresses that stand for an IPv4 address are as public as that one.
    if within(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)
        || within(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)
    {
        return is_public_v4(last_v4());
    }
    let global = within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    let special = within(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23) // protocol assignments, Teredo among them
        || within(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32)
        || within(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16) // 6to4: an IPv4 address in disguise
        || within(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20);
    global && !special
}

/// A resolver that leaves out every address that is not public.
pub(crate) struct PublicOnly {
    /// Hosts of the proxies of this machine: the operator chose them, and they are private nearly always.
    pub(crate) proxies: Vec<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(name.as_str()));
        Box::pin(async move {
            // The port is replaced by that of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> =
                found.iter().copied().filter(|address| is_proxy || is_public(address.ip())).collect();
            match (found.first(), public.is_empty()) {
                (Some(address), true) => Err(refused(address.ip()).into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// The error of an address that is not public.
pub(crate) fn refused(address: IpAddr) -> io::Error {
    let text = format!("{address} is an address of this machine or of a private network, which a download may not use");
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        let special = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255 \
                       168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 \
                       198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 \
                       ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 fc00::1 fd00:ec2::254 \
                       fe80::1 fec0::1 ff02::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1 4000::1";
        for text in special.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
                      168.63.129.17 169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 \
                      198.17.255.255 198.20.0.0 223.255.255.255 ::ffff:1.1.1.1 64:ff9b::8.8.8.8 2606:4700::1111 2a00::1 \
                      2001:4860:4860::8888";
        for text in public.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused_unless_it_is_the_proxy() {
        let name = || "localhost".parse::<Name>().unwrap();
        let guarded = PublicOnly { proxies: Vec::new() };
        assert!(guarded.resolve(name()).await.is_err_and(|error| error.to_string().contains("private network")));
        let proxied = PublicOnly { proxies: vec!["LOCALHOST".to_owned()] };
        assert!(proxied.resolve(name()).await.is_ok_and(|mut addresses| addresses.next().is_some()));
    }
}
