//! How does a client come in that lives in this program? By a connection in memory, and then like any
//! other: it greets, logs in and registers. There is no socket, no TLS and no cipher, and it has no place
//! among the strangers.

use std::net::SocketAddr;
use std::sync::Arc;

use frp_net::carrier::{Arrivals, Carrier};
use frp_net::memory;

use crate::dispatch;
use crate::shared::Shared;

/// Takes clients in, as long as the server runs.
#[derive(Debug, Clone)]
pub struct Inside {
    shared: Arc<Shared>,
}

impl Inside {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        let shared = shared.clone();
        Self { shared }
    }

    /// A connection for a client, which opens its control stream and its work connections on it, says
    /// `Login` and `NewWorkConn` there as frpc does, and puts no cipher over what follows the login.
    /// `peer` is for whom the client acts: that is its address in the log and in the API.
    ///
    /// It ends with the server, or when nobody logs in on it.
    pub fn attach(&self, peer: SocketAddr) -> Carrier {
        let (client, (server, arrivals)) = memory::connection();
        let shared = &self.shared;
        let streams = Arrivals::Memory(arrivals);
        let entering = dispatch::enter_inside(shared.clone(), server, streams, peer);
        let thread = shared.threads.next();
        shared.tasks.spawn_on(entering, thread.handle());
        Carrier::Memory(client)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use bytes::BytesMut;
    use frp_config::{LoadOptions, Purpose, parse_server};
    use frp_net::listen::listen;
    use frp_net::stream::Stream;
    use frp_proto::auth::token_key;
    use frp_proto::msg::{Login, Message, NewProxy, NewWorkConn};
    use frp_proto::wire::WireProtocol;
    use frp_relay::msg_stream::MsgStream;
    use frp_relay::relay::{Traffic, serve};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::{Server, Stop};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Where the client acts for somebody.
    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 22);

    fn start(stop: &Stop) -> (Inside, JoinHandle<()>) {
        // TLS and a token are what others have to have.
        let text =
            "bindAddr = \"127.0.0.1\"\ntransport.tls.force = true\nauth.token = \"secret\"\n";
        for _ in 0..5 {
            let loaded = parse_server(text, "frps.toml", &LoadOptions::new(Purpose::Run));
            let mut settings = loaded.unwrap().settings;
            settings.bind_port = listen("127.0.0.1", 0).unwrap().local_addr().unwrap().port();
            let Ok(server) = Server::bind(settings, None) else {
                continue;
            };
            let inside = server.inside();
            return (inside, tokio::spawn(server.run(stop.clone())));
        }
        panic!("no free port five times");
    }

    async fn say(conn: &mut MsgStream<Stream>, message: impl Into<Message>) {
        conn.queue(&message.into()).unwrap();
        conn.flush_within(PATIENCE).await.unwrap();
    }

    async fn heard(conn: &mut MsgStream<Stream>) -> Message {
        timeout(PATIENCE, conn.recv()).await.unwrap().unwrap()
    }

    async fn open(carrier: &Carrier) -> MsgStream<Stream> {
        let stream = carrier.open().await.unwrap();
        MsgStream::new(stream, WireProtocol::V1, BytesMut::new())
    }

    async fn log_in(carrier: &Carrier, token: &str) -> (MsgStream<Stream>, String) {
        let mut control = open(carrier).await;
        let login = Login {
            run_id: "inside".to_owned(),
            privilege_key: token_key(token, 0),
            pool_count: 1,
            ..Login::default()
        };
        say(&mut control, login).await;
        match heard(&mut control).await {
            Message::LoginResp(answer) => (control, answer.error),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_client_in_memory_logs_in_registers_and_serves_a_user() {
        let stop = Stop::new();
        let (inside, server) = start(&stop);
        let carrier = inside.attach(PEER);
        let (mut control, error) = log_in(&carrier, "secret").await;
        assert_eq!(error, "");
        let new = NewProxy {
            proxy_name: "web".to_owned(),
            proxy_type: "tcp".to_owned(),
            ..NewProxy::default()
        };
        say(&mut control, new).await;
        let (mut port, mut asked) = (None, false);
        while port.is_none() || !asked {
            match heard(&mut control).await {
                Message::NewProxyResp(answer) => {
                    assert_eq!(answer.error, "");
                    let (_, number) = answer.remote_addr.rsplit_once(':').unwrap();
                    port = Some(number.parse().unwrap());
                }
                Message::ReqWorkConn(_) => asked = true,
                other => panic!("{other:?}"),
            }
        }
        let mut work = open(&carrier).await;
        let new = NewWorkConn {
            run_id: "inside".to_owned(),
            ..NewWorkConn::default()
        };
        say(&mut work, new).await;

        let mut user = TcpStream::connect((Ipv4Addr::LOCALHOST, port.unwrap()))
            .await
            .unwrap();
        user.write_all(b"question").await.unwrap();
        match heard(&mut work).await {
            Message::StartWorkConn(started) => assert_eq!(started.proxy_name, "web"),
            other => panic!("{other:?}"),
        }
        // The service is what frpc's would be, and the relay the same.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut service = listener.accept().await.unwrap().0;
        let (stream, rest) = work.into_parts();
        let served = tokio::spawn(async move {
            let far = frp_relay::layers::Carried::Plain {
                stream,
                leftover: rest,
            };
            serve(near, far, &Traffic::default()).await
        });
        let mut heard = [0; 8];
        timeout(PATIENCE, service.read_exact(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&heard, b"question");
        let answer: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
        let answering = async {
            service.write_all(&answer).await.unwrap();
            service.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let reading = async { user.read_to_end(&mut got).await };
        let both = async { tokio::join!(answering, reading) };
        timeout(PATIENCE, both).await.unwrap().1.unwrap();
        assert!(got == answer);
        drop(user);
        timeout(PATIENCE, served)
            .await
            .unwrap()
            .unwrap()
            .end
            .unwrap();

        stop.now();
        timeout(PATIENCE, server).await.unwrap().unwrap();
        timeout(PATIENCE, carrier.closed()).await.unwrap();
    }

    #[tokio::test]
    async fn being_inside_is_no_token() {
        let stop = Stop::new();
        let (inside, server) = start(&stop);
        let (_, error) = log_in(&inside.attach(PEER), "wrong").await;
        assert!(error.contains("token"), "{error}");
        stop.now();
        timeout(PATIENCE, server).await.unwrap().unwrap();
    }
}
