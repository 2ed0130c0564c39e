//! `frpc doctor`: each cause is built, and named with what to do about it; and nothing is found well where a real login
//! fails.

use std::net::SocketAddrV4;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frp_tests::clock::WrongClock;
use frp_tests::dns::{Answer, DnsServer};
use frp_tests::findings::{Findings, Wanted};
use frp_tests::network::middlebox::{DropUdp, OnlyToProxy, ResetPlainLogins};
use frp_tests::network::offices::{ClosedPort, HoldsUdpBack, LosesLarge, Offices};
use frp_tests::network::{Host, Network, Path, Verdict};
use frp_tests::rig::{host_proxy, stcp_proxy, tcp_proxy, udp_proxy};
use frp_tests::tls::{self, Authority, Identity};
use frp_tests::*;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const OLDEST: &str = "0.28.2";

/// A login that gets no answer takes its time, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

const TOKEN: &str = "auth.token = \"a token of the doctor's\"\n";

/// Where frps listens, and its other ports.
const PORT: u16 = 7000;
const KCP: u16 = 7001;
const VHOST_HTTP: u16 = 8081;
const VHOST_HTTPS: u16 = 8443;

/// frps at the server, whom all can reach that the network lets.
async fn frps(net: &Network, rig: &Rig) -> Program {
    let text = format!(
        "bindPort = {PORT}\nquicBindPort = {PORT}\nkcpBindPort = {KCP}\n{TOKEN}\
         vhostHTTPPort = {VHOST_HTTP}\nvhostHTTPSPort = {VHOST_HTTPS}\nauth.maxClockSkew = 60\n"
    );
    let frps = net.server.start(rig, &Side::Ours, "frps", &text);
    frps.expect("frps started successfully").await;
    frps
}

/// Somebody who has a problem, and what the doctor should find.
struct Case<'a> {
    what: &'static str,
    at: &'a Host,
    /// What a login goes by.
    login: String,
    proxies: String,
    environment: Vec<String>,
    wanted: Wanted<'static>,
}

impl<'a> Case<'a> {
    /// Whose frps is at `port` of the server, with more lines.
    fn new(
        what: &'static str,
        at: &'a Host,
        net: &Network,
        port: u16,
        lines: &str,
        wanted: Wanted<'static>,
    ) -> Self {
        let ip = net.server.ip;
        Self {
            what,
            at,
            login: format!("serverAddr = \"{ip}\"\nserverPort = {port}\n{TOKEN}{lines}"),
            proxies: String::new(),
            environment: Vec::new(),
            wanted,
        }
    }

    /// The same by another name.
    fn by_name(mut self, name: &str) -> Self {
        let rest = self.login.split_once('\n').map_or("", |(_, rest)| rest);
        self.login = format!("serverAddr = \"{name}\"\n{rest}");
        self
    }

    fn spawn(&self, rig: &Rig, args: &[&str], file: &FilePath) -> Program {
        let frpc = Side::Ours.program("frpc");
        let environment = self.environment.iter().map(PathBuf::from);
        let args = args.iter().map(PathBuf::from);
        let words = environment.chain([frpc]).chain(args).chain([file.into()]);
        self.at.spawn(FilePath::new("env"), words, rig.path())
    }

    /// What the doctor finds, and whether frpc itself logs in there.
    async fn examine(&self, rig: &Rig) -> String {
        let text = format!("log.disablePrintColor = true\n{}", self.login);
        let file = rig.config("doctor", &format!("{text}{}", self.proxies));
        let doctor = self.spawn(rig, &["doctor", "--json", "-c"], &file);
        let real = self.spawn(rig, &["-c"], &rig.config("frpc", &text));
        let is_told = |line: &str| line.contains("login to");
        let (findings, told) =
            tokio::join!(Findings::of(doctor), real.log().wait(0, LIMIT, is_told));
        let told = told.unwrap_or_default();
        let mut wrong = findings.against(&self.wanted);
        let is_in = told.contains("login to server success");
        let is_well = findings.report["ok"] == true;
        let cannot = |step: &&str| ["login", "dns"].contains(step);
        if is_in == self.wanted.failed.iter().any(cannot) || (is_well && !is_in) {
            wrong += &format!("a real login: {is_in} ({told})\n");
        }
        match wrong.as_str() {
            "" => wrong,
            _ => format!("-- {}:\n{wrong}", self.what),
        }
    }
}

/// All of them at once: most wait for answers that do not come.
async fn examine(rig: &Rig, cases: Vec<Case<'_>>) {
    let wrong = join_all(cases.iter().map(|case| case.examine(rig))).await;
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{wrong}");
}

/// Ends TLS on the path, with a certificate of its own, and goes on to frps with another.
fn inspects_tls(net: &Network, port: u16, identity: &Identity) -> Service {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity)));
    let (here, frps) = (net.server.clone(), SocketAddrV4::new(net.server.ip, PORT));
    net.server.service(port, move |stream| {
        let (acceptor, here) = (acceptor.clone(), here.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let Ok(onward) = here.connect(frps).await else {
                return;
            };
            let onward = tls::handshake(onward, tls::client(rustls::ALL_VERSIONS)).await;
            if let Ok(mut onward) = onward {
                let _ = copy_bidirectional(&mut stream, &mut onward).await;
            }
        }
    })
}

/// Answers whatever comes first with `bytes` and closes.
fn answers(host: &Host, port: u16, bytes: &'static [u8]) -> Service {
    host.service(port, move |mut stream: TcpStream| async move {
        let mut first = [0; 16 * 1024];
        let _ = stream.read(&mut first).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
}

/// Each client is in a network of its own, behind a device that does one thing.
#[tokio::test]
async fn what_stands_on_the_path_is_named() {
    const INSPECTED: u16 = 7443;
    const CLOSED: u16 = 6005;
    let Some(net) = Network::with_more(8, Path::default(), Offices::default()) else {
        return;
    };
    let [plain, blocked, slow, narrow, tunnel, ipv6, provider, office] = &net.more[..] else {
        unreachable!()
    };
    let only_proxy = OnlyToProxy {
        proxy: net.proxy.ip,
        port: 3128,
        otherwise: Verdict::Drop,
    };
    net.set_middlebox(
        Offices::default()
            .with(plain.ip, ResetPlainLogins)
            .with(blocked.ip, DropUdp)
            .with(slow.ip, HoldsUdpBack::to(60_000))
            .with(narrow.ip, LosesLarge(600))
            .with(tunnel.ip, LosesLarge(1400))
            .with(provider.ip, ClosedPort(CLOSED))
            .with(office.ip, only_proxy),
    );
    let rig = Rig::new();
    let _frps = frps(&net, &rig).await;

    let authority = Authority::new(rig.path(), "Hotel Inspection CA");
    let identity = authority.issue(rig.path(), "inspected", &["10.77.2.2"]);
    let _inspects = inspects_tls(&net, INSPECTED, &identity);
    let _refuses = answers(
        &net.proxy,
        3128,
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    );
    ipv6.add_dead_ipv6();
    ipv6.set_file("hosts", "2001:db8:77:2::2 frps.test\n10.77.2.2 frps.test\n");

    let quic = "transport.protocol = \"quic\"\n";
    let case = |what, at, lines: &str, wanted| Case::new(what, at, &net, PORT, lines, wanted);
    let mut closed = case(
        "the provider's firewall closes the ports of proxies",
        provider,
        "",
        Wanted {
            failed: &["remotePort", "remotePort"],
            told: &[
                ("remotePort", "failed", &["6005", "TCP", "security group"]),
                ("remotePort", "failed", &["6005", "UDP", "security group"]),
            ],
            first: &["firewall", "6005"],
            ..Wanted::default()
        },
    );
    let (ssh, dns) = (provider.echo(), udp_echo(provider));
    closed.proxies = tcp_proxy("ssh", ssh.port, CLOSED, "") + &udp_proxy("dns", dns, CLOSED, "");

    let cases = vec![
        closed,
        case(
            "a firewall resets logins in plain text",
            plain,
            "transport.tls.enable = false\n",
            Wanted {
                failed: &["login"],
                told: &[(
                    "login",
                    "failed",
                    &["firewall|device", "plain", "tls.enable"],
                )],
                first: &["transport.tls.enable = true"],
                ..Wanted::default()
            },
        ),
        Case::new(
            "TLS is intercepted",
            &net.client,
            &net,
            INSPECTED,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[
                    ("tls", "failed", &["intercepted", "\"Hotel Inspection CA\""]),
                    ("login", "failed", &["another TLS connection"]),
                ],
                first: &["TLS inspection"],
                ..Wanted::default()
            },
        ),
        case(
            "UDP is blocked",
            blocked,
            quic,
            Wanted {
                failed: &["quic", "login"],
                told: &[("quic", "failed", &["UDP is blocked", "firewall"])],
                first: &["UDP", "transport.protocol = \"tcp\""],
                ..Wanted::default()
            },
        ),
        case(
            "UDP is throttled",
            slow,
            quic,
            Wanted {
                told: &[(
                    "speed",
                    "warning",
                    &["UDP is throttled", "transport.protocol = \"tcp\""],
                )],
                ..Wanted::default()
            },
        ),
        case(
            "large packets vanish, so that there is no TLS",
            narrow,
            "",
            Wanted {
                failed: &["packets", "tls", "login"],
                told: &[("packets", "failed", &["MTU", "588 bytes"])],
                first: &["MTU", "ICMP"],
                ..Wanted::default()
            },
        ),
        case(
            "large packets vanish, and a login is small enough",
            tunnel,
            "",
            Wanted {
                failed: &["packets"],
                told: &[
                    ("packets", "failed", &["MTU", "1352 bytes"]),
                    ("login", "ok", &[]),
                ],
                first: &["MTU", "ICMP"],
                ..Wanted::default()
            },
        ),
        case(
            "IPv6 leads nowhere",
            ipv6,
            "",
            Wanted {
                told: &[
                    ("tcp", "warning", &["IPv6 leads nowhere", "AAAA"]),
                    ("tcp", "ok", &["10.77.2.2"]),
                ],
                ..Wanted::default()
            },
        )
        .by_name("frps.test"),
        case(
            "a proxy that does not let us through",
            office,
            "transport.proxyURL = \"http://10.77.3.2:3128\"\n",
            Wanted {
                failed: &["tcp", "login"],
                told: &[("tcp", "failed", &["proxy", "10.77.3.2:3128", "403"])],
                first: &["proxy"],
                ..Wanted::default()
            },
        ),
    ];
    examine(&rig, cases).await;
}

/// The port of a service that sends back what it gets, while the test runs.
fn udp_echo(host: &Host) -> u16 {
    let socket = host.udp_socket(0);
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut datagram = [0; 2000];
        loop {
            let Ok((n, from)) = socket.recv_from(&mut datagram).await else {
                continue;
            };
            let _ = socket.send_to(&datagram[..n], from).await;
        }
    });
    port
}

#[tokio::test]
async fn who_answers_in_the_place_of_frps_is_named() {
    const OTHER_MUX: u16 = 7010;
    const HTTP: u16 = 8080;
    const SSH: u16 = 2222;
    let Some(net) = Network::new(Path::default(), Offices::default()) else {
        return;
    };
    let rig = Rig::new();
    let _frps = frps(&net, &rig).await;
    let text = format!("bindPort = {OTHER_MUX}\n{TOKEN}transport.tcpMux = false\n");
    let _other = net.server.start(&rig, &Side::Ours, "frps", &text);
    _other.expect("frps started successfully").await;
    let _http = answers(
        &net.server,
        HTTP,
        b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n",
    );
    let _ssh = net.server.service(SSH, |mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });

    let case =
        |what, port, lines: &str, wanted| Case::new(what, &net.client, &net, port, lines, wanted);
    let mut cases = vec![
        case(
            "nobody listens there",
            7999,
            "",
            Wanted {
                failed: &["tcp", "login"],
                told: &[("tcp", "failed", &["refused", "7999"])],
                first: &["start frps", "serverPort"],
                never: &["firewall"],
            },
        ),
        case(
            "a web server",
            HTTP,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["HTTP", "web server", "proxy"])],
                first: &["8080", "serverPort", "bindPort"],
                ..Wanted::default()
            },
        ),
        case(
            "a web server, without TLS",
            HTTP,
            "transport.tls.enable = false\n",
            Wanted {
                failed: &["login"],
                told: &[("login", "failed", &["HTTP", "web server"])],
                first: &["8080", "serverPort", "bindPort"],
                ..Wanted::default()
            },
        ),
        case(
            "a ssh server",
            SSH,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["SSH"])],
                first: &["2222", "serverPort", "bindPort"],
                ..Wanted::default()
            },
        ),
        case(
            "vhostHTTPPort of frps",
            VHOST_HTTP,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["HTTP", "vhostHTTPPort"])],
                first: &["8081", "serverPort", "bindPort"],
                ..Wanted::default()
            },
        ),
        case(
            "vhostHTTPSPort of frps",
            VHOST_HTTPS,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["vhostHTTPSPort"])],
                first: &["vhostHTTPSPort|bindPort"],
                ..Wanted::default()
            },
        ),
        case(
            "the mux is off there",
            OTHER_MUX,
            "",
            Wanted {
                failed: &["login"],
                told: &[("tls", "ok", &[])],
                first: &["transport.tcpMux"],
                ..Wanted::default()
            },
        ),
        case(
            "the mux is off here",
            PORT,
            "transport.tcpMux = false\n",
            Wanted {
                failed: &["login"],
                told: &[("tls", "ok", &[])],
                first: &["transport.tcpMux"],
                ..Wanted::default()
            },
        ),
    ];

    let mut old = None;
    if let Some(side) = Side::reference(OLDEST) {
        let text = "[common]\nbind_port = 7028\ntoken = a token of the doctor's\n";
        let frps = net.server.start(&rig, &side, "frps", text);
        frps.expect("tart frps success").await;
        old = Some(frps);
        let byte = "transport.tls.disableCustomTLSFirstByte";
        cases.push(case(
            "an old release",
            7028,
            "",
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["0.38"])],
                first: &["transport.tls.disableCustomTLSFirstByte = false"],
                ..Wanted::default()
            },
        ));
        cases.push(case(
            "an old release, with what was said",
            7028,
            &format!("{byte} = false\n"),
            Wanted::default(),
        ));
    }
    examine(&rig, cases).await;
    drop(old);
}

#[tokio::test]
async fn settings_names_services_and_ports_are_named() {
    const CHECKED: u16 = 7020;
    const TAKEN: u16 = 6001;
    const DAY: i64 = 86_400;
    let Some(net) = Network::with_more(2, Path::default(), Offices::default()) else {
        return;
    };
    let rig = Rig::new();
    let frps = frps(&net, &rig).await;
    let here = &net.client;
    // Logins that frps refuses slow down others of their address.
    let [stranger, late] = &net.more[..] else {
        unreachable!()
    };
    let case = |what, port, lines: &str, wanted| Case::new(what, here, &net, port, lines, wanted);

    let (tcp, udp) = (here.echo(), udp_echo(here));
    let web = answers(here, 0, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    here.set_file("hosts", "127.0.0.1 localhost\n10.77.2.2 www.test\n");
    here.set_file("resolv.conf", "nameserver 127.0.0.1\n");
    let mut well = case(
        "all is well",
        PORT,
        "",
        Wanted {
            told: &[
                ("permissions", "warning", &["auth.token", "chmod 600"]),
                ("tcp", "ok", &["10.77.2.2:7000"]),
                ("login", "ok", &["tcp"]),
                ("quic", "ok", &["offered"]),
                ("remotePort", "ok", &["ssh", "6000"]),
                ("remotePort", "ok", &["dns", "6000"]),
                ("remotePort", "ok", &["www", "www.test"]),
            ],
            ..Wanted::default()
        },
    );
    well.proxies = [
        tcp_proxy("ssh", tcp.port, 6000, ""),
        udp_proxy("dns", udp, 6000, ""),
        host_proxy("http", "www", web.port, "customDomains = [\"www.test\"]\n"),
        stcp_proxy("secret", tcp.port, ""),
    ]
    .concat();

    let mut down = case(
        "the local service is down",
        PORT,
        "",
        Wanted {
            failed: &["localService"],
            told: &[(
                "localService",
                "failed",
                &["down", "127.0.0.1:9999", "localPort"],
            )],
            first: &["service"],
            ..Wanted::default()
        },
    );
    down.proxies = tcp_proxy("down", 9999, 6002, "");

    let _taken = net.server.listener(TAKEN);
    let mut taken = case(
        "another program has the port",
        PORT,
        "",
        Wanted {
            failed: &["proxy"],
            told: &[("proxy", "failed", &["taken", "port"])],
            first: &["remotePort"],
            ..Wanted::default()
        },
    );
    taken.proxies = tcp_proxy("taken", tcp.port, TAKEN, "");

    let wrong_token = Wanted {
        failed: &["login"],
        told: &[("login", "failed", &["token"]), ("tls", "ok", &[])],
        first: &["auth.token"],
        never: &["a token of the doctor's", "another one"],
    };
    let mut token = case("another token", PORT, "", wrong_token);
    token.at = stranger;
    token.login = token.login.replace(TOKEN, "auth.token = \"another one\"\n");

    let leads = |name, ip: &str| (name, Answer::Addresses(vec![ip.parse().unwrap()]));
    let system = [leads("split.test", "10.77.2.2")];
    let _system = DnsServer::on(here.udp_socket(53), here.listener(53), system);
    let other = [
        leads("split.test", "10.77.3.2"),
        leads("nowhere.test", "127.0.0.1"),
    ];
    let _other = DnsServer::on(here.udp_socket(5353), here.listener(5353), other);
    let by_dns = "dnsServer = \"127.0.0.1:5353\"\n";

    let mut cases = vec![
        well,
        down,
        taken,
        token,
        case(
            "the name does not exist",
            PORT,
            by_dns,
            Wanted {
                failed: &["dns"],
                told: &[("dns", "failed", &["unknown.test"])],
                first: &["serverAddr|DNS"],
                ..Wanted::default()
            },
        )
        .by_name("unknown.test"),
        case(
            "the name leads to the machine itself",
            PORT,
            by_dns,
            Wanted {
                failed: &["dns", "tcp", "login"],
                told: &[("dns", "failed", &["127.0.0.1", "this machine itself"])],
                first: &["DNS"],
                ..Wanted::default()
            },
        )
        .by_name("nowhere.test"),
        case(
            "DNS is split",
            PORT,
            by_dns,
            Wanted {
                failed: &["dns", "tcp", "login"],
                told: &[("dns", "failed", &["10.77.3.2", "10.77.2.2", "split"])],
                first: &["dnsServer"],
                ..Wanted::default()
            },
        )
        .by_name("split.test"),
        case(
            "the DNS server does not answer",
            PORT,
            "dnsServer = \"10.77.9.9\"\n",
            Wanted {
                failed: &["dns"],
                told: &[("dns", "failed", &["dnsServer"])],
                first: &["dnsServer"],
                ..Wanted::default()
            },
        )
        .by_name("split.test"),
    ];

    let authority = Authority::new(rig.path(), "ours");
    let identity = authority.issue(rig.path(), "server", &["10.77.2.2"]);
    let text = format!(
        "bindPort = {CHECKED}\n{TOKEN}transport.tls.certFile = {:?}\ntransport.tls.keyFile = {:?}\n",
        identity.cert, identity.key
    );
    let checked = net.server.start(&rig, &Side::Ours, "frps", &text);
    checked.expect("frps started successfully").await;
    let trusts = format!("transport.tls.trustedCaFile = {:?}\n", authority.file);
    cases.push(case(
        "a certificate that is checked",
        CHECKED,
        &trusts,
        Wanted::default(),
    ));
    if let Some(wrong) = WrongClock::new(rig.path()) {
        let mut later = case(
            "the clock is years ahead, and certificates have a time",
            CHECKED,
            &trusts,
            Wanted {
                failed: &["tls", "login"],
                told: &[("tls", "failed", &["certificate", "clock"])],
                first: &["clock"],
                ..Wanted::default()
            },
        );
        later.environment = wrong.ahead(30 * 365 * DAY).to_vec();
        let mut skew = case(
            "the clock is a day ahead, and so are logins as of frp",
            PORT,
            "auth.challenge = \"off\"\n",
            Wanted {
                failed: &["login"],
                told: &[("login", "failed", &["clock"])],
                first: &["clock"],
                ..Wanted::default()
            },
        );
        skew.at = late;
        skew.environment = wrong.ahead(DAY).to_vec();
        let mut reset = case(
            "the clock begins with 1970, as without a battery",
            PORT,
            "",
            Wanted {
                failed: &["clock"],
                first: &["clock"],
                ..Wanted::default()
            },
        );
        let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        reset.environment = wrong.ahead(60 - since_1970.cast_signed()).to_vec();
        cases.extend([later, skew, reset]);
    }
    examine(&rig, cases).await;

    // Nothing is left of the doctor's own session.
    let remote = SocketAddrV4::new(net.server.ip, 6000);
    eventually("its ports are closed", async || {
        net.client.connect(remote).await.is_err()
    })
    .await;
    assert!(!frps.log().text().contains("panicked"));
}

/// By its admin API, or without one.
#[tokio::test]
async fn an_frpc_that_runs_is_left_alone() {
    let rig = Rig::new();
    let frps = rig.frps(TOKEN).await;
    let service = Service::echo().await;
    for admin in [true, false] {
        let remote = free_port();
        let web = match admin {
            true => format!("webServer.port = {}\n", free_port()),
            false => "clientID = \"office\"\n".to_owned(),
        };
        let text = format!(
            "serverPort = {}\n{TOKEN}{web}{}",
            frps.port,
            tcp_proxy("ssh", service.port, remote, "")
        );
        let file = rig.config("frpc", &text);
        let real = Program::spawn(
            &Side::Ours.program("frpc"),
            ["-c".into(), file.clone()],
            rig.path(),
        );
        real.expect("[ssh] start proxy success").await;
        let mut user = connect(remote).await;
        clients::echo_on(&mut user, b"before").await;
        let args = ["doctor".into(), "--json".into(), "-c".into(), file];
        let doctor = Program::spawn(&Side::Ours.program("frpc"), args, rig.path());
        let told: &[(&str, &str, &[&str])] = match admin {
            true => &[
                ("running", "ok", &[]),
                ("proxy", "ok", &["ssh"]),
                ("remotePort", "ok", &["ssh"]),
            ],
            false => &[
                ("login", "ok", &["clientID"]),
                ("proxy", "ok", &["ssh", "the frpc that runs"]),
                ("remotePort", "ok", &["ssh"]),
            ],
        };
        let wrong = Findings::of(doctor).await.against(&Wanted {
            told,
            ..Wanted::default()
        });
        assert!(wrong.is_empty(), "{wrong}");
        clients::echo_on(&mut user, b"behind").await;
        assert_eq!(real.log().count("login to server success"), 1);
    }
}
