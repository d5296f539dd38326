//! Address of the client behind trusted proxies, and the network by which clients are counted.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::web;

use crate::exposure::{Exposure, masked};

/// Prefix length of the IPv6 network of one customer, who may choose the remaining bits freely.
const IPV6_NETWORK_BITS: u8 = 64;

/// Returns the address of the client that sent the request, also behind trusted proxies; `None`
/// if the connection has no peer address.
pub(crate) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let exposure = request.app_data::<web::Data<Exposure>>();
    Some(match exposure {
        Some(exposure) => exposure
            .trusted_proxies()
            .client_of(peer, request.headers()),
        None => peer.to_canonical(),
    })
}

/// Returns the address by which a client is counted: the /64 network of an IPv6 address, the IPv4
/// address of an IPv4-mapped one.
pub(crate) fn client_network(address: IpAddr) -> IpAddr {
    masked(address.to_canonical(), IPV6_NETWORK_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_of_one_customer_are_counted_as_one() {
        for (address, expected) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(client_network(ip(address)), ip(expected));
        }
        assert_ne!(client_network(ip("2001:db8:1:3::1")), ip("2001:db8:1:2::"));
    }
}
