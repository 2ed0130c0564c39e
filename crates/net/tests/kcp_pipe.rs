//! KCP pipes over loopback sockets.

#![allow(clippy::unwrap_used)]

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use frp_net::dial::DialOptions;
use frp_net::kcp::segment::{Command, split};
use frp_net::kcp::{Accepted, KcpListener, KcpStream, Stranger, connect, dial};
use frp_net::limits::MAX_KCP_UNPROVEN;
use frp_net::strangers::Strangers;
use frp_net::udp_socket::bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);

/// Strangers of a listener.
const STRANGERS: usize = 20;

struct Server {
    port: u16,
    accepted: mpsc::UnboundedReceiver<(KcpStream, Stranger)>,
    drivers: mpsc::UnboundedReceiver<JoinHandle<()>>,
    stop: CancellationToken,
}

fn serve() -> Server {
    let listener =
        KcpListener::new(bind("127.0.0.1", 0).unwrap(), Strangers::new(STRANGERS)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, accepted) = mpsc::unbounded_channel();
    let (send_driver, drivers) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    tokio::spawn(listener.run(stop.clone(), move |new: Accepted| {
        let _ = send_driver.send(tokio::spawn(new.driver.run()));
        let _ = send.send((new.stream, new.stranger));
    }));
    Server {
        port,
        accepted,
        drivers,
        stop,
    }
}

async fn client(port: u16) -> KcpStream {
    let options = DialOptions {
        timeout: LONG,
        keepalive: None,
        local_ip: None,
    };
    let (stream, driver) = dial("127.0.0.1", port, &options).await.unwrap();
    tokio::spawn(driver);
    stream
}

async fn pair(server: &mut Server) -> (KcpStream, KcpStream) {
    let mut client = client(server.port).await;
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    let (mut accepted, stranger) = server.accepted.recv().await.unwrap();
    stranger.admit();
    assert_eq!(accepted.read_u8().await.unwrap(), b'x');
    (client, accepted)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|k| ((k * k) >> 7) as u8).collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_at_once_and_each_direction_ends_by_itself() {
    let mut server = serve();
    let (client, accepted) = pair(&mut server).await;
    let data = pattern(8_000_000);
    let side = |mut stream: KcpStream, data: Vec<u8>| async move {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut got = Vec::new();
        let (read, wrote) = tokio::join!(reader.read_to_end(&mut got), async {
            writer.write_all(&data).await?;
            writer.shutdown().await
        });
        read.unwrap();
        wrote.unwrap();
        assert!(got == data);
    };
    let one = tokio::spawn(side(client, data.clone()));
    let other = tokio::spawn(side(accepted, data));
    within(async {
        one.await.unwrap();
        other.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_written_before_a_drop_arrives() {
    let mut server = serve();
    let (mut client, mut accepted) = pair(&mut server).await;
    let data = pattern(100_000);
    client.write_all(&data).await.unwrap();
    drop(client);
    let mut got = Vec::new();
    within(accepted.read_to_end(&mut got)).await.unwrap();
    assert!(got == data);
}

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let mut stream = client(port).await;
    stream.write_all(b"hello").await.unwrap();
    let _ = stream.flush().await;
    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("UDP port"), "{error}");
    let error = stream.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_address_without_a_route_is_told_with_its_network() {
    let options = DialOptions {
        timeout: LONG,
        keepalive: None,
        local_ip: Some(Ipv4Addr::LOCALHOST.into()),
    };
    // From the loopback there is no way out.
    let Err(error) = dial("192.0.2.1", 7000, &options).await else {
        panic!("dialled");
    };
    let said = error.to_string();
    assert!(
        said.starts_with("dial udp 192.0.2.1:7000: connect: "),
        "{said}"
    );
}

#[tokio::test]
async fn the_last_words_of_a_peer_that_has_gone_are_read() {
    let mut server = serve();
    let (mut client, mut accepted) = pair(&mut server).await;
    accepted.write_all(b"bye").await.unwrap();
    accepted.flush().await.unwrap();
    let mut word = [0; 1];
    within(client.read_exact(&mut word)).await.unwrap();
    // With this comes what shows that the client is there: the rest may be sent at once.
    client.write_all(b"y").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(within(accepted.read_u8()).await.unwrap(), b'y');
    server.stop.cancel();
    drop(accepted);
    // Until the client has heard that nobody is there any more.
    let gone = within(async {
        loop {
            if let Err(e) = client.write_all(b"?").await {
                return e;
            }
            let _ = client.flush().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(gone.await.kind(), io::ErrorKind::BrokenPipe);
    let mut rest = [0; 2];
    within(client.read_exact(&mut rest)).await.unwrap();
    assert_eq!([word[0], rest[0], rest[1]], *b"bye");
}

/// A segment of a peer without error correction.
fn push(conv: u32, number: u32, data: &[u8]) -> Vec<u8> {
    let mut packet = conv.to_le_bytes().to_vec();
    packet.extend([81, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend(number.to_le_bytes());
    packet.extend([0; 4]);
    packet.extend((data.len() as u32).to_le_bytes());
    packet.extend(data);
    packet
}

/// Whoever could not log in goes on sending, and acknowledges nothing.
#[tokio::test]
async fn a_stranger_that_was_let_go_does_not_stay() {
    let mut server = serve();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = (Ipv4Addr::LOCALHOST, server.port);
    socket.send_to(&push(7, 0, b"x"), target).await.unwrap();
    drop(within(server.accepted.recv()).await.unwrap());
    let mut driver = server.drivers.recv().await.unwrap();
    within(async {
        for number in 1.. {
            socket
                .send_to(&push(7, number, b"x"), target)
                .await
                .unwrap();
            let moment = Duration::from_millis(100);
            if tokio::time::timeout(moment, &mut driver).await.is_ok() {
                break;
            }
        }
    })
    .await;
}

/// A first packet that the network was late with, or that was repeated because its acknowledgement
/// was late: it must not become a second session that says what the first one has said.
#[tokio::test]
async fn what_comes_late_of_a_session_begins_none() {
    let mut server = serve();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket
        .connect((Ipv4Addr::LOCALHOST, server.port))
        .await
        .unwrap();
    let first = push(7, 0, b"x");
    socket.send(&first).await.unwrap();
    let (stream, stranger) = within(server.accepted.recv()).await.unwrap();
    stranger.admit();
    drop(stream);
    let driver = server.drivers.recv().await.unwrap();
    let bare = Bare { socket, conv: 7 };
    let acknowledging = async {
        loop {
            bare.acknowledge().await;
        }
    };
    within(async {
        tokio::select! {
            done = driver => done.unwrap(),
            () = acknowledging => {}
        }
    })
    .await;
    bare.socket.send(&first).await.unwrap();
    bare.socket.send(&push(8, 0, b"y")).await.unwrap();
    let (mut stream, _) = within(server.accepted.recv()).await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'y');
}

#[tokio::test]
async fn a_listener_that_stops_ends_its_sessions() {
    let mut server = serve();
    let (_client, mut accepted) = pair(&mut server).await;
    server.stop.cancel();
    let error = within(accepted.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

/// A client of the wire that acknowledges what is sent to it, or does not.
struct Bare {
    socket: UdpSocket,
    conv: u32,
}

impl Bare {
    async fn open(port: u16, from: u8, conv: u32) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, from), 0))
            .await
            .unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let bare = Self { socket, conv };
        bare.say(0).await;
        bare
    }

    async fn say(&self, number: u32) {
        let packet = push(self.conv, number, b"y");
        self.socket.send(&packet).await.unwrap();
    }

    /// Acknowledges the segments that come next in one packet, whatever numbers they have.
    async fn acknowledge(&self) {
        let mut datagram = [0; 2000];
        loop {
            let len = within(self.socket.recv(&mut datagram)).await.unwrap();
            let (mut rest, mut acks) = (&datagram[..len], Vec::new());
            while let Ok(Some(segment)) = split(&mut rest) {
                if segment.command == Command::Push {
                    let mut ack = push(self.conv, segment.number, b"");
                    ack[4] = 82;
                    ack[8..12].copy_from_slice(&segment.time.to_le_bytes());
                    // All before it have come: nothing is lost here.
                    let next = segment.number.wrapping_add(1);
                    ack[16..20].copy_from_slice(&next.to_le_bytes());
                    acks.extend(ack);
                }
            }
            if !acks.is_empty() {
                self.socket.send(&acks).await.unwrap();
                return;
            }
        }
    }
}

#[tokio::test]
async fn one_of_the_crowd_makes_room_and_who_has_logged_in_stays() {
    let mut server = serve();
    let (mut known, mut accepted) = pair(&mut server).await;
    let lone = Bare::open(server.port, 9, 1).await;
    lone.acknowledge().await;
    let (mut lone_stream, _lone) = within(server.accepted.recv()).await.unwrap();
    assert_eq!(within(lone_stream.read_u8()).await.unwrap(), b'y');
    let (mut crowd, mut streams) = (Vec::new(), tokio::task::JoinSet::new());
    for n in 0..STRANGERS as u32 {
        let bare = Bare::open(server.port, 2, n).await;
        bare.acknowledge().await;
        crowd.push(bare);
        let (mut stream, stranger) = within(server.accepted.recv()).await.unwrap();
        streams.spawn(async move {
            let _stranger = stranger;
            assert_eq!(stream.read_u8().await.unwrap(), b'y');
            stream.read_u8().await.unwrap_err().kind()
        });
    }
    let gone = within(streams.join_next()).await.unwrap().unwrap();
    assert_eq!(gone, io::ErrorKind::ConnectionReset);
    assert_eq!(streams.len(), STRANGERS - 1);
    lone.say(1).await;
    assert_eq!(within(lone_stream.read_u8()).await.unwrap(), b'y');
    known.write_all(b"z").await.unwrap();
    known.flush().await.unwrap();
    assert_eq!(within(accepted.read_u8()).await.unwrap(), b'z');
}

/// Whoever sends from addresses that are not its own gets no session beyond a few, and nobody else
/// loses one.
#[tokio::test]
async fn first_packets_of_nobody_take_no_place_and_an_answer_gets_one() {
    let mut server = serve();
    let mut forged = Vec::new();
    for n in 0..10 * MAX_KCP_UNPROVEN as u32 {
        forged.push(Bare::open(server.port, 2, n).await);
    }
    let honest = Bare::open(server.port, 2, 77_777).await;
    honest.acknowledge().await;
    let mut began = Vec::new();
    loop {
        let (mut stream, stranger) = within(server.accepted.recv()).await.unwrap();
        if stream.peer_addr() == honest.socket.local_addr().unwrap() {
            // Its first packet was kept.
            assert_eq!(within(stream.read_u8()).await.unwrap(), b'y');
            stranger.admit();
            honest.say(1).await;
            assert_eq!(within(stream.read_u8()).await.unwrap(), b'y');
            break;
        }
        began.push((stream, stranger));
    }
    assert_eq!(began.len(), MAX_KCP_UNPROVEN);
    // None of them has taken a place from those who are where they say.
    for (stream, _) in &mut began {
        assert_eq!(within(stream.read_u8()).await.unwrap(), b'y');
    }
}

/// What was asked of another does not do.
#[tokio::test]
async fn an_answer_to_a_question_that_was_not_asked_gets_no_session() {
    let mut server = serve();
    let mut forged = Vec::new();
    for n in 0..MAX_KCP_UNPROVEN as u32 {
        forged.push(Bare::open(server.port, 2, n).await);
        within(server.accepted.recv()).await.unwrap();
    }
    let guesser = Bare::open(server.port, 2, 5).await;
    for time in [0_u32, 1, 5, u32::MAX] {
        let mut ack = push(5, u32::MAX, b"");
        ack[4] = 82;
        ack[8..12].copy_from_slice(&time.to_le_bytes());
        guesser.socket.send(&ack).await.unwrap();
    }
    let honest = Bare::open(server.port, 3, 6).await;
    honest.acknowledge().await;
    let (stream, _) = within(server.accepted.recv()).await.unwrap();
    assert_eq!(stream.peer_addr(), honest.socket.local_addr().unwrap());
}

#[tokio::test]
async fn a_writer_waits_for_a_reader() {
    let mut server = serve();
    let (mut client, mut accepted) = pair(&mut server).await;
    let data = pattern(20_000_000);
    let sent = data.clone();
    let writing = tokio::spawn(async move {
        accepted.write_all(&sent).await.unwrap();
        accepted.shutdown().await.unwrap();
        // Kept until the client has it all.
        let _ = accepted.read_u8().await;
    });
    let mut first = vec![0; 1000];
    within(client.read_exact(&mut first)).await.unwrap();
    // The window is full long before.
    assert!(!writing.is_finished());
    let mut got = first;
    within(client.read_to_end(&mut got)).await.unwrap();
    assert!(got == data);
    drop(client);
    within(writing).await.unwrap();
}

/// Nobody listens, and nobody else is heard.
#[tokio::test]
async fn both_ends_may_begin_over_sockets_that_are_open_already() {
    let socket = async || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (ours, theirs, stranger) = (socket().await, socket().await, socket().await);
    let (us, them) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
    ours.send_to(b"punch", them).await.unwrap();
    let (mut one, driver) = connect(ours, them, 1).unwrap();
    tokio::spawn(driver);
    let (mut other, driver) = connect(theirs, us, 1).unwrap();
    tokio::spawn(driver);
    stranger.send_to(&[1; 30], us).await.unwrap();
    one.write_all(b"question").await.unwrap();
    one.flush().await.unwrap();
    let mut heard = [0; 8];
    within(other.read_exact(&mut heard)).await.unwrap();
    other.write_all(b"answer").await.unwrap();
    other.flush().await.unwrap();
    within(one.read_exact(&mut heard[..6])).await.unwrap();
    assert_eq!(&heard[..6], b"answer");
}
