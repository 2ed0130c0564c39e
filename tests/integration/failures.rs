//! What a user sees when something on the way fails, and that nothing stays behind: each case is
//! run by a crowd, after which the programs have as many descriptors as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frp_tests::clients::{read_all, until_closed, until_echoes};
use frp_tests::rig::tcp_proxy;
use frp_tests::wait::eventually_within;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

const SINGLE: &str = "transport.tcpMux = false\n";
const LINKS: [&str; 3] = [
    "",
    SINGLE,
    "transport.tcpMux = false\ntransport.tls.enable = false\n",
];

/// Users of each case. More than the descriptors that may stay for later.
const USERS: usize = 24;

/// Work connections that wait for the next users; they are no descriptors with mux.
const KEPT_READY: usize = 12;

/// Pipes that wait for the next bulk transfers between plain connections.
const KEPT_PIPES: usize = 32;

/// A service that knows how many connections it has and has had.
struct Watched {
    service: Service,
    open: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
}

impl Watched {
    async fn new<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (open, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opened, counted) = (open.clone(), seen.clone());
        let service = Service::new(move |stream| {
            let open = opened.clone();
            open.fetch_add(1, Ordering::SeqCst);
            counted.fetch_add(1, Ordering::SeqCst);
            let served = serve(stream);
            async move {
                served.await;
                open.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
        Self {
            service,
            open,
            seen,
        }
    }

    async fn has_seen(&self, users: usize) {
        eventually("the service has its users", || async {
            self.seen.load(Ordering::SeqCst) >= users
        })
        .await;
    }

    async fn is_left(&self, what: &str) {
        eventually(&format!("the service is left: {what}"), || async {
            self.open.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

/// A tunnel to a service, that has been in use before.
struct Scene {
    what: String,
    rig: Rig,
    frps: Frps,
    frpc: Program,
    port: u16,
    /// Leads to an echo.
    warm: u16,
    _echo: Service,
    at_rest: [usize; 2],
    slack: usize,
}

impl Scene {
    async fn new(link: &str, local: u16) -> Self {
        let rig = Rig::new();
        let service = Service::echo().await;
        let server = link.replace("transport.tls.enable = false\n", "");
        let frps = rig.frps(&server).await;
        let (port, warm) = (free_port(), free_port());
        let text = tcp_proxy("web", local, port, "") + &tcp_proxy("warm", service.port, warm, "");
        let frpc = rig.frpc(frps.port, &format!("{link}{text}"));
        for name in ["web", "warm"] {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        // Whatever is kept for later is there after this, a thread for each core among it.
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            drop(connect(frps.port).await);
        }
        crowd(warm, |port| async move {
            echo(port, &pattern(300_000, 1)).await
        })
        .await;
        let at_rest = at_rest(&frps, &frpc).await;
        Self {
            what: format!("link {link:?}"),
            rig,
            frps,
            frpc,
            port,
            warm,
            _echo: service,
            at_rest,
            slack: match link {
                "" => 0,
                SINGLE => KEPT_READY,
                _ => KEPT_READY + KEPT_PIPES,
            },
        }
    }

    /// Nothing is left of those who were here, and others are served.
    async fn is_as_before(&self) {
        let limit = Duration::from_secs(40);
        eventually_within(limit, &format!("{}: descriptors", self.what), || async {
            let now = [self.frps.program.open_files(), self.frpc.open_files()];
            let most = self.at_rest.map(|n| n + self.slack);
            now[0] <= most[0] && now[1] <= most[1]
        })
        .await;
        echo(self.warm, b"the next, please").await;
    }
}

/// The descriptors of both, once they do not change any more.
async fn at_rest(frps: &Frps, frpc: &Program) -> [usize; 2] {
    let (mut last, mut times) = ([0, 0], 0);
    eventually("descriptors at rest", || {
        let now = [frps.program.open_files(), frpc.open_files()];
        times = if now == last { times + 1 } else { 0 };
        last = now;
        let is_at_rest = times > 10;
        async move { is_at_rest }
    })
    .await;
    last
}

/// All users at once.
async fn crowd<F, Fut>(port: u16, user: F)
where
    F: Fn(u16) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut users = JoinSet::new();
    for _ in 0..USERS {
        users.spawn(user(port));
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
}

/// A crowd at a service, over each link.
async fn at_each_link<F, Fut>(service: &Watched, what: &str, user: F)
where
    F: Fn(u16) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    for link in LINKS {
        let scene = Scene::new(link, service.service.port).await;
        crowd(scene.port, &user).await;
        service.is_left(&format!("{what}, {}", scene.what)).await;
        scene.is_as_before().await;
    }
}

/// Closes by a reset.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

mod service {
    use super::*;

    #[tokio::test]
    async fn is_down() {
        let down = free_port();
        for link in LINKS {
            let scene = Scene::new(link, down).await;
            crowd(scene.port, |port| async move {
                // The refusal may be there before the connection is.
                if let Ok(mut user) = TcpStream::connect(("127.0.0.1", port)).await {
                    assert!(read_all(&mut user).await.is_empty());
                }
            })
            .await;
            let text = format!("connect to local service [127.0.0.1:{down}] error: ");
            scene.frpc.expect(&text).await;
            scene.is_as_before().await;
        }
    }

    /// However long it takes, the answer comes, also to those who have ended their question.
    #[tokio::test]
    async fn is_slow() {
        for link in LINKS {
            let (gate, opened) = watch::channel(false);
            let service = Watched::new(move |mut stream| {
                let mut opened = opened.clone();
                async move {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    opened.wait_for(|open| *open).await.unwrap();
                    stream.write_all(&all).await.unwrap();
                }
            })
            .await;
            let scene = Scene::new(link, service.service.port).await;
            let users = crowd(scene.port, |port| async move {
                let question = pattern(50_000, 3);
                let mut user = connect(port).await;
                user.write_all(&question).await.unwrap();
                user.shutdown().await.unwrap();
                assert!(read_all(&mut user).await == question);
            });
            tokio::join!(users, async {
                service.has_seen(USERS).await;
                gate.send(true).unwrap();
            });
            service.is_left("slow").await;
            scene.is_as_before().await;
        }
    }

    /// It answers before it has heard all, and closes: its system resets the connection.
    #[tokio::test]
    async fn closes_early() {
        let answer = pattern(20_000, 4);
        let content = answer.clone();
        let service = Watched::new(move |mut stream| {
            let content = content.clone();
            async move {
                stream.read_u8().await.unwrap();
                stream.write_all(&content).await.unwrap();
            }
        })
        .await;
        at_each_link(&service, "closed early", move |port| {
            let answer = answer.clone();
            async move {
                let (mut from, mut to) = connect(port).await.into_split();
                let sending = tokio::spawn(async move {
                    let _ = to.write_all(&pattern(500_000, 5)).await;
                    to
                });
                let mut heard = Vec::new();
                let read = from.read_to_end(&mut heard);
                let _ = within(wait::SOON, "the answer", read).await;
                assert!(heard == answer, "{} bytes", heard.len());
                let _ = sending.await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn resets() {
        let service = Watched::new(middlebox::reset).await;
        at_each_link(&service, "reset", |port| async move {
            let mut user = connect(port).await;
            user.write_all(b"hello").await.unwrap();
            assert!(read_all(&mut user).await.is_empty());
        })
        .await;
    }
}

mod user_leaves {
    use super::*;

    async fn listening() -> Watched {
        Watched::new(|mut stream| async move {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await
    }

    /// frpc never opens the work connection that the user waits for.
    #[tokio::test]
    async fn before_there_is_a_work_connection() {
        let rig = Rig::new();
        let frps = rig.frps(&format!("{SINGLE}userConnTimeout = 1\n")).await;
        let stream = connect(frps.port).await;
        let (mut control, _) = Control::login(stream, "", &json!({})).await;
        let port = free_port();
        let proxy = json!({"proxy_name": "p", "remote_port": port});
        assert_eq!(control.register(&proxy).await["error"], json!(null));
        let before = frps.program.open_files();
        crowd(port, |port| async move { drop(connect(port).await) }).await;
        crowd(port, |port| async move { reset(connect(port).await) }).await;
        eventually("all are let go", || async {
            let text = "timeout trying to get work connection";
            frps.program.log().count(text) == 2 * USERS && frps.program.open_files() <= before
        })
        .await;
        control.close_proxy("p").await;
    }

    #[tokio::test]
    async fn at_once() {
        let service = listening().await;
        at_each_link(&service, "left at once", |port| async move {
            drop(connect(port).await);
            reset(connect(port).await);
        })
        .await;
    }

    #[tokio::test]
    async fn while_it_sends() {
        let service = listening().await;
        at_each_link(&service, "left while sending", |port| async move {
            let mut user = connect(port).await;
            user.write_all(&pattern(200_000, 6)).await.unwrap();
            reset(user);
        })
        .await;
    }

    #[tokio::test]
    async fn while_it_receives() {
        let service = Watched::new(|mut stream| async move {
            while stream.write_all(&[7; 50_000]).await.is_ok() {}
        })
        .await;
        at_each_link(&service, "left while receiving", |port| async move {
            for leave in [drop, reset] {
                let mut user = connect(port).await;
                user.read_exact(&mut vec![0; 100_000]).await.unwrap();
                leave(user);
            }
        })
        .await;
    }

    /// It has ended its question, and does not stay for the answer.
    #[tokio::test]
    async fn half_closed() {
        let service = Watched::new(|mut stream| async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            while stream.write_all(&[7; 50_000]).await.is_ok() {}
        })
        .await;
        at_each_link(&service, "left half-closed", |port| async move {
            for leave in [drop, reset] {
                let mut user = connect(port).await;
                user.write_all(b"question").await.unwrap();
                user.shutdown().await.unwrap();
                user.read_exact(&mut [0; 10]).await.unwrap();
                leave(user);
            }
        })
        .await;
    }
}

mod work_connection_dies {
    use super::*;

    /// What its client does with a work connection that a user has got.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        EndsAtOnce,
        ResetAtOnce,
        EndsAfterAnAnswer,
        ResetAfterAnAnswer,
        ResetWhileTheUserSends,
        ResetWhenTheUserHasEnded,
    }

    #[tokio::test]
    async fn and_its_user_is_told() {
        let rig = Rig::new();
        let frps = rig.frps(SINGLE).await;
        let stream = connect(frps.port).await;
        let (mut control, login) = Control::login(stream, "", &json!({})).await;
        let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": login["run_id"]}));
        let port = free_port();
        let proxy = json!({"proxy_name": "p", "remote_port": port});
        assert_eq!(control.register(&proxy).await["error"], json!(null));
        let fates = [
            Fate::EndsAtOnce,
            Fate::ResetAtOnce,
            Fate::EndsAfterAnAnswer,
            Fate::ResetAfterAnAnswer,
            Fate::ResetWhileTheUserSends,
            Fate::ResetWhenTheUserHasEnded,
        ];
        // The first round leaves what is kept for later.
        let mut before = usize::MAX;
        for (n, fate) in fates.into_iter().cycle().take(5 * fates.len()).enumerate() {
            if n == fates.len() {
                before = few_files(&frps.program).await;
            }
            let mut user = connect(port).await;
            let mut work = connect(frps.port).await;
            work.write_all(&hello).await.unwrap();
            let started = wire::read_v1(&mut work).await.expect("StartWorkConn");
            assert_eq!(started.0, wire::START_WORK_CONN);
            suffers(fate, &mut user, work).await;
            let what = format!("{fate:?}");
            until_closed(&mut user, wait::SOON, &what).await;
        }
        eventually("descriptors", || async {
            frps.program.open_files() <= before + KEPT_PIPES
        })
        .await;
        control.close_proxy("p").await;
    }

    /// The descriptors, once they have stopped changing.
    async fn few_files(program: &Program) -> usize {
        let (mut last, mut times) = (0, 0);
        eventually("descriptors at rest", || {
            let now = program.open_files();
            times = if now == last { times + 1 } else { 0 };
            last = now;
            let is_at_rest = times > 10;
            async move { is_at_rest }
        })
        .await;
        last
    }

    async fn suffers(fate: Fate, user: &mut TcpStream, mut work: TcpStream) {
        match fate {
            Fate::EndsAtOnce => drop(work),
            Fate::ResetAtOnce => reset(work),
            Fate::EndsAfterAnAnswer | Fate::ResetAfterAnAnswer => {
                let answer = pattern(100_000, 8);
                work.write_all(&answer).await.unwrap();
                let mut heard = vec![0; answer.len()];
                user.read_exact(&mut heard).await.unwrap();
                assert!(heard == answer);
                if fate == Fate::EndsAfterAnAnswer {
                    drop(work);
                } else {
                    reset(work);
                }
            }
            Fate::ResetWhileTheUserSends => {
                user.write_all(&pattern(100_000, 9)).await.unwrap();
                work.read_exact(&mut [0; 1000]).await.unwrap();
                reset(work);
            }
            Fate::ResetWhenTheUserHasEnded => {
                user.write_all(b"question").await.unwrap();
                user.shutdown().await.unwrap();
                let mut heard = Vec::new();
                work.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, b"question");
                reset(work);
            }
        }
    }
}

mod program_vanishes {
    use super::*;

    /// Sends and receives without end.
    async fn busy() -> Watched {
        Watched::new(|stream| async move {
            let (mut from, mut to) = stream.into_split();
            let writing = async { while to.write_all(&[7; 20_000]).await.is_ok() {} };
            let mut sink = tokio::io::sink();
            let reading = tokio::io::copy(&mut from, &mut sink);
            tokio::select! {
                () = writing => {}
                _ = reading => {}
            }
        })
        .await
    }

    /// Users in the middle of a transfer, half of them each way; the results are how they ended,
    /// and whether they received.
    async fn transfers(port: u16) -> JoinSet<(bool, std::io::Result<()>)> {
        let (started, mut users) = watch::channel(0);
        let mut ends = JoinSet::new();
        for i in 0..USERS {
            let started = started.clone();
            ends.spawn(async move {
                let (mut from, mut to) = connect(port).await.into_split();
                let mut buffer = vec![0; 50_000];
                from.read_exact(&mut buffer).await.unwrap();
                started.send_modify(|users| *users += 1);
                let receives = i % 2 == 0;
                let sending =
                    async { while !receives && to.write_all(&[1; 9000]).await.is_ok() {} };
                let receiving = async {
                    while from.read(&mut buffer).await? > 0 {}
                    Ok(())
                };
                let both = async { tokio::join!(receiving, sending).0 };
                (receives, within(wait::SOON, "the end", both).await)
            });
        }
        users.wait_for(|users| *users == USERS).await.unwrap();
        ends
    }

    #[tokio::test]
    async fn frpc() {
        for link in LINKS {
            let service = busy().await;
            let mut scene = Scene::new(link, service.service.port).await;
            let mut ends = transfers(scene.port).await;
            scene.frpc.kill().await;
            while let Some(end) = ends.join_next().await {
                let (receives, end) = end.unwrap();
                // Without TLS and mux nothing tells a killed program from one that has finished.
                let is_told = !receives || end.is_err() || link.contains("tls.enable = false");
                assert!(is_told, "{}: a cut download looks whole", scene.what);
            }
            service.is_left(&scene.what).await;
            scene.frps.program.expect("client exit success").await;

            // Names and ports are free, and there are no more descriptors than with one client.
            let text = tcp_proxy("web", service.service.port, scene.port, "")
                + &tcp_proxy("warm", scene._echo.port, scene.warm, "");
            scene.frpc = scene.rig.frpc(scene.frps.port, &format!("{link}{text}"));
            for name in ["web", "warm"] {
                let text = format!("[{name}] start proxy success");
                scene.frpc.expect(&text).await;
            }
            assert_eq!(scene.frpc.log().count("start error"), 0);
            scene.at_rest[1] = usize::MAX / 2;
            scene.is_as_before().await;
        }
    }

    #[tokio::test]
    async fn frps() {
        for link in LINKS {
            let service = busy().await;
            let mut scene = Scene::new(link, service.service.port).await;
            let mut ends = transfers(scene.port).await;
            scene.frps.program.kill().await;
            while let Some(end) = ends.join_next().await {
                let _ = end.unwrap();
            }
            service.is_left(&scene.what).await;
            scene.frps.program.start_again();
            until_echoes(scene.warm, wait::SOON).await;
            scene.at_rest[0] = usize::MAX / 2;
            scene.is_as_before().await;
        }
    }
}

/// What hundreds of failures need is given back.
#[tokio::test]
async fn memory_does_not_grow_with_abandoned_users() {
    let service =
        Watched::new(
            |mut stream| async move { while stream.write_all(&[7; 50_000]).await.is_ok() {} },
        )
        .await;
    let scene = Scene::new("", service.service.port).await;
    let round = async || {
        crowd(scene.port, |port| async move {
            let mut user = connect(port).await;
            user.read_exact(&mut vec![0; 100_000]).await.unwrap();
            reset(user);
        })
        .await;
        service.is_left("abandoned").await;
        scene.is_as_before().await;
    };
    for _ in 0..5 {
        round().await;
    }
    let bytes = || {
        [
            scene.frps.program.private_bytes(),
            scene.frpc.private_bytes(),
        ]
    };
    let before = bytes();
    for _ in 0..20 {
        round().await;
    }
    // 480 users: far less than one read buffer (64 KiB) for each. The allocator keeps a few
    // megabytes of a peak.
    let most = before.map(|bytes| bytes + 20 * 1024 * 1024);
    eventually(&format!("at most {most:?} bytes of memory"), || async {
        echo(scene.warm, b"the next, please").await;
        let now = bytes();
        now[0] < most[0] && now[1] < most[1]
    })
    .await;
}
