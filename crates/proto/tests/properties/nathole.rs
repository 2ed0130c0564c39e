//! Direct paths: STUN answers, datagrams of a hole, what addresses say of a NAT.

use std::net::{IpAddr, SocketAddr};

use frp_proto::crypto::cfb::Key;
use frp_proto::msg::NatHoleSid;
use frp_proto::nathole::datagram::{open, seal};
use frp_proto::nathole::feature::classify;
use frp_proto::nathole::reach::may_be_sent_to;
use frp_proto::stun::{binding_request, read_answer};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_datagram_of_a_hole_is_read_by_whoever_has_the_secret(
        secret in vec(any::<u8>(), 0..20),
        iv in any::<[u8; 16]>(),
        (transaction_id, sid, nonce) in ("\\PC{0,30}", "\\PC{0,30}", "0{0,19}"),
        response in any::<bool>(),
    ) {
        let key = Key::derive(&secret);
        let message = NatHoleSid { transaction_id, sid, response, nonce, ..NatHoleSid::default() };
        let sealed = seal(&message, &key, iv).unwrap();
        prop_assert_eq!(open(&sealed, &key).unwrap(), message);
    }

    #[test]
    fn any_datagram_is_read_or_refused(
        bytes in vec(any::<u8>(), 0..100),
        id in any::<[u8; 12]>(),
        attributes in vec((any::<u16>(), vec(any::<u8>(), 0..24)), 0..5),
        kind in prop_oneof![Just(0x101_u16), Just(0x111)],
    ) {
        let _ = open(&bytes, &Key::derive(b"abc"));
        let _ = read_answer(&bytes, &id);
        let body: Vec<u8> = attributes
            .iter()
            .flat_map(|(kind, value)| {
                let length = u16::try_from(value.len()).unwrap();
                [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
            })
            .collect();
        let length = u16::try_from(body.len()).unwrap();
        let request = binding_request(&id);
        let answer = [&kind.to_be_bytes()[..], &length.to_be_bytes(), &request[4..], &body].concat();
        prop_assert!(read_answer(&answer, &id).is_some());
        prop_assert!(read_answer(&answer, &[0; 12]).is_none() || id == [0; 12]);
    }

    #[test]
    fn what_addresses_say_does_not_depend_on_their_order(
        ports in vec(any::<u16>(), 2..6),
        own in any::<bool>(),
    ) {
        let ip: IpAddr = [198, 51, 100, 1].into();
        let addresses: Vec<_> = ports.iter().map(|port| SocketAddr::new(ip, *port)).collect();
        let reversed: Vec<_> = addresses.iter().rev().copied().collect();
        let own: Vec<IpAddr> = own.then_some(ip).into_iter().collect();
        prop_assert_eq!(classify(&addresses, &own), classify(&reversed, &own));
    }

    #[test]
    fn nobody_names_an_address_that_is_not_one_machines_on_the_net(
        ip in any::<IpAddr>(),
        port in any::<u16>(),
    ) {
        let far: IpAddr = [203, 0, 113, 1].into();
        let ip = ip.to_canonical();
        if may_be_sent_to(SocketAddr::new(ip, port), &[far]) {
            prop_assert!(port > 0 && !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified());
        }
    }
}
