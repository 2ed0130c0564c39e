//! frps reads its configuration file again: at SIGHUP, and by `POST /api/reload`.

use std::path::PathBuf;

use frp_tests::clients::{connect, echo, echo_on, pattern};
use frp_tests::http::{self, Answer};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, Identity};
use frp_tests::*;
use serde_json::{Value, json};

/// A frps whose file can be written anew.
pub(crate) struct Server {
    file: PathBuf,
    pub(crate) frps: Program,
    pub(crate) port: u16,
    pub(crate) web: u16,
}

impl Server {
    pub(crate) async fn start(rig: &Rig, lines: &str) -> Self {
        let (port, web) = (free_port(), free_port());
        let file = rig.file("frps.toml", text(port, web, lines));
        let frps = rig.run(&Side::Ours, "frps", ["-c".as_ref(), file.as_os_str()]);
        frps.expect("frps started successfully").await;
        Self {
            file,
            frps,
            port,
            web,
        }
    }

    pub(crate) fn write(&self, lines: &str) {
        std::fs::write(&self.file, text(self.port, self.web, lines)).unwrap();
    }

    async fn ask(&self) -> Answer {
        ask(self.web).await
    }

    /// The answer to a reload that goes well.
    async fn reload(&self, lines: &str) -> Value {
        self.write(lines);
        let answer = self.ask().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits for what the log says of a reload by signal.
    pub(crate) async fn hang_up(&self, says: &str) {
        let mark = self.frps.log().mark();
        self.frps.signal("HUP").await;
        self.frps.expect_from(mark, says, wait::SOON).await;
    }
}

async fn ask(web: u16) -> Answer {
    http::send(web, "POST", "/api/reload", "", "").await
}

fn text(port: u16, web: u16, lines: &str) -> String {
    format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nwebServer.port = {web}\n\
         webServer.user = \"admin\"\nlog.disablePrintColor = true\n{lines}"
    )
}

pub(crate) const SECRET: &str = "webServer.password = \"secret\"\n";

fn certificate(Identity { cert, key }: &Identity) -> String {
    format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
}

async fn refused(rig: &Rig, port: u16, lines: &str, why: &str) {
    let mut frpc = rig.frpc(port, lines);
    frpc.expect(why).await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

/// Who logs in with these credentials has a proxy.
async fn works(rig: &Rig, port: u16, lines: &str, proxy: &str) {
    let frpc = rig.frpc(port, &format!("{lines}{proxy}"));
    frpc.expect("start proxy success").await;
}

/// Every setting that may change counts for who comes next, and a user who is there keeps the connection
/// that was made before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_settings_count_and_nobody_is_dropped() {
    let sides = [Some(Side::Ours), Side::reference("0.70.1")];
    for side in sides.into_iter().flatten() {
        everything_changes(&side).await;
    }
}

async fn everything_changes(side: &Side) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let ca = Authority::new(rig.path(), "ca");
    let cert = certificate(&ca.issue(rig.path(), "frps", &["127.0.0.1"]));
    let (http, old, more, new) = (free_port(), free_port(), free_port(), free_port());
    let bound = format!("vhostHTTPPort = {http}\n");
    let server = Server::start(&rig, &format!("{bound}{SECRET}auth.token = \"old\"\n")).await;

    let proxy = |name, port| tcp_proxy(name, service.port, port, "");
    let lines = format!("auth.token = \"old\"\n{}", proxy("there", old));
    let there = rig.frpc_of(side, server.port, &lines);
    there.expect("[there] start proxy success").await;
    let mut user = connect(old).await;
    echo_on(&mut user, &pattern(30_000, 1)).await;
    assert_eq!(
        http::get(server.web, "/metrics").await.status,
        404,
        "not asked for"
    );

    let page = rig.file("404.html", "the new page");
    let log = rig.path().join("new.log");
    let changed = format!(
        "{bound}{cert}auth.token = \"new\"\nallowPorts = [{{ single = {new} }}]\n\
         maxPortsPerClient = 1\ncustom404Page = {page:?}\nsubDomainHost = \"new.test\"\n\
         detailedErrorsToClient = false\nenablePrometheus = true\n\
         transport.maxPoolCount = 77\nuserConnTimeout = 7\nlog.level = \"debug\"\nlog.to = {log:?}\n\
         webServer.password = \"changed\"\n"
    );
    let answer = server.reload(&changed).await;
    assert_eq!(answer["restart"], json!([]));
    assert_eq!(
        answer["applied"],
        json!([
            "auth.token",
            "subDomainHost",
            "custom404Page",
            "webServer.password",
            "enablePrometheus",
            "log.to",
            "log.level",
            "transport.maxPoolCount",
            "transport.tls.certFile",
            "transport.tls.keyFile",
            "detailedErrorsToClient",
            "maxPortsPerClient",
            "userConnTimeout",
            "allowPorts",
        ])
    );

    // The password that leaked is none any more.
    assert_eq!(http::get(server.web, "/metrics").await.status, 401);
    let changed = Some("Basic YWRtaW46Y2hhbmdlZA==");
    let get = async |path: &str| http::request(server.web, "GET", path, changed).await;
    assert_eq!(get("/metrics").await.status, 200);
    let info = get("/api/serverinfo").await.json();
    assert_eq!(info["maxPoolCount"], 77);
    let (status, text) = backend::fetch(http, "nobody.test", "/").await;
    assert_eq!((status, text.as_str()), (404, "the new page"));
    refused(
        &rig,
        server.port,
        "auth.token = \"old\"\n",
        "login to the server failed: ",
    )
    .await;
    let trust = format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    let lines = format!("auth.token = \"new\"\n{trust}");
    works(&rig, server.port, &lines, &proxy("new", new)).await;
    let other = rig.frpc(server.port, &format!("{lines}{}", proxy("more", more)));
    other.expect("[more] start error: new proxy [more]").await;
    assert_eq!(
        other.log().count("port not allowed"),
        0,
        "no details any more"
    );
    // Who is there has noticed nothing: neither the connection of before, nor the session.
    echo_on(&mut user, &pattern(30_000, 2)).await;
    for n in 0..4 {
        echo(old, &pattern(50_000, n)).await;
    }
    eventually("all bytes are counted", || async {
        let told = get("/api/proxy/tcp/there").await.json();
        told["curConns"] == 1 && told["todayTrafficIn"] == 260_000
    })
    .await;
    eventually("the log goes to its new file, with every step", || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("[D]") && text.contains("allowPorts applied")
    })
    .await;
    assert_eq!(there.log().count("login to server success"), 1);
}

/// What a server is bound to is named and left, by signal and by request, and the rest counts.
#[tokio::test]
async fn what_cannot_change_is_named() {
    let rig = Rig::new();
    let server = Server::start(&rig, SECRET).await;
    let elsewhere = format!(
        "{SECRET}auth.token = \"new\"\nkcpBindPort = {}\ntransport.tcpMux = false\n",
        server.port
    );
    server.write(&elsewhere);
    server.hang_up("frps.toml: auth.token applied").await;
    server
        .frps
        .expect(
            "kcpBindPort, transport.tcpMux, transport.heartbeatTimeout cannot change while frps runs \
             and stay as they were; restart it",
        )
        .await;
    let answer = server.reload(&elsewhere).await;
    let left = json!([
        "kcpBindPort",
        "transport.tcpMux",
        "transport.heartbeatTimeout"
    ]);
    assert_eq!(answer, json!({"applied": [], "restart": left}));
    // A client with the mux still comes in, and so does it with the new token only.
    let frpc = rig.frpc(server.port, "auth.token = \"new\"\n");
    frpc.expect("login to server success").await;
    refused(
        &rig,
        server.port,
        "auth.token = \"old\"\n",
        "token in login",
    )
    .await;

    let moved = format!("bindPort = {}", free_port());
    let text = std::fs::read_to_string(&server.file).unwrap();
    let text = text.replace(&format!("bindPort = {}", server.port), &moved);
    std::fs::write(&server.file, text.replace("kcpBindPort", "#")).unwrap();
    let answer = server.ask().await.json();
    assert_eq!(answer["restart"][0], "bindPort");
    frpc.expect("login to server success").await;
}

/// A bad file changes nothing, and the answer and the log say what is wrong, and in which line.
#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let rig = Rig::new();
    let lines = format!("{SECRET}auth.token = \"old\"\n");
    let server = Server::start(&rig, &lines).await;
    let new = "auth.token = \"new\"\n";
    let none = "transport.tls.certFile = \"no.crt\"\ntransport.tls.keyFile = \"no.key\"\n";
    let log = "log.to = \"/proc/no/frps.log\"\n";
    for (bad, why) in [
        (format!("{SECRET}{new}maxPoolCout = 3\n"), "frps.toml:8:1: "),
        (format!("{SECRET}{new}allowPorts = 3\n"), "frps.toml:8:14: "),
        (format!("{SECRET}{new}x = [\n"), "frps.toml:8:"),
        (format!("{SECRET}{new}{none}"), "transport.tls: open no."),
        (
            format!("{SECRET}{new}{}", none.replace("transport.", "webServer.")),
            "webServer.tls: open no.",
        ),
        (format!("{SECRET}{new}{log}"), "/proc/no"),
        (
            format!(
                "{SECRET}auth.tokenSource.type = \"file\"\nauth.tokenSource.file.path = \"gone\"\n"
            ),
            "failed to resolve auth.tokenSource: failed to read file gone",
        ),
    ] {
        server.write(&bad);
        let answer = server.ask().await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["Code"], 400);
        let text = told["Msg"].as_str().unwrap();
        assert!(text.contains(why), "{why}: {text}");
        server
            .hang_up("reload refused, nothing has changed: ")
            .await;
        assert!(server.frps.log().text().contains(why), "{why}");
    }
    for (odd, why) in [("", "the file is empty"), ("gone", "no such file")] {
        match odd {
            "" => std::fs::write(&server.file, "").unwrap(),
            _ => std::fs::remove_file(&server.file).unwrap(),
        }
        let answer = server.ask().await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(why), "{answer:?}");
    }
    refused(&rig, server.port, new, "token in login").await;
    let frpc = rig.frpc(server.port, "auth.token = \"old\"\n");
    frpc.expect("login to server success").await;
    let answer = server.reload(&lines).await;
    assert_eq!(answer, json!({"applied": [], "restart": []}));
}

/// Configured by flags there is nothing to read, and the signal does not end it.
#[tokio::test]
async fn frps_by_flags_stays_at_sighup() {
    let rig = Rig::new();
    let (port, web) = (free_port().to_string(), free_port());
    let args = [
        "--bind-addr",
        "127.0.0.1",
        "-p",
        &port,
        "--dashboard-addr",
        "127.0.0.1",
    ];
    let web_port = web.to_string();
    let more = ["--dashboard-port", &web_port, "--dashboard-user", "admin"];
    let args = [&args[..], &more, &["--dashboard-pwd", "secret"]].concat();
    let mut frps = rig.run(&Side::Ours, "frps", args);
    frps.expect("frps started successfully").await;
    let frpc = rig.frpc(port.parse().unwrap(), "");
    frpc.expect("login to server success").await;
    for _ in 0..3 {
        let mark = frps.log().mark();
        frps.signal("HUP").await;
        let says = "nothing has changed: frps was started by flags, without a configuration file";
        frps.expect_from(mark, says, wait::SOON).await;
    }
    let answer = ask(web).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("started by flags"), "{answer:?}");
    assert!(frps.is_running());
    assert_eq!(frpc.log().count("login to server success"), 1);
}

/// The last one to ask has the file as it was when it asked, or later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_at_once_are_in_order() {
    let rig = Rig::new();
    let server = Server::start(&rig, SECRET).await;
    for n in 1..=20 {
        let lines = format!("{SECRET}maxPortsPerClient = {n}\n");
        server.write(&lines);
        server.frps.signal("HUP").await;
        let (one, other) = tokio::join!(server.ask(), server.ask());
        assert_eq!((one.status, other.status), (200, 200), "{one:?} {other:?}");
        let info = http::get(server.web, "/api/serverinfo").await.json();
        assert_eq!(info["maxPortsPerClient"], n);
    }
}

/// A certificate that was renewed in its file counts after a reload; the address of the pages does, too.
#[tokio::test]
async fn a_renewed_certificate_is_read() {
    let rig = Rig::new();
    let (one, other) = (
        Authority::new(rig.path(), "one"),
        Authority::new(rig.path(), "other"),
    );
    let Identity { cert, key } = one.issue(rig.path(), "frps", &["127.0.0.1"]);
    let lines = format!(
        "{SECRET}{}",
        certificate(&Identity {
            cert: cert.clone(),
            key: key.clone()
        })
    );
    let server = Server::start(&rig, &lines).await;
    let trust = |ca: &Authority| format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    let there = rig.frpc(server.port, &trust(&one));
    there.expect("login to server success").await;
    let renewed = other.issue(rig.path(), "renewed", &["127.0.0.1"]);
    std::fs::copy(&renewed.cert, &cert).unwrap();
    std::fs::copy(&renewed.key, &key).unwrap();
    server.hang_up("reloaded").await;
    refused(&rig, server.port, &trust(&one), "trusted").await;
    let frpc = rig.frpc(server.port, &trust(&other));
    frpc.expect("login to server success").await;
    assert_eq!(there.log().count("login to server success"), 1);
}

/// A reload is for who may change something: like every other request that does.
#[tokio::test]
async fn a_reload_asks_who_one_is() {
    let rig = Rig::new();
    let server = Server::start(&rig, SECRET).await;
    let bare = http::request(server.web, "POST", "/api/reload", None).await;
    assert_eq!(bare.status, 401);
    let get = http::get(server.web, "/api/reload").await;
    assert_eq!(get.status, 405);
    let headers = "Origin: http://elsewhere.example\r\nSec-Fetch-Site: cross-site\r\n";
    let foreign = http::send(server.web, "POST", "/api/reload", headers, "").await;
    assert_eq!(foreign.status, 403);
    assert_eq!(server.frps.log().count("reloaded"), 0);
}
