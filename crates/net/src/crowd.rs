//! Who makes room for a newcomer: somebody out of the most crowded source, never a lone peer while
//! there is a crowd.
//!
//! A source is a network of the size that one party gets: /24 of IPv4, /64 of IPv6. Where no such
//! network is crowded, larger ones are looked at, for a party may have many: one counts as a crowd
//! when it holds many times more. Within, the most crowded part of it pays, down to the address, and
//! there one of those who have said something, or of those who have not, whichever are more: who shares
//! an address with a crowd does not behave like it. Among equals the lot decides.
//!
//! Everything takes the same time however many there are.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The members, and where they come from.
#[derive(Debug)]
pub struct Crowd<T> {
    members: HashMap<u64, Member<T>>,
    /// The members at one address.
    at: HashMap<IpAddr, Here>,
    /// All networks of each size, the smallest first.
    sizes: [Ranking; SIZES],
    /// What each network consists of: networks of the size below, or addresses.
    parts: HashMap<Net, Ranking>,
    next: u64,
    random: Random,
}

/// Sizes of networks: /24, /16 and /8 of IPv4, /64, /48 and /32 of IPv6.
const SIZES: usize = 3;

/// A network is as bad as one of the size below it when it holds 8 times as many.
const SHIFT: usize = 3;

#[derive(Debug)]
struct Member<T> {
    ip: IpAddr,
    spoke: bool,
    /// Among those at its address who have spoken, or have not.
    place: usize,
    value: T,
}

#[derive(Debug, Default)]
struct Here {
    silent: Vec<u64>,
    spoke: Vec<u64>,
}

impl Here {
    fn list(&mut self, spoke: bool) -> &mut Vec<u64> {
        match spoke {
            true => &mut self.spoke,
            false => &mut self.silent,
        }
    }
}

/// The leading bits of addresses, IPv4 as it is mapped into IPv6, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Net(u128, u8);

/// An address and the networks that it is in, the smallest first.
fn nets(ip: IpAddr) -> [Net; SIZES + 1] {
    let (bits, lens) = match ip {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), [128, 120, 112, 104]),
        IpAddr::V6(ip) => (ip.to_bits(), [128, 64, 48, 32]),
    };
    lens.map(|len| Net(bits & (u128::MAX << (128 - len)), len))
}

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            at: HashMap::new(),
            sizes: std::array::from_fn(|_| Ranking::default()),
            parts: HashMap::new(),
            next: 0,
            random: Random(RandomState::new().hash_one(0)),
        }
    }
}

impl<T> Crowd<T> {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes a member in, under the number given. IPv4-mapped addresses are to come as IPv4.
    pub fn insert(&mut self, ip: IpAddr, value: T) -> u64 {
        let id = self.next;
        self.next += 1;
        let nets = nets(ip);
        for ((of_size, net), part) in self.sizes.iter_mut().zip(&nets[1..]).zip(nets) {
            of_size.add(*net);
            self.parts.entry(*net).or_default().add(part);
        }
        let silent = &mut self.at.entry(ip).or_default().silent;
        let place = silent.len();
        silent.push(id);
        let member = Member {
            ip,
            spoke: false,
            place,
            value,
        };
        self.members.insert(id, member);
        id
    }

    /// The member with that number.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.members.get_mut(&id).map(|member| &mut member.value)
    }

    /// The member has said something.
    pub fn spoke(&mut self, id: u64) {
        let Some(member) = self.members.get(&id).filter(|member| !member.spoke) else {
            return;
        };
        let (ip, place) = (member.ip, member.place);
        self.unlist(ip, false, place);
        let list = self.at.entry(ip).or_default().list(true);
        list.push(id);
        let place = list.len() - 1;
        if let Some(member) = self.members.get_mut(&id) {
            member.spoke = true;
            member.place = place;
        }
    }

    /// Takes a member out, if it is there still.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let Member {
            ip,
            spoke,
            place,
            value,
        } = self.members.remove(&id)?;
        self.unlist(ip, spoke, place);
        let is_empty = |here: &Here| here.silent.is_empty() && here.spoke.is_empty();
        if self.at.get(&ip).is_some_and(is_empty) {
            self.at.remove(&ip);
        }
        let nets = nets(ip);
        for ((of_size, net), part) in self.sizes.iter_mut().zip(&nets[1..]).zip(nets) {
            of_size.subtract(*net);
            if let Some(parts) = self.parts.get_mut(net) {
                parts.subtract(part);
                if parts.places.is_empty() {
                    self.parts.remove(net);
                }
            }
        }
        Some(value)
    }

    fn unlist(&mut self, ip: IpAddr, spoke: bool, place: usize) {
        let Some(here) = self.at.get_mut(&ip) else {
            return;
        };
        let list = here.list(spoke);
        if place < list.len() {
            list.swap_remove(place);
        }
        if let Some(moved) = list.get(place)
            && let Some(member) = self.members.get_mut(moved)
        {
            member.place = place;
        }
    }

    /// Takes out the one who is to make room.
    pub fn make_room(&mut self) -> Option<T> {
        let id = self.draw(None)?;
        self.remove(id)
    }

    /// The same for `newcomer`, who has just been taken in and is to have the time to say something,
    /// though it may come from where a crowd does.
    pub fn make_room_for(&mut self, newcomer: u64) -> Option<T> {
        let id = self.draw(Some(newcomer))?;
        self.remove(id)
    }

    fn draw(&mut self, newcomer: Option<u64>) -> Option<u64> {
        let weight = |size: &usize| self.sizes[*size].most() >> (SHIFT * size);
        // Of equally bad ones the smallest.
        let worst = (0..SIZES).rev().max_by_key(weight)?;
        let mut net = self.sizes[worst].draw(&mut self.random)?;
        for _ in 0..=worst {
            net = self.parts.get(&net)?.draw(&mut self.random)?;
        }
        let ip = std::net::Ipv6Addr::from_bits(net.0).to_canonical();
        let here = self.at.get(&ip)?;
        let list = match here.silent.len() > here.spoke.len() {
            true => &here.silent,
            false => &here.spoke,
        };
        let is_newcomer = list.len() > 1 && list.last().copied() == newcomer;
        let others = list.len() - usize::from(is_newcomer);
        list.get(self.random.below(others)).copied()
    }
}

/// Networks by how many members they have.
#[derive(Debug, Default)]
struct Ranking {
    /// How many members, and the place among those with as many.
    places: HashMap<Net, (usize, usize)>,
    /// Those with one member, with two, and so on. The last list is never empty.
    by_count: Vec<Vec<Net>>,
}

impl Ranking {
    fn most(&self) -> usize {
        self.by_count.len()
    }

    fn draw(&self, random: &mut Random) -> Option<Net> {
        let most = self.by_count.last()?;
        most.get(random.below(most.len())).copied()
    }

    fn add(&mut self, net: Net) {
        let count = self.take_out(net) + 1;
        self.put(net, count);
    }

    fn subtract(&mut self, net: Net) {
        let count = self.take_out(net).saturating_sub(1);
        self.put(net, count);
        while self.by_count.last().is_some_and(Vec::is_empty) {
            self.by_count.pop();
        }
    }

    /// How many members it had.
    fn take_out(&mut self, net: Net) -> usize {
        let Some((count, place)) = self.places.remove(&net) else {
            return 0;
        };
        if let Some(equals) = count.checked_sub(1).and_then(|n| self.by_count.get_mut(n)) {
            if place < equals.len() {
                equals.swap_remove(place);
            }
            if let Some(moved) = equals.get(place) {
                self.places.insert(*moved, (count, place));
            }
        }
        count
    }

    fn put(&mut self, net: Net, count: usize) {
        let Some(n) = count.checked_sub(1) else {
            return;
        };
        if self.by_count.len() <= n {
            self.by_count.resize_with(n + 1, Vec::new);
        }
        self.places.insert(net, (count, self.by_count[n].len()));
        self.by_count[n].push(net);
    }
}

/// Lots that nobody outside can foresee (splitmix64 from a seed that the system gave).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(a, b, c, d).into()
    }

    fn v6(net: u64, host: u64) -> IpAddr {
        Ipv6Addr::from_bits((u128::from(net) << 64) | u128::from(host)).into()
    }

    /// A crowd of `most` meets a flood; whether each of the `honest` is there at its end.
    fn stays(honest: &[IpAddr], flood: impl Iterator<Item = IpAddr>, most: usize) -> bool {
        let mut crowd = Crowd::default();
        let ids: Vec<u64> = honest.iter().map(|ip| crowd.insert(*ip, ())).collect();
        for ip in flood {
            crowd.insert(ip, ());
            while crowd.len() > most {
                crowd.make_room().unwrap();
            }
        }
        ids.iter().all(|id| crowd.get_mut(*id).is_some())
    }

    #[test]
    fn the_address_that_many_come_from_pays() {
        let near = [v4(192, 0, 2, 1), v4(192, 0, 2, 1), v4(192, 0, 2, 3)];
        let far = [v4(198, 51, 100, 1), v6(1, 1)];
        let honest = [near.as_slice(), &far].concat();
        let flood = std::iter::repeat_n(v4(192, 0, 2, 2), 20_000);
        assert!(stays(&honest, flood, 64));
    }

    #[test]
    fn a_network_with_many_addresses_is_one_crowd() {
        let honest = [v4(198, 51, 100, 1), v4(198, 51, 100, 1), v6(5, 1), v6(5, 2)];
        let v4s = (0..20_000).map(|n| v4(192, 0, 2, n as u8));
        assert!(stays(&honest, v4s, 512));
        let v6s = (0..20_000).map(|n| v6(9, n));
        assert!(stays(&honest, v6s, 64));
    }

    #[test]
    fn so_are_many_networks_of_one_party() {
        // A site of its own, with three connections; and its neighbour with all /64 of its /48.
        let honest = [
            v6(0x2001_0db8_0001_0001, 1),
            v6(0x2001_0db8_0001_0001, 2),
            v6(0x2001_0db8_0001_0001, 3),
        ];
        let sites = (0..20_000).map(|n| v6(0x2001_0db8_0002_0000 | (n & 0xffff), 1));
        assert!(stays(&honest, sites, 128));
        let v4s = (0..20_000).map(|n| v4(10, 9, n as u8, (n >> 8) as u8));
        assert!(stays(&[v4(192, 0, 2, 1), v4(192, 0, 2, 2)], v4s, 128));
    }

    #[test]
    fn many_lone_peers_are_no_crowd_beside_one() {
        let honest: Vec<IpAddr> = (0..100).map(|n| v4(10, n, n, 1)).collect();
        let flood = std::iter::repeat_n(v4(192, 0, 2, 2), 20_000);
        assert!(stays(&honest, flood, 120));
    }

    #[test]
    fn of_one_address_those_go_who_do_as_most() {
        for crowd_speaks in [false, true] {
            let mut crowd = Crowd::default();
            let here = v4(192, 0, 2, 2);
            for n in 0..10_000 {
                let id = crowd.insert(here, n);
                // The first that comes when all places are taken does what the others do not.
                if (n == 32) != crowd_speaks {
                    crowd.spoke(id);
                    crowd.spoke(id);
                }
                if crowd.len() > 32 {
                    assert_ne!(crowd.make_room(), Some(32));
                }
            }
        }
    }

    #[test]
    fn among_equals_the_lot_decides() {
        let mut gone = [0; 4];
        for _ in 0..400 {
            let mut crowd = Crowd::default();
            for n in 0..4 {
                crowd.insert(v4(10 + n, 0, 0, 1), usize::from(n));
            }
            gone[crowd.make_room().unwrap()] += 1;
        }
        assert!(gone.iter().all(|n| *n > 40), "{gone:?}");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u8),
        Remove(usize),
        Spoke(usize),
        MakeRoom,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4u8, 0..4u8).prop_map(|(net, host)| Step::Insert(net, host)),
            1 => (0..64usize).prop_map(Step::Remove),
            1 => (0..64usize).prop_map(Step::Spoke),
            2 => Just(Step::MakeRoom),
        ]
    }

    proptest! {
        /// Whatever happens, it is known who is there, and who goes is of the most crowded network.
        #[test]
        fn who_makes_room_is_of_the_crowd(steps in proptest::collection::vec(step(), 0..200)) {
            let mut crowd = Crowd::default();
            let mut there: Vec<(u64, IpAddr)> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(net, host) => {
                        let ip = match net {
                            0 => v6(7, u64::from(host)),
                            net => v4(10 * net, 0, 0, host),
                        };
                        there.push((crowd.insert(ip, ip), ip));
                    }
                    Step::Remove(n) if n < there.len() => {
                        let (id, ip) = there.swap_remove(n);
                        prop_assert_eq!(crowd.remove(id), Some(ip));
                        prop_assert_eq!(crowd.remove(id), None);
                    }
                    Step::Spoke(n) if n < there.len() => crowd.spoke(there[n].0),
                    Step::MakeRoom => {
                        let at = |net: Net| there.iter().filter(|(_, ip)| nets(*ip)[1] == net).count();
                        let most = there.iter().map(|(_, ip)| at(nets(*ip)[1])).max();
                        let gone = crowd.make_room();
                        prop_assert_eq!(gone.map(|ip| at(nets(ip)[1])), most);
                        there.retain(|(id, _)| crowd.get_mut(*id).is_some());
                    }
                    Step::Remove(_) | Step::Spoke(_) => {}
                }
                prop_assert_eq!(crowd.len(), there.len());
            }
            for (id, _) in there {
                crowd.remove(id).unwrap();
            }
            prop_assert!(crowd.is_empty() && crowd.at.is_empty() && crowd.parts.is_empty());
            prop_assert!(crowd.sizes.iter().all(|ranking| ranking.most() == 0));
        }
    }
}
