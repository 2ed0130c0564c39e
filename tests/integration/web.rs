//! The HTTP API of frps: the answers of frp, the password, the counters, the list of clients.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use frp_tests::http::{ADMIN, Answer, get, request, request_on, send};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, client};
use frp_tests::wire::{Control, NEW_PROXY, NEW_PROXY_RESP};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Recorded from frp 0.70.1 by [`recording`].
const GOLDEN: &str = include_str!("web.golden");

/// The requests of the recording: while two clients are there, and after both have left.
const ONLINE: &[&str] = &[
    "GET /healthz",
    "GET /",
    "GET /nope",
    "POST /api/clients",
    "GET //api/clients",
    "GET /api/serverinfo",
    "GET /api/clients",
    "GET /api/clients?user=u&clientId=office&status=ONLINE",
    "GET /api/clients?status=offline",
    "GET /api/clients/u.office",
    "GET /api/clients/nobody",
    "GET /api/proxy/tcp",
    "GET /api/proxy/udp",
    "GET /api/proxy/http",
    "GET /api/proxy/https",
    "GET /api/proxy/tcpmux",
    "GET /api/proxy/stcp",
    "GET /api/proxy/tcp/u.a",
    "GET /api/proxy/udp/u.a",
    "GET /api/proxies/u.a",
    "GET /api/proxies/none",
    "GET /api/traffic/u.a",
    "GET /api/traffic/none",
    "DELETE /api/proxies",
    "GET /api/v2/users",
    "GET /api/v2/users?pageSize=1&page=2",
    "GET /api/v2/system/info",
    "POST /api/v2/system/prune",
    "POST /api/v2/system/prune?type=all",
    "GET /api/v2/clients",
    "GET /api/v2/clients?user=",
    "GET /api/v2/clients?q=OFF",
    "GET /api/v2/clients?status=gone",
    "GET /api/v2/clients/u%2Eoffice",
    "GET /api/v2/clients/a%2Fb",
    "GET /api/v2/proxies",
    "GET /api/v2/proxies?type=udp",
    "GET /api/v2/proxies?type=magic",
    "GET /api/v2/proxies?q=ONE.example",
    "GET /api/v2/proxies?page=0",
    "GET /api/v2/proxies?pageSize=201",
    "GET /api/v2/proxies?page=9223372036854775807",
    "GET /api/v2/proxies/u.a",
    "GET /api/v2/proxies/u.a/traffic",
    "GET /api/v2/proxies/none/traffic",
];
const GONE: &[&str] = &[
    "GET /api/serverinfo",
    "GET /api/clients",
    "GET /api/proxy/tcp",
    "GET /api/v2/clients/u.office",
    "GET /api/v2/proxies?status=offline",
    "POST /api/v2/system/prune?type=offline_proxies",
    "DELETE /api/proxies?status=offline",
    "GET /api/proxy/tcp",
];

#[tokio::test]
async fn the_answers_are_those_of_frp() {
    let ours = recording(&Side::Ours).await;
    // To record anew: run with FRP_REFERENCE_DIR and take the text that this prints.
    if let Some(go) = Side::reference("0.70.1") {
        let theirs = recording(&go).await;
        assert!(theirs == GOLDEN, "the file is not what frp says:\n{theirs}");
    }
    for (ours, theirs) in ours.lines().zip(GOLDEN.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), GOLDEN.len());
}

/// What `side`'s frps answers, with all that differs from run to run masked.
async fn recording(side: &Side) -> String {
    let rig = Rig::new();
    let service = Service::echo().await;
    let web = free_port();
    let five_digits = "allowPorts = [{ start = 10000, end = 65535 }]\n";
    let [http, https, tcpmux] = [(); 3].map(|()| free_port());
    let settings = format!(
        "{five_digits}vhostHTTPPort = {http}\nvhostHTTPSPort = {https}\n\
         tcpmuxHTTPConnectPort = {tcpmux}\nsubDomainHost = \"sub.test\"\n{}",
        dashboard(web)
    );
    let frps = rig.frps_of(side, &settings).await;
    let remote = free_port();
    let office = format!(
        "user = \"u\"\nclientID = \"office\"\n{}{}{}",
        tcp_proxy(
            "a",
            service.port,
            remote,
            "transport.useEncryption = true\ntransport.bandwidthLimit = \"10MB\"\n\
             annotations = { b = \"2\", a = \"<1>&\" }\nmetadatas = { m = \"x\" }\n",
        ),
        tcp_proxy("b", service.port, 0, ""),
        other_proxies(service.port),
    );
    let mut office = rig.frpc(frps.port, &office);
    let anonymous = tcp_proxy("plain", service.port, free_port(), "");
    let anonymous = format!("transport.wireProtocol = \"v2\"\n{anonymous}");
    let mut anonymous = rig.frpc(frps.port, &anonymous);
    office.expect("[a] start proxy success").await;
    for name in ["b", "h", "h2", "s", "m", "secret", "datagrams"] {
        let text = format!("[{name}] start proxy success");
        office.expect(&text).await;
    }
    anonymous.expect("[plain] start proxy success").await;
    echo(remote, b"hello").await;
    // frp counts when a connection ends.
    eventually("the bytes are counted", || async {
        let info = get(web, "/api/serverinfo").await.json();
        info["totalTrafficOut"] == 5 && info["curConns"] == 0
    })
    .await;

    let mut masks: Vec<String> = Vec::new();
    for client in get(web, "/api/clients").await.json().as_array().unwrap() {
        for key in ["runID", "hostname"] {
            masks.push(client[key].as_str().unwrap().to_owned());
        }
    }
    let mut text = String::new();
    record(web, ONLINE, &masks, &mut text).await;
    office.kill().await;
    anonymous.kill().await;
    eventually("both have left", || async { online(web).await.is_empty() }).await;
    record(web, GONE, &masks, &mut text).await;
    text
}

/// One of each kind whose settings are others, and one with as few as can be.
fn other_proxies(port: u16) -> String {
    let proxy = |name: &str, kind: &str, more: &str| {
        format!("[[proxies]]\nname = {name:?}\ntype = {kind:?}\nlocalPort = {port}\n{more}\n")
    };
    let user = "httpUser = \"hu\"\nhttpPassword = \"hp\"\nrouteByHTTPUser = \"ru\"\n";
    [
        proxy(
            "h",
            "http",
            &format!(
                "{user}customDomains = [\"One.example\", \"two.example\"]\nsubdomain = \"h\"\n\
                 locations = [\"/\", \"/a&b\"]\nhostHeaderRewrite = \"in.example\"\n\
                 requestHeaders.set.a = \"1\"\nresponseHeaders.set.b = \"2\"\n"
            ),
        ),
        proxy("h2", "http", "subdomain = \"h2\"\n"),
        proxy("s", "https", "customDomains = [\"s.example\"]\n"),
        proxy(
            "m",
            "tcpmux",
            &format!("{user}multiplexer = \"httpconnect\"\ncustomDomains = [\"m.example\"]\n"),
        ),
        proxy(
            "secret",
            "stcp",
            "secretKey = \"k\"\nallowUsers = [\"*\"]\n",
        ),
        proxy("datagrams", "sudp", "secretKey = \"k\"\n"),
    ]
    .concat()
}

async fn record(web: u16, requests: &[&str], masks: &[String], text: &mut String) {
    for line in requests {
        let (method, path) = line.split_once(' ').unwrap();
        let answer = request(web, method, path, Some(ADMIN)).await;
        let kind = answer.header("content-type").unwrap_or("-");
        // Ours are relative; these lead to the root from every path of the recording.
        let to = answer.header("location").unwrap_or("-");
        let to = match to.trim_start_matches("../") {
            below if to != "-" && !to.starts_with('/') => &format!("/{below}"),
            _ => to,
        };
        // Go puts a page for browsers of old into its redirects.
        let (kind, body) = match answer.status {
            301 => ("-", ""),
            _ => (kind, answer.body.trim_end()),
        };
        let body = masks
            .iter()
            .filter(|mask| !mask.is_empty())
            .fold(body.to_owned(), |body, mask| body.replace(mask, "MASK"));
        let body = without_numbers(&body);
        writeln!(text, "{line}\n{} {kind} {to}\n{body}\n", answer.status).unwrap();
    }
}

/// Ports, times and dates as `#`: every run of five or more digits, dashes and colons.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || (c == '-' || c == ':') && !run.is_empty() {
            run.push(c);
            continue;
        }
        out += if run.len() < 5 { &run } else { "#" };
        run.clear();
        out.push(c);
    }
    out.trim_end_matches('\0').to_owned()
}

fn dashboard(web: u16) -> String {
    format!(
        "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n\
         webServer.pprofEnable = true\nenablePrometheus = true\n"
    )
}

async fn online(web: u16) -> Vec<Value> {
    let clients = get(web, "/api/clients?status=online").await.json();
    clients.as_array().unwrap().clone()
}

/// The value of a metric.
async fn metric(web: u16, name: &str) -> Option<String> {
    let page = get(web, "/metrics").await.body;
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    page.lines().find_map(value)
}

async fn register<S>(control: &mut Control<S>, proxy: &Value)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    control.send(NEW_PROXY, proxy).await;
    loop {
        let (kind, answer) = control.recv().await.expect("an answer");
        if kind == NEW_PROXY_RESP {
            return assert_eq!(answer["error"].as_str().unwrap_or_default(), "");
        }
    }
}

#[tokio::test]
async fn clients_come_are_replaced_and_leave() {
    let rig = Rig::new();
    let web = free_port();
    let settings = format!("transport.tcpMux = false\n{}", dashboard(web));
    let frps = rig.frps(&settings).await;
    assert_eq!(metric(web, "frp_server_client_counts").await.unwrap(), "0");
    let types = "frp_server_proxy_counts{type=\"tcp\"}";
    assert_eq!(metric(web, types).await, None);

    let login = json!({"client_id": "office", "user": "u", "hostname": "desk"});
    let (mut old, answer) = Control::login(connect(frps.port).await, "", &login).await;
    let proxy = json!({"proxy_name": "u.p", "proxy_type": "tcp", "remote_port": free_port()});
    register(&mut old, &proxy).await;
    let [first] = &online(web).await[..] else {
        panic!("one client")
    };
    assert_eq!(first["key"], "u.office");
    assert_eq!(first["runID"], answer["run_id"]);
    assert_eq!(first["hostname"], "desk");
    assert_eq!(metric(web, types).await.unwrap(), "1");

    let mut again = login.clone();
    again["run_id"] = answer["run_id"].clone();
    let (mut new, _) = Control::login(connect(frps.port).await, "", &again).await;
    register(&mut new, &proxy).await;
    while old.recv().await.is_some() {}
    let [second] = &online(web).await[..] else {
        panic!("one client")
    };
    assert_eq!(second["firstConnectedAt"], first["firstConnectedAt"]);
    assert_eq!(metric(web, "frp_server_client_counts").await.unwrap(), "1");
    assert_eq!(metric(web, types).await.unwrap(), "1");

    // Refused: its client id belongs to another one.
    let (_, refused) = Control::login(connect(frps.port).await, "", &login).await;
    let why = "client_id [office] for user [u] is already online";
    assert_eq!(refused["error"], why);
    assert_eq!(online(web).await.len(), 1);

    drop(new);
    eventually("the client has left", || async {
        online(web).await.is_empty()
    })
    .await;
    assert_eq!(metric(web, "frp_server_client_counts").await.unwrap(), "0");
    assert_eq!(metric(web, types).await.unwrap(), "0");
    let detailed = "frp_server_proxy_counts_detailed{name=\"u.p\",type=\"tcp\"}";
    assert_eq!(metric(web, detailed).await.unwrap(), "0");
    let left = get(web, "/api/clients/u.office").await.json();
    assert_eq!(
        (&left["online"], &left["runID"]),
        (&json!(false), &json!(""))
    );
}

/// frp counts bytes when a connection ends; here they can be watched.
#[tokio::test]
async fn connections_and_bytes_are_counted_while_they_last() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let web = free_port();
    let frps = rig.frps(&dashboard(web)).await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("p", service.port, port, ""));
    frpc.expect("[p] start proxy success").await;
    let labels = "{name=\"p\",type=\"tcp\"}";
    let counts = format!("frp_server_connection_counts{labels}");
    assert_eq!(metric(web, &counts).await, None);

    let mut user = connect(port).await;
    user.write_all(b"12345").await.unwrap();
    user.read_exact(&mut [0; 5]).await.unwrap();
    let info = get(web, "/api/proxies/p").await.json();
    assert_eq!(info["curConns"], 1);
    assert_eq!(info["todayTrafficIn"], 5);
    eventually("the bytes back are counted", || async {
        let out = format!("frp_server_traffic_out{labels}");
        metric(web, &out).await.as_deref() == Some("5")
    })
    .await;
    assert_eq!(metric(web, &counts).await.unwrap(), "1");

    drop(user);
    eventually("the connection is over", || async {
        metric(web, &counts).await.as_deref() == Some("0")
    })
    .await;
    let traffic = get(web, "/api/traffic/p").await.json();
    assert_eq!(traffic["trafficIn"], json!([5, 0, 0, 0, 0, 0, 0]));
}

#[tokio::test]
async fn all_but_health_is_behind_the_password() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    let wrong = Some("Basic YWRtaW46d3Jvbmc=");
    for path in [
        "/",
        "/static/",
        "/metrics",
        "/api/serverinfo",
        "/debug/pprof/goroutine",
    ] {
        for authorization in [None, wrong] {
            let asked = Instant::now();
            let answer = request(web, "GET", path, authorization).await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (401, "Unauthorized\n")
            );
            let realm = answer.header("www-authenticate");
            assert_eq!(realm, Some("Basic realm=\"Restricted\""));
            // Guessing takes its time.
            assert!(asked.elapsed() >= Duration::from_millis(200), "{path}");
        }
    }
    let health = request(web, "GET", "/healthz", None).await;
    assert_eq!((health.status, health.body.as_str()), (200, ""));
    assert_eq!(request(web, "GET", "/nope", None).await.status, 404);
    assert_eq!(request(web, "PUT", "/api/clients", None).await.status, 405);

    let alive = get(web, "/debug/pprof/goroutine?debug=2").await;
    assert_eq!(alive.status, 200);
    assert!(alive.body.contains("sessions 0\n"), "{}", alive.body);
    assert_eq!(get(web, "/debug/pprof/heap").await.status, 404);
}

#[tokio::test]
async fn without_a_password_the_dashboard_answers_only_to_names_that_are_ours() {
    let rig = Rig::new();
    let web = free_port();
    let text = format!(
        "webServer.port = {web}\nwebServer.allowedHosts = [\"frp.example\"]\nenablePrometheus = true\n"
    );
    let _frps = rig.frps(&text).await;
    for (host, allowed) in [
        ("evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("127.0.0.1", true),
        ("frps", true),
        ("frp.example", true),
    ] {
        let page = format!(
            "Host: {host}:{web}\r\nOrigin: http://{host}:{web}\r\nSec-Fetch-Site: same-origin\r\n"
        );
        for (method, path) in [
            ("GET", "/api/serverinfo"),
            ("GET", "/metrics"),
            ("DELETE", "/api/proxies?status=offline"),
            ("POST", "/api/v2/system/prune"),
        ] {
            let answer = send(web, method, path, &page, "").await;
            let refused = answer.status == 403 && answer.body.contains("allowedHosts");
            assert_eq!(!refused, allowed, "{host} {path}: {answer:?}");
        }
    }
    let browser = "User-Agent: Mozilla/5.0 Firefox/128.0\r\n";
    let delete = "/api/proxies?status=offline";
    assert_eq!(send(web, "DELETE", delete, browser, "").await.status, 403);
    assert_eq!(send(web, "DELETE", delete, "", "").await.status, 200);
}

#[tokio::test]
async fn redirects_hold_behind_a_prefix() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    for (path, to) in [
        ("/", "static/"),
        ("//api/serverinfo?a=b", "../../api/serverinfo?a=b"),
        ("/api/../static/", "../static/"),
    ] {
        let answer = get(web, path).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (301, Some(to)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_there() {
    let rig = Rig::new();
    let web = free_port();
    let frps = rig.frps(&format!("webServer.port = {web}\n")).await;
    for path in ["/metrics", "/debug/pprof/goroutine"] {
        let answer = request(web, "GET", path, None).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "404 page not found\n")
        );
    }
    // Without a password the API is open, and only this machine reaches it.
    assert_eq!(
        request(web, "GET", "/api/clients", None).await.json(),
        json!([])
    );
    assert_eq!(frps.program.log().count("WARNING"), 0);

    let open = format!(
        "webServer.port = {}\nwebServer.addr = \"0.0.0.0\"\n",
        free_port()
    );
    let open = rig.frps(&open).await;
    open.program.expect("WARNING").await;
    open.program.expect("webServer.password").await;
}

#[tokio::test]
async fn pages_of_other_sites_clear_nothing() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    for (method, path, key) in [
        ("POST", "/api/v2/system/prune?type=offline_proxies", "msg"),
        ("DELETE", "/api/proxies?status=offline", "Msg"),
    ] {
        for headers in [
            "Origin: http://evil.example\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            let answer = send(web, method, path, headers, "").await;
            assert_eq!(answer.status, 403, "{method} {path}");
            let why = answer.json()[key].to_string();
            assert!(why.contains("another site"), "{why}");
        }
        let own = send(web, method, path, "Sec-Fetch-Site: same-origin\r\n", "").await;
        assert_eq!(own.status, 200, "{own:?}");
        assert_eq!(request(web, method, path, Some(ADMIN)).await.status, 200);
    }
}

#[tokio::test]
async fn a_taken_port_ends_the_start() {
    let rig = Rig::new();
    let taken = Service::silent().await;
    let config = format!(
        "bindPort = {}\nwebServer.port = {}\n",
        free_port(),
        taken.port
    );
    let mut frps = rig.start(&Side::Ours, "frps", &config);
    let text = format!(
        "listen tcp 127.0.0.1:{}: bind: address already in use",
        taken.port
    );
    frps.expect(&text).await;
    assert_eq!(frps.exit_code().await, Some(1));
}

#[tokio::test]
async fn tls_with_the_files_given() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let own = ca.issue(rig.path(), "web", &["localhost"]);
    let web = free_port();
    let files = format!(
        "webServer.tls.certFile = {:?}\nwebServer.tls.keyFile = {:?}\n",
        own.cert, own.key
    );
    let _frps = rig.frps(&format!("{}{files}", dashboard(web))).await;
    let stream = tls::connect_tls(web, client(&[&rustls::version::TLS13])).await;
    let answer = request_on(stream.unwrap(), "GET", "/api/clients", Some(ADMIN)).await;
    assert_eq!((answer.status, answer.json()), (200, json!([])));
}

#[tokio::test]
async fn strange_requests_disturb_nobody() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect(web).await);
    }
    for bytes in [
        &b"\x16\x03\x01\x00\xff"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\n\r\n",
        b"GET /api/v2/clients/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x1b[2J HTTP/1.1\r\n\r\n",
        b"POST /api/clients HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx",
        &[b'a'; 200_000],
    ] {
        let mut stream: TcpStream = connect(web).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _: Vec<u8> = clients::read_all(&mut stream).await;
    }
    let answer: Answer = get(web, "/api/clients").await;
    assert_eq!(answer.status, 200);
}
