//! Which addresses that a peer names may be sent to? Whoever names an address has others send there; so
//! it must be one that a datagram of a stranger does no harm at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whether datagrams may go to `addr` because a peer has named it. `parties` are the addresses from
/// which those who take part have reached the server, as it sees them, or its own: an address of one
/// machine or one link alone is meant where all of them are on that.
pub fn may_be_sent_to(addr: SocketAddr, parties: &[IpAddr]) -> bool {
    let ip = addr.ip().to_canonical();
    let all = |is_there: fn(IpAddr) -> bool| {
        !parties.is_empty() && parties.iter().all(|party| is_there(party.to_canonical()))
    };
    match ip {
        _ if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() => false,
        _ if ip.is_loopback() => all(|party| party.is_loopback()),
        _ if is_link_local(ip) => all(is_link_local),
        IpAddr::V4(ip) => !is_nobodys(ip),
        // Nor an address of IPv4 in another form, behind which all of the above may stand: compatible ones (RFC
        // 4291, section 2.5.5), NAT64 (RFC 6052) and 6to4 (RFC 3056).
        IpAddr::V6(ip) => !matches!(
            ip.segments(),
            [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, ..] | [0x2002, ..]
        ),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// "This network", broadcast and what is reserved (RFC 6890, section 2.2.2).
fn is_nobodys(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    first == 0 || first >= 240
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_one_machine_is_that_of_the_machine_which_names_it() {
        let far = ["192.0.2.1"];
        let near = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];
        let link = ["169.254.1.2", "fe80::7"];
        let mixed = ["127.0.0.1", "192.0.2.1"];
        for (addr, by_far, by_near, by_link) in [
            ("198.51.100.7:9", true, true, true),
            ("10.0.0.1:9", true, true, true),
            ("100.64.0.1:9", true, true, true),
            ("[2001:db8::1]:9", true, true, true),
            ("[fd00::1]:9", true, true, true),
            ("127.0.0.1:9", false, true, false),
            ("127.8.8.8:9", false, true, false),
            ("[::1]:9", false, true, false),
            ("[::ffff:127.0.0.1]:9", false, true, false),
            ("169.254.169.254:80", false, false, true),
            ("[fe80::1]:9", false, false, true),
            ("[::ffff:169.254.169.254]:80", false, false, true),
            ("198.51.100.7:0", false, false, false),
            ("0.0.0.0:9", false, false, false),
            ("0.1.2.3:9", false, false, false),
            ("[::]:9", false, false, false),
            ("224.0.0.1:9", false, false, false),
            ("239.255.255.250:1900", false, false, false),
            ("[ff02::1]:9", false, false, false),
            ("255.255.255.255:9", false, false, false),
            ("240.0.0.1:9", false, false, false),
            ("[::127.0.0.1]:9", false, false, false),
            ("[64:ff9b::7f00:1]:9", false, false, false),
            ("[2002:7f00:1::1]:9", false, false, false),
        ] {
            let named = addr.parse().unwrap();
            let by = |parties: &[&str]| {
                let parties: Vec<_> = parties.iter().map(|ip| ip.parse().unwrap()).collect();
                may_be_sent_to(named, &parties)
            };
            assert_eq!(by(&far), by_far, "{addr} by a far one");
            assert_eq!(by(&near), by_near, "{addr} on one machine");
            assert_eq!(by(&link), by_link, "{addr} on one link");
            assert_eq!(by(&mixed), by_far, "{addr} by both");
            assert_eq!(by(&[]), by_far, "{addr} by nobody that is known");
        }
    }
}
