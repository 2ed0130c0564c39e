//! The admin API of frpc: what runs, another configuration, the end; asked as scripts, frp's own
//! commands and browsers ask.

use std::time::Duration;

use frp_tests::clients::echo_on;
use frp_tests::http::{ADMIN, get, request, request_on, send};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::Authority;
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

fn admin(port: u16) -> String {
    format!(
        "webServer.port = {port}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
    )
}

async fn status_of(port: u16, kind: &str, name: &str) -> serde_json::Value {
    let all = get(port, "/api/status").await.json();
    let found = all[kind]
        .as_array()
        .and_then(|list| list.iter().find(|p| p["name"] == name));
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_status_is_that_of_frp() {
    for side in sides() {
        let rig = Rig::new();
        let frps = rig.frps("").await;
        let echo = Service::echo().await;
        let (port, web, taken) = (free_port(), free_port(), free_port());
        let _taken = std::net::TcpListener::bind(("0.0.0.0", taken)).unwrap();
        let text = admin(web)
            + "user = \"u\"\n"
            + &tcp_proxy("a", echo.port, port, "")
            + &tcp_proxy("b", echo.port, taken, "");
        let frpc = rig.frpc_of(&side, frps.port, &text);
        frpc.expect("[a] start proxy success").await;
        frpc.expect("[b] start error").await;
        let answer = get(web, "/api/status").await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{side:?}"
        );
        assert_eq!(
            answer.json(),
            json!({"tcp": [
                {
                    "name": "a", "type": "tcp", "status": "running", "err": "",
                    "local_addr": format!("127.0.0.1:{}", echo.port), "plugin": "",
                    "remote_addr": format!("127.0.0.1:{port}"),
                },
                {
                    "name": "b", "type": "tcp", "status": "start error",
                    "err": "port unavailable",
                    "local_addr": format!("127.0.0.1:{}", echo.port), "plugin": "",
                    "remote_addr": "",
                },
            ]}),
            "{side:?}"
        );
    }
}

#[tokio::test]
async fn nothing_runs_while_the_server_is_away() {
    for side in sides() {
        let rig = Rig::new();
        let mut frps = rig.frps("").await;
        let echo = Service::echo().await;
        let web = free_port();
        let text = admin(web) + &tcp_proxy("a", echo.port, free_port(), "");
        let frpc = rig.frpc_of(&side, frps.port, &text);
        frpc.expect("[a] start proxy success").await;
        frps.program.kill().await;
        eventually("the status is empty", || async {
            get(web, "/api/status").await.json() == json!({})
        })
        .await;
        frps.program.start_again();
        eventually("the proxy runs again", || async {
            status_of(web, "tcp", "a").await["status"] == "running"
        })
        .await;
    }
}

/// Who cannot be reached is said in one line and shown with its cause until it can, whatever stands
/// between.
#[tokio::test]
async fn the_status_says_why_a_local_service_cannot_be_reached() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let (local, socket) = (free_port(), rig.path().join("service.sock"));
    let [plain, unix, bridge] = [free_port(), free_port(), free_port()];
    let text = admin(web)
        + &tcp_proxy("plain", local, plain, "")
        + &format!(
            "[[proxies]]\nname = \"unix\"\ntype = \"tcp\"\nremotePort = {unix}\n\
             [proxies.plugin]\ntype = \"unix_domain_socket\"\nunixPath = {socket:?}\n\
             [[proxies]]\nname = \"bridge\"\ntype = \"tcp\"\nremotePort = {bridge}\n\
             [proxies.plugin]\ntype = \"http2http\"\nlocalAddr = \"127.0.0.1:{local}\"\n"
        );
    let frpc = rig.frpc(frps.port, &text);
    let user = async |port: u16| {
        let mut stream = connect(port).await;
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    };
    let cases = [
        ("plain", plain, "connect to local service [127.0.0.1:"),
        ("unix", unix, "dial to uds "),
        ("bridge", bridge, "http: proxy error: "),
    ];
    for (name, port, text) in cases {
        frpc.expect(&format!("[{name}] start proxy success")).await;
        assert_eq!(status_of(web, "tcp", name).await["err"], "");
        for _ in 0..5 {
            user(port).await;
        }
        let status = status_of(web, "tcp", name).await;
        assert_eq!(status["status"], "running");
        let err = status["err"].as_str().unwrap_or_default();
        assert!(err.starts_with(text) && err.contains("connect"), "{status}");
        assert_eq!(frpc.log().count(text), 1, "{}", frpc.log().text());
    }
    let listener = TcpListener::bind(("127.0.0.1", local)).await.unwrap();
    let _tcp = Service::on(listener, |mut user, _| async move {
        let _ = user.read(&mut [0; 1024]).await;
        let _ = user.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    let unix_service = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { while unix_service.accept().await.is_ok() {} });
    for (name, port, _) in cases {
        user(port).await;
        eventually("the status is clean", async || {
            status_of(web, "tcp", name).await["err"] == ""
        })
        .await;
    }
    let again = "the local service can be reached again, after 5 failed attempts";
    assert_eq!(frpc.log().count(again), 3, "{}", frpc.log().text());
}

/// Ours, and frp's where it is there to compare with.
fn sides() -> Vec<Side> {
    let mut sides = vec![Side::Ours];
    sides.extend(Side::reference("0.70.1"));
    sides
}

#[tokio::test]
async fn another_configuration_takes_effect_at_reload_and_disturbs_nothing_else() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let web = free_port();
    let [kept, moved, new, dropped] = [(); 4].map(|()| free_port());
    let head = format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", frps.port) + &admin(web);
    let before = head.clone()
        + &tcp_proxy("kept", echo.port, kept, "")
        + &tcp_proxy("moves", echo.port, moved, "")
        + &tcp_proxy("goes", echo.port, dropped, "");
    let frpc = rig.start(&Side::Ours, "frpc", &before);
    for name in ["kept", "moves", "goes"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let mut user = connect(kept).await;
    echo_on(&mut user, b"before").await;

    assert_eq!(get(web, "/api/config").await.body, before);
    let after = head
        + &tcp_proxy("kept", echo.port, kept, "")
        + &tcp_proxy("moves", echo.port, new, "")
        + &tcp_proxy("comes", echo.port, moved, "");
    let answer = send(web, "PUT", "/api/config", "", &after).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let mark = frpc.log().mark();
    assert_eq!(get(web, "/api/reload?strictConfig=true").await.status, 200);
    for name in ["moves", "comes"] {
        frpc.expect_from(
            mark,
            &format!("[{name}] start proxy success"),
            Duration::from_secs(20),
        )
        .await;
    }
    assert_eq!(frpc.log().count("[kept] start proxy success"), 1);
    echo_on(&mut user, b"after").await;
    for port in [kept, new, moved] {
        echo_on(&mut connect(port).await, b"x").await;
    }
    eventually("the dropped port is free", async || {
        std::net::TcpListener::bind(("127.0.0.1", dropped)).is_ok()
    })
    .await;
    assert_eq!(
        status_of(web, "tcp", "moves").await["remote_addr"],
        format!("127.0.0.1:{new}")
    );
    assert!(status_of(web, "tcp", "goes").await.is_null());
}

#[tokio::test]
async fn visitors_come_and_go_at_reload() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (web, first, second) = (free_port(), free_port(), free_port());
    let text = |port: u16| {
        format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", frps.port)
            + &admin(web)
            + &format!(
                "[[proxies]]\nname = \"s\"\ntype = \"stcp\"\nsecretKey = \"k\"\nlocalPort = {}\n\
                 [[visitors]]\nname = \"v\"\ntype = \"stcp\"\nserverName = \"s\"\n\
                 secretKey = \"k\"\nbindPort = {port}\n",
                echo.port
            )
    };
    let frpc = rig.start(&Side::Ours, "frpc", &text(first));
    frpc.expect("[s] start proxy success").await;
    frpc.expect("start visitor success").await;
    echo_on(&mut connect(first).await, b"first").await;
    assert_eq!(
        send(web, "PUT", "/api/config", "", &text(second))
            .await
            .status,
        200
    );
    let mark = frpc.log().mark();
    assert_eq!(get(web, "/api/reload").await.status, 200);
    frpc.expect_from(mark, "start visitor success", Duration::from_secs(20))
        .await;
    echo_on(&mut connect(second).await, b"second").await;
    assert!(
        std::net::TcpListener::bind(("127.0.0.1", first)).is_ok(),
        "given back"
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let frpc = rig.frpc(frps.port, &admin(web));
    frpc.expect("login to server success").await;
    let before = get(web, "/api/config").await.body;
    let refused = async |method: &str, path: &str, headers: &str, body: &str| {
        let answer = send(web, method, path, headers, body).await;
        assert!(answer.status >= 400, "{method} {path}: {answer:?}");
        answer.json()["Msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused("PUT", "/api/config", "", "").await,
        "body can't be empty"
    );
    let why = refused("PUT", "/api/config", "", "serverPort = \"x\"\n").await;
    assert!(
        why.starts_with("invalid argument: ") && why.contains(":1:"),
        "{why}"
    );
    // A page of another site cannot make a browser do it.
    for headers in [
        "Origin: http://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        for (method, path) in [
            ("GET", "/api/reload"),
            ("POST", "/api/stop"),
            ("PUT", "/api/config"),
        ] {
            let why = refused(method, path, headers, "serverPort = 1\n").await;
            assert!(why.contains("another site"), "{why}");
        }
    }
    assert_eq!(request(web, "GET", "/api/status", None).await.status, 401);
    assert_eq!(request(web, "GET", "/healthz", None).await.status, 200);
    assert_eq!(get(web, "/api/config").await.body, before);
}

#[tokio::test]
async fn without_a_password_a_name_of_a_stranger_is_refused() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let text = format!("webServer.port = {web}\nwebServer.pprofEnable = true\n");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("login to server success").await;
    // What a browser sends for a page whose name points here: nothing tells of another site.
    let stranger = format!(
        "Host: evil.example:{web}\r\nOrigin: http://evil.example:{web}\r\n\
         Sec-Fetch-Site: same-origin\r\n"
    );
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/status"),
        ("GET", "/api/config"),
        ("GET", "/api/reload"),
        ("GET", "/debug/pprof/goroutine"),
        ("PUT", "/api/config"),
        ("POST", "/api/stop"),
    ] {
        let answer = send(web, method, path, &stranger, "serverPort = 1\n").await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.body.contains("webServer.password"), "{answer:?}");
    }
    let healthz = send(web, "GET", "/healthz", &stranger, "").await;
    assert_eq!(healthz.status, 200);
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        // A container's, a machine's of the house.
        "frpc",
        "box.local",
        "frpc.internal",
        "router.lan",
        "nas.home.arpa",
    ] {
        let host = format!("Host: {host}:{web}\r\n");
        let answer = send(web, "GET", "/api/config", &host, "").await;
        assert!(answer.body.contains(&text), "{answer:?}");
    }
    let same_site = "Sec-Fetch-Site: same-site\r\n";
    let answer = send(web, "GET", "/api/reload", same_site, "").await;
    assert_eq!(answer.status, 403);

    let alive = get(web, "/debug/pprof/goroutine?debug=2").await.body;
    assert!(alive.contains("proxies 0\n"), "{alive}");
    assert_eq!(get(web, "/debug/pprof/heap").await.status, 404);
}

#[tokio::test]
async fn a_name_of_allowed_hosts_will_do_without_a_password() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let text = format!(
        "webServer.port = {web}\nwebServer.allowedHosts = [\"frp.example\", \"*.corp.example\"]\n"
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("login to server success").await;
    for (host, status) in [
        ("frp.example", 200),
        ("a.corp.example", 200),
        ("corp.example", 403),
        ("evil.example", 403),
    ] {
        let named = format!("Host: {host}:{web}\r\n");
        let answer = send(web, "GET", "/api/status", &named, "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

/// An image of another site: on a plain name browsers say nothing of where it comes from.
#[tokio::test]
async fn a_browser_that_does_not_show_whose_page_asks_changes_nothing() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let frpc = rig.frpc(frps.port, &admin(web));
    frpc.expect("login to server success").await;
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\n";
    let reload = async |lines: &str| send(web, "GET", "/api/reload", lines, "").await.status;
    assert_eq!(reload(browser).await, 403);
    assert_eq!(
        reload(&format!("{browser}Referer: http://evil.example/\r\n")).await,
        403
    );
    assert_eq!(reload("Referer: http://evil.example/\r\n").await, 403);
    assert_eq!(
        reload(&format!("{browser}Referer: http://127.0.0.1/static/\r\n")).await,
        200
    );
    assert_eq!(
        reload(&format!("{browser}Sec-Fetch-Site: none\r\n")).await,
        200
    );
    for program in ["curl/8.5.0", "python-requests/2.31", "Go-http-client/1.1"] {
        let named = format!("User-Agent: {program}\r\n");
        assert_eq!(reload(&named).await, 200, "{program}");
    }
    let looked = send(web, "GET", "/api/status", browser, "").await;
    assert_eq!(looked.status, 200);
}

#[tokio::test]
async fn with_a_password_any_name_will_do() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let frpc = rig.frpc(frps.port, &admin(web));
    frpc.expect("login to server success").await;
    let named = "Host: office.example\r\n";
    let answer = send(web, "GET", "/api/status", named, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(get(web, "/debug/pprof/goroutine").await.status, 404);
}

#[tokio::test]
async fn a_reload_tells_what_is_doubtful() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let frpc = rig.frpc(frps.port, &admin(web));
    frpc.expect("login to server success").await;
    let text = get(web, "/api/config").await.body;
    let doubtful = format!("start = [\"ghost\"]\n{text}");
    let answer = send(web, "PUT", "/api/config", "", &doubtful).await;
    assert_eq!(answer.status, 200);
    assert_eq!(get(web, "/api/reload").await.status, 200);
    frpc.expect("start names \"ghost\", but there is no such proxy")
        .await;
}

#[tokio::test]
async fn the_commands_ask_a_running_frpc() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (port, web) = (free_port(), free_port());
    let text = format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", frps.port)
        + &admin(web)
        + &tcp_proxy("a", echo.port, port, "");
    let file = rig.file("asked.toml", &text);
    let mut frpc = rig.run(
        &Side::Ours,
        "frpc",
        ["-c".into(), file.clone().into_os_string()],
    );
    frpc.expect("[a] start proxy success").await;
    for side in sides() {
        for (command, text) in [("status", "running"), ("reload", "reload success")] {
            let mut asked = rig.run(
                &side,
                "frpc",
                [command.into(), "-c".into(), file.clone().into_os_string()],
            );
            assert_eq!(asked.exit_code().await, Some(0), "{side:?} {command}");
            assert!(
                asked.log().text().contains(text),
                "{side:?}: {}",
                asked.log().text()
            );
        }
    }
    let mut stop = rig.run(
        &Side::Ours,
        "frpc",
        ["stop".into(), "-c".into(), file.into_os_string()],
    );
    assert_eq!(stop.exit_code().await, Some(0));
    assert_eq!(frpc.exit_code().await, Some(0));
    eventually("the port is free", async || {
        std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
    .await;
}

#[tokio::test]
async fn it_speaks_tls_with_the_files_given() {
    for side in sides() {
        let rig = Rig::new();
        let frps = rig.frps("").await;
        let ca = Authority::new(rig.path(), "ca");
        let own = ca.issue(rig.path(), "web", &["localhost"]);
        let web = free_port();
        let files = format!(
            "webServer.tls.certFile = {:?}\nwebServer.tls.keyFile = {:?}\n",
            own.cert, own.key
        );
        let frpc = rig.frpc_of(&side, frps.port, &format!("{}{files}", admin(web)));
        frpc.expect("login to server success").await;
        let trust = tls::client(rustls::ALL_VERSIONS);
        let stream = tls::connect_tls(web, trust).await.unwrap();
        let answer = request_on(stream, "GET", "/api/status", Some(ADMIN)).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{side:?}");
    }
}
