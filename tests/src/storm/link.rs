//! A way within one program, by TCP or UDP, that flaps as it is told.
//!
//! It needs no time of its own, so it goes with a clock that stands still while nobody waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::service::Service;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// All of it arrives.
    Everything,
    /// Nothing does; by TCP it arrives later, if there is a later.
    Nothing,
    /// By UDP some is lost, some arrives late and some twice; by TCP as [`Passes::Everything`].
    Some,
}

/// What happens to the connections that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends are told.
    Told,
    /// The client is told, and the server hears nothing more.
    HalfOpen,
    /// Neither hears anything more. By UDP the client has another port from now on.
    Forgotten,
}

/// A way from a port of its own to one of 127.0.0.1.
#[derive(Debug)]
pub struct Link {
    /// Its port.
    pub port: u16,
    state: watch::Sender<State>,
    /// One of these carries it.
    _carriers: (Option<Service>, Option<Task>),
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

#[derive(Clone, Copy, Debug)]
struct State {
    passes: Passes,
    /// How many breaks there were, and the last of them.
    breaks: (u64, Break),
}

impl Link {
    /// One by TCP.
    pub async fn tcp(target: u16) -> Self {
        let (state, states) = watch::channel(State::new());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let service = Service::on(listener, move |near, _| {
            let states = states.clone();
            async move {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                    let _ = far.set_nodelay(true);
                    carry(near, far, states).await;
                }
            }
        });
        Self {
            port: service.port,
            state,
            _carriers: (Some(service), None),
        }
    }

    /// One by UDP.
    pub async fn udp(target: u16) -> Self {
        let (state, states) = watch::channel(State::new());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(forward(Arc::new(socket), target, states));
        Self {
            port,
            state,
            _carriers: (None, Some(Task(task))),
        }
    }

    /// From now on it is so.
    pub fn set(&self, passes: Passes) {
        self.state.send_modify(|state| state.passes = passes);
    }

    /// Breaks the connections that there are; others pass.
    pub fn break_off(&self, how: Break) {
        self.state
            .send_modify(|state| state.breaks = (state.breaks.0 + 1, how));
    }
}

impl State {
    fn new() -> Self {
        Self {
            passes: Passes::Everything,
            breaks: (0, Break::Told),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Carries one connection until its end, or until it is broken.
async fn carry(mut near: TcpStream, mut far: TcpStream, mut states: watch::Receiver<State>) {
    let count = states.borrow_and_update().breaks.0;
    let both = {
        let (near_reader, near_writer) = near.split();
        let (far_reader, far_writer) = far.split();
        let (there, back) = (states.clone(), states.clone());
        let pumps = async {
            tokio::try_join!(
                pump(near_reader, far_writer, there),
                pump(far_reader, near_writer, back)
            )
        };
        let broken = states.wait_for(|state| state.breaks.0 != count);
        tokio::select! {
            ended = pumps => match ended {
                Ok(_) => return,
                Err(_) => Break::Told,
            },
            state = broken => match state {
                Ok(state) => state.breaks.1,
                Err(_) => return,
            },
        }
    };
    match both {
        Break::Told => {
            let _ = (near.set_zero_linger(), far.set_zero_linger());
        }
        Break::HalfOpen => {
            let _ = near.set_zero_linger();
            drop(near);
            swallow(far).await;
        }
        Break::Forgotten => {
            tokio::join!(swallow(near), swallow(far));
        }
    }
}

/// A peer that answers nothing is given up by the system after this time: probes begin after 15 s, and nine get no
/// answer. It has another clock, so it is done here.
const NO_ANSWER: Duration = Duration::from_secs(150);

/// Hears all and says nothing, until the other end has had enough.
async fn swallow(mut end: TcpStream) {
    let mut nowhere = tokio::io::sink();
    let _ = timeout(NO_ANSWER, tokio::io::copy(&mut end, &mut nowhere)).await;
    let _ = end.set_zero_linger();
}

async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut states: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = reader.read(&mut buffer).await?;
        let passes = states.wait_for(|state| state.passes != Passes::Nothing);
        if passes.await.is_err() {
            return Err(std::io::ErrorKind::NotConnected.into());
        }
        if n == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..n]).await?;
    }
}

/// Of a thousand datagrams of a way that lets some pass.
const LOST: u64 = 50;
const LATE: u64 = 50;
const TWICE: u64 = 30;

/// How much later a late one is.
const LATER: Duration = Duration::from_millis(30);

/// Carries datagrams, for each client from a socket of its own.
async fn forward(inside: Arc<UdpSocket>, target: u16, mut states: watch::Receiver<State>) {
    let mut outside: HashMap<SocketAddr, (Arc<UdpSocket>, Task)> = HashMap::new();
    let lottery = Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15_u64));
    let mut late = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    let mut count = 0;
    loop {
        let Ok((n, client)) = inside.recv_from(&mut datagram).await else {
            continue;
        };
        let breaks = states.borrow_and_update().breaks.0;
        if breaks != count {
            count = breaks;
            outside.clear();
        }
        let socket = match outside.entry(client) {
            Entry::Occupied(known) => known.get().0.clone(),
            Entry::Vacant(new) => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                socket.connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
                let socket = Arc::new(socket);
                let back = answers(socket.clone(), inside.clone(), client, states.clone());
                new.insert((socket.clone(), Task(tokio::spawn(back))));
                socket
            }
        };
        let passes = states.borrow().passes;
        for wait in copies(passes, &lottery) {
            if wait.is_zero() {
                let _ = socket.send(&datagram[..n]).await;
                continue;
            }
            let (socket, content) = (socket.clone(), datagram[..n].to_vec());
            late.spawn(async move {
                sleep(wait).await;
                let _ = socket.send(&content).await;
            });
        }
        while late.try_join_next().is_some() {}
    }
}

async fn answers(
    outside: Arc<UdpSocket>,
    inside: Arc<UdpSocket>,
    client: SocketAddr,
    states: watch::Receiver<State>,
) {
    let lottery = Arc::new(Mutex::new(u64::from(client.port()) | 1));
    let mut datagram = vec![0; 65_536];
    let mut late = JoinSet::new();
    loop {
        // An error is a target that is not there now.
        let Ok(n) = outside.recv(&mut datagram).await else {
            continue;
        };
        let passes = states.borrow().passes;
        for wait in copies(passes, &lottery) {
            if wait.is_zero() {
                let _ = inside.send_to(&datagram[..n], client).await;
                continue;
            }
            let (inside, content) = (inside.clone(), datagram[..n].to_vec());
            late.spawn(async move {
                sleep(wait).await;
                let _ = inside.send_to(&content, client).await;
            });
        }
        while late.try_join_next().is_some() {}
    }
}

/// After how long each copy of a datagram arrives.
fn copies(passes: Passes, lottery: &Mutex<u64>) -> Vec<Duration> {
    match passes {
        Passes::Everything => return vec![Duration::ZERO],
        Passes::Nothing => return Vec::new(),
        Passes::Some => {}
    }
    let mut lottery = lottery.lock().unwrap();
    let mut is_one = |of_1000: u64| {
        *lottery ^= *lottery << 13;
        *lottery ^= *lottery >> 7;
        *lottery ^= *lottery << 17;
        *lottery % 1000 < of_1000
    };
    if is_one(LOST) {
        return Vec::new();
    }
    let wait = if is_one(LATE) { LATER } else { Duration::ZERO };
    let times = if is_one(TWICE) { 2 } else { 1 };
    vec![wait; times]
}
