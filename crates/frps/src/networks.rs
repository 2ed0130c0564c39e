//! Is an address of one of many networks? Ranges in order, so that a list of a hundred thousand costs no more
//! than a few steps.

use std::net::IpAddr;

use frp_proto::network::Network;

/// Networks, of each family by itself: ranges that do not overlap, the lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Whether `ip` is of one of them. An IPv4-mapped IPv6 address counts as IPv4.
    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => is_within(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_within(&self.v6, ip.to_bits()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let mut this = Self::default();
        for network in networks {
            match network.range() {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    this.v4.push((first.to_bits(), last.to_bits()));
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    this.v6.push((first.to_bits(), last.to_bits()));
                }
                _ => {}
            }
        }
        merge(&mut this.v4);
        merge(&mut this.v6);
        this
    }
}

fn is_within<T: Ord + Copy>(ranges: &[(T, T)], ip: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= ip);
    let before = behind.checked_sub(1).and_then(|at| ranges.get(at));
    before.is_some_and(|(_, last)| ip <= *last)
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
    ranges.shrink_to_fit();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        /// Of however many networks an address is, that is known.
        #[test]
        fn many_networks_are_what_each_of_them_is(
            nets in proptest::collection::vec((any::<bool>(), any::<u16>(), 0..=32u8), 0..40),
            asked in proptest::collection::vec((any::<bool>(), any::<u32>()), 1..40),
        ) {
            let ip = |v6: bool, bits: u32| -> IpAddr {
                match v6 {
                    false => std::net::Ipv4Addr::from_bits(bits).into(),
                    true => std::net::Ipv6Addr::from_bits(u128::from(bits) << 96).into(),
                }
            };
            let nets: Vec<Network> = nets.into_iter().map(|(v6, bits, prefix)| {
                format!("{}/{prefix}", ip(v6, u32::from(bits) << 16)).parse().unwrap()
            }).collect();
            let all: Networks = nets.iter().copied().collect();
            for (v6, bits) in asked {
                let ip = ip(v6, bits);
                let expected = nets.iter().any(|net| net.contains(ip));
                prop_assert_eq!(all.contain(ip), expected, "{}", ip);
            }
        }
    }
}
