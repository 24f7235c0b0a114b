//! Who is at the other end, when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Each proxy adds the address that it was asked from at the end.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the peer's own, unless the peer is a trusted proxy. Then the last address that `X-Forwarded-For` names
/// and that is not one of a trusted proxy, for whatever stands before it may be invented.
///
/// An address that a proxy names comes without a port, or with one that is of no use, and has port 0.
pub(super) fn of(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    let mut client = peer;
    let lines: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let mut named = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while is_trusted(client.ip()) {
        match named.next().and_then(|entry| parse(entry.trim())) {
            Some(address) => client = SocketAddr::new(address, 0),
            None => break,
        }
    }
    client
}

/// An address, perhaps in brackets, perhaps with a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], client: &str) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let found = of(SocketAddr::new(peer.parse().unwrap(), 4711), &headers, &trusted);
        assert_eq!(found.ip().to_string(), client, "{peer} said {forwarded:?}");
    }

    #[test]
    fn only_what_a_trusted_proxy_says_counts() {
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("fd00::1", &["2001:db8::5"], "2001:db8::5");
    }

    #[test]
    fn what_the_client_invented_does_not_count() {
        check("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["127.0.0.1", "198.51.100.1, 10.2.3.4"], "198.51.100.1");
    }

    #[test]
    fn where_the_list_ends_or_makes_no_sense_the_proxy_itself_stands() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["10.2.3.4"], "10.2.3.4");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, unknown, 10.2.3.4"], "10.2.3.4");
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        check("10.0.0.1", &["198.51.100.1:8080"], "198.51.100.1");
        check("10.0.0.1", &["[2001:db8::5]"], "2001:db8::5");
        check("10.0.0.1", &["[2001:db8::5]:8080"], "2001:db8::5");
    }
}
