//! A UDP relay that loses some of what it carries.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A port of 127.0.0.1 that leads to another one, not always. Ends when dropped.
#[derive(Debug)]
pub struct LossyRelay {
    /// Where clients send to.
    pub port: u16,
    _tasks: JoinSet<()>,
}

/// What happens to datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// So many of 1000 are lost, in either direction.
    pub per_mille: u64,
    /// The others take this long.
    pub delay: Duration,
}

impl LossyRelay {
    /// To `target` of 127.0.0.1. What is lost follows from the number of the datagram alone.
    pub async fn to(target: u16, loss: Loss) -> Self {
        let inside = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let port = inside.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(relay(inside, target, loss));
        Self {
            port,
            _tasks: tasks,
        }
    }
}

async fn relay(inside: Arc<UdpSocket>, target: u16, loss: Loss) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut lottery = Lottery(0x9e37_79b9);
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((n, client)) = inside.recv_from(&mut datagram).await else {
            continue;
        };
        let outside = match clients.get(&client) {
            Some(outside) => outside.clone(),
            None => {
                let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                outside
                    .connect((Ipv4Addr::LOCALHOST, target))
                    .await
                    .unwrap();
                let outside = Arc::new(outside);
                clients.insert(client, outside.clone());
                answers.spawn(answer(outside.clone(), inside.clone(), client, loss));
                outside
            }
        };
        if lottery.loses(loss) {
            continue;
        }
        let content = datagram[..n].to_vec();
        let at = Instant::now() + loss.delay;
        answers.spawn(async move {
            sleep_until(at).await;
            let _ = outside.send(&content).await;
        });
        while answers.try_join_next().is_some() {}
    }
}

async fn answer(outside: Arc<UdpSocket>, inside: Arc<UdpSocket>, client: SocketAddr, loss: Loss) {
    let mut lottery = Lottery(u64::from(client.port()) | 1);
    let mut under_way = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok(n) = outside.recv(&mut datagram).await else {
            continue;
        };
        if lottery.loses(loss) {
            continue;
        }
        let (content, inside) = (datagram[..n].to_vec(), inside.clone());
        let at = Instant::now() + loss.delay;
        under_way.spawn(async move {
            sleep_until(at).await;
            let _ = inside.send_to(&content, client).await;
        });
        while under_way.try_join_next().is_some() {}
    }
}

/// xorshift64.
struct Lottery(u64);

impl Lottery {
    fn loses(&mut self, loss: Loss) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 1000 < loss.per_mille
    }
}
