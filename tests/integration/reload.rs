//! frpc reads its configuration again, by signal and by request, on trial or for good, and both programs take
//! up certificates that were renewed in their files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frp_tests::clients::{echo_on, echoes, until_echoes};
use frp_tests::http::{ADMIN, Answer, get, send};
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::tls::{Authority, Identity, client, connect_tls};
use frp_tests::*;
use rustls::ALL_VERSIONS;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::carries::free_udp_port;

const SOON: Duration = Duration::from_secs(20);

/// A frpc whose configuration file is rewritten.
struct Client {
    program: Program,
    file: PathBuf,
    head: String,
    web: u16,
}

impl Client {
    async fn start(rig: &Rig, frps: u16, head: &str, entries: &str) -> Self {
        let web = free_port();
        let head = format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {frps}\nwebServer.port = {web}\n\
             webServer.user = \"admin\"\nwebServer.password = \"secret\"\n\
             log.disablePrintColor = true\n{head}"
        );
        let file = rig.file("client.toml", head.clone() + entries);
        let program = rig.run(&Side::Ours, "frpc", [Path::new("-c"), &file]);
        program.expect("login to server success").await;
        Self {
            program,
            file,
            head,
            web,
        }
    }

    fn write(&self, entries: &str) {
        std::fs::write(&self.file, self.head.clone() + entries).unwrap();
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        send(self.web, "POST", path, "", body).await
    }

    /// A file beside the configuration.
    fn beside(&self, ending: &str) -> Option<String> {
        let mut name = self.file.clone().into_os_string();
        name.push(ending);
        std::fs::read_to_string(name).ok()
    }
}

/// A request on a connection that stays.
async fn ask_on(stream: &mut TcpStream, host: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        let got = within(SOON, "an answer", stream.read_buf(&mut answer))
            .await
            .unwrap();
        assert_ne!(got, 0, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn users_of_what_stays_notice_nothing() {
    let rig = Rig::new();
    let vhost = free_port();
    let frps = rig.frps(&format!("vhostHTTPPort = {vhost}\n")).await;
    let echo = Service::echo().await;
    let udp = UdpService::echo().await;
    let site = Service::new(|mut stream| async move {
        let mut request = Vec::new();
        while stream.read_buf(&mut request).await.is_ok_and(|got| got > 0) {
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    })
    .await;
    let [tcp, visit, moved, new] = [(); 4].map(|()| free_port());
    let datagrams = free_udp_port();
    let stay = tcp_proxy("tcp", echo.port, tcp, "")
        + &udp_proxy("udp", udp.port, datagrams, "")
        + &host_proxy("http", "http", site.port, "customDomains = [\"a.test\"]")
        + &stcp_proxy("secret", echo.port, "")
        + &stcp_visitor("visitor", "secret", visit, "");
    let before = stay.clone() + &tcp_proxy("moves", echo.port, moved, "");
    let frpc = Client::start(&rig, frps.port, "", &before).await;
    for port in [tcp, visit, moved] {
        until_echoes(port, SOON).await;
    }
    frpc.program.expect("[http] start proxy success").await;
    frpc.program.expect("[udp] start proxy success").await;
    let (mut a, mut b, mut c) = (
        connect(tcp).await,
        connect(visit).await,
        connect(vhost).await,
    );
    let user = UdpUser::of(datagrams).await;
    for round in 0..3 {
        for stream in [&mut a, &mut b] {
            echo_on(stream, b"still there").await;
        }
        user.echo(b"still there").await;
        ask_on(&mut c, "a.test").await;
        // The port of what moves away is wanted by another at once.
        let (one, other) = if round % 2 == 0 {
            (new, moved)
        } else {
            (moved, new)
        };
        frpc.write(
            &(stay.clone()
                + &tcp_proxy("moves", echo.port, one, "")
                + &tcp_proxy("comes", echo.port, other, "")),
        );
        let mark = frpc.program.log().mark();
        frpc.program.signal("HUP").await;
        for name in ["moves", "comes"] {
            let line = format!("[{name}] start proxy success");
            frpc.program.expect_from(mark, &line, SOON).await;
        }
        until_echoes(one, SOON).await;
        until_echoes(other, SOON).await;
    }
    for stream in [&mut a, &mut b] {
        echo_on(stream, b"still there").await;
    }
    user.echo(b"still there").await;
    ask_on(&mut c, "a.test").await;
    let log = frpc.program.log();
    assert_eq!(log.count("[tcp] start proxy success"), 1);
    assert_eq!(log.count("start error"), 0, "{}", log.text());
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_with_its_place() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("a", echo.port, port, "");
    let frpc = Client::start(&rig, frps.port, "", &proxy).await;
    until_echoes(port, SOON).await;
    let mut user = connect(port).await;
    frpc.write(&proxy.replace("localPort", "lokalPort"));
    frpc.program.signal("HUP").await;
    let line = frpc
        .program
        .expect("reload refused, nothing has changed: ")
        .await;
    assert!(
        line.contains("client.toml:") && line.contains("lokalPort"),
        "{line}"
    );
    let refused = frpc.post("/api/reload?strictConfig=true", "").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("client.toml:"), "{refused:?}");
    echo_on(&mut user, b"x").await;
    // A file that somebody is about to write says nothing yet.
    std::fs::write(&frpc.file, "").unwrap();
    let refused = frpc.post("/api/reload", "").await;
    assert!(refused.body.contains("the file is empty"), "{refused:?}");
    // What only a restart changes is named.
    frpc.write(&proxy);
    let text = std::fs::read_to_string(&frpc.file).unwrap();
    let changed = format!("user = \"u\"\nlog.level = \"warn\"\ntransport.poolCount = 3\n{text}");
    std::fs::write(&frpc.file, changed).unwrap();
    let told = frpc.post("/api/reload", "").await;
    assert_eq!(
        told.json(),
        json!({"restart": ["user", "log.level", "transport.poolCount"], "confirmUntil": null})
    );
    frpc.program
        .expect("user, log.level, transport.poolCount cannot change while frpc runs")
        .await;
    let plain = get(frpc.web, "/api/reload").await;
    assert_eq!((plain.status, plain.body.as_str()), (200, ""));
    echo_on(&mut user, b"x").await;
}

#[tokio::test]
async fn what_is_not_confirmed_is_undone_and_what_is_stays() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let [old, new, stored] = [(); 3].map(|()| free_port());
    let former = tcp_proxy("a", echo.port, old, "");
    let tried = tcp_proxy("a", echo.port, new, "");
    let head = "store.path = \"store.json\"\n";
    let frpc = Client::start(&rig, frps.port, head, &former).await;
    until_echoes(old, SOON).await;
    let before = std::fs::read_to_string(&frpc.file).unwrap();
    for wrong in ["0", "-1", "x", "86401"] {
        let path = format!("/api/reload?confirm={wrong}");
        assert_eq!(frpc.post(&path, "").await.status, 400, "{wrong}");
    }
    let nothing = frpc.post("/api/confirm", "").await;
    assert_eq!(nothing.status, 409);
    assert_eq!(nothing.json()["Msg"], "nothing waits to be confirmed");

    frpc.write(&tried);
    let attempt = std::fs::read_to_string(&frpc.file).unwrap();
    let answer = frpc.post("/api/reload?confirm=2", "").await;
    assert!(answer.json()["confirmUntil"].is_u64(), "{answer:?}");
    until_echoes(new, SOON).await;
    // The store is another matter.
    let body = json!({"name": "s", "type": "tcp", "tcp": {
        "localPort": echo.port, "remotePort": stored,
    }});
    let made = frpc.post("/api/store/proxies", &body.to_string()).await;
    assert_eq!(made.status, 200, "{made:?}");
    frpc.program.expect("the former settings are back").await;
    until_echoes(old, SOON).await;
    until_echoes(stored, SOON).await;
    eventually("the other port is free", async || !echoes(new).await).await;
    frpc.program
        .expect("is as before; what was tried is in")
        .await;
    assert_eq!(std::fs::read_to_string(&frpc.file).unwrap(), before);
    assert_eq!(frpc.beside(".unconfirmed").as_ref(), Some(&attempt));
    assert_eq!(frpc.beside(".former"), None);

    // By the commands; a second one meanwhile begins the time anew, with the same to come back.
    frpc.write(&tried);
    let command = |words: &[&str]| {
        let file = frpc.file.to_string_lossy().into_owned();
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let rig = &rig;
        async move {
            let all = words.into_iter().chain(["-c".to_owned(), file]);
            let mut program = rig.run(&Side::Ours, "frpc", all);
            let code = program.exit_code().await;
            (code, program.log().text())
        }
    };
    let (code, text) = command(&["reload", "--confirm", "60s"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("reload success; the former settings come back in 60 s"),
        "{text}"
    );
    until_echoes(new, SOON).await;
    assert_eq!(frpc.beside(".former").as_ref(), Some(&before));
    let (code, _) = command(&["reload", "--confirm", "50s"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(frpc.beside(".former").as_ref(), Some(&before));
    let (code, text) = command(&["confirm"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(frpc.beside(".former"), None);
    let (code, text) = command(&["confirm"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no reload waits to be confirmed"), "{text}");
    assert_eq!(std::fs::read_to_string(&frpc.file).unwrap(), attempt);
    until_echoes(new, SOON).await;
    // Where the former text cannot be kept, nothing changes, nor is what was edited in the store lost.
    let former = rig.path().join("client.toml.former");
    std::fs::create_dir(&former).unwrap();
    let store = rig.path().join("store.json");
    let text = std::fs::read_to_string(&store).unwrap();
    std::fs::write(&store, text.replace("\"s\"", "\"edited\"")).unwrap();
    frpc.write("");
    let refused = frpc.post("/api/reload?confirm=60", "").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("cannot be kept"), "{refused:?}");
    assert!(echoes(new).await);
    let body = body.to_string().replace("\"s\"", "\"another\"");
    let made = frpc.post("/api/store/proxies", &body).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert!(
        std::fs::read_to_string(&store)
            .unwrap()
            .contains("\"edited\"")
    );
}

/// Whoever reloads through a proxy that the new settings lack is cut off, and gets back in.
#[tokio::test]
async fn who_locks_himself_out_gets_back_in() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let frpc = Client::start(&rig, frps.port, "", "").await;
    let port = free_port();
    let way_in = tcp_proxy("admin", frpc.web, port, "");
    frpc.write(&way_in);
    assert_eq!(get(frpc.web, "/api/reload").await.status, 200);
    frpc.program.expect("[admin] start proxy success").await;
    frpc.write("");
    let mut far = connect(port).await;
    let request = format!(
        "POST /api/reload?confirm=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ADMIN}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    far.write_all(request.as_bytes()).await.unwrap();
    // Nor does whoever is gone before the answer make a difference.
    drop(far);
    frpc.program.expect("proxy removed: [admin]").await;
    frpc.program.expect("the former settings are back").await;
    eventually("the way in is there again", async || {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else {
            return false;
        };
        drop(stream);
        get(port, "/api/status").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_restart_while_a_reload_waits_brings_the_former_settings_back() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (old, new) = (free_port(), free_port());
    let former = tcp_proxy("a", echo.port, old, "");
    let mut frpc = Client::start(&rig, frps.port, "", &former).await;
    until_echoes(old, SOON).await;
    let before = std::fs::read_to_string(&frpc.file).unwrap();
    frpc.write(&tcp_proxy("a", echo.port, new, ""));
    assert_eq!(frpc.post("/api/reload?confirm=600", "").await.status, 200);
    until_echoes(new, SOON).await;
    frpc.program.kill().await;
    frpc.program.start_again();
    frpc.program
        .expect("the last reload was not confirmed")
        .await;
    until_echoes(old, SOON).await;
    assert_eq!(std::fs::read_to_string(&frpc.file).unwrap(), before);
    assert!(
        frpc.beside(".unconfirmed")
            .is_some_and(|text| text.contains(&new.to_string()))
    );
    assert!(!echoes(new).await);
}

/// So do the texts of included files: of one that was changed, one that was removed, and one that is new.
#[tokio::test]
async fn included_files_come_back_after_a_wait_and_after_a_restart() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let ports = [(); 3].map(|()| free_port());
    let more = rig.path().join("more");
    std::fs::create_dir(&more).unwrap();
    // A pattern that takes anything, what is kept aside there, too.
    let head = format!("includes = [{:?}]\n", more.join("*"));
    let [changed, removed, added] = ["changed", "removed", "added"].map(|name| more.join(name));
    let [one, two, three] = ["one", "two", "three"];
    std::fs::write(&changed, tcp_proxy(one, echo.port, ports[0], "")).unwrap();
    std::fs::write(&removed, tcp_proxy(two, echo.port, ports[1], "")).unwrap();
    let mut frpc = Client::start(&rig, frps.port, &head, "").await;
    let all = || {
        let read = |path: &PathBuf| std::fs::read_to_string(path).ok();
        [&changed, &removed, &added].map(read)
    };
    let before = all();
    for wait in [2, 600] {
        std::fs::write(&changed, "").unwrap();
        std::fs::remove_file(&removed).unwrap();
        std::fs::write(&added, tcp_proxy(three, echo.port, ports[2], "")).unwrap();
        let path = format!("/api/reload?confirm={wait}");
        assert_eq!(frpc.post(&path, "").await.status, 200);
        until_echoes(ports[2], SOON).await;
        if wait == 600 {
            frpc.program.kill().await;
            frpc.program.start_again();
        }
        until_echoes(ports[0], SOON).await;
        until_echoes(ports[1], SOON).await;
        eventually("the added one is gone", async || !echoes(ports[2]).await).await;
        eventually("the files are as before", async || all() == before).await;
        let aside = std::fs::read_to_string(more.join("added.unconfirmed")).unwrap();
        assert!(aside.contains(three), "{aside}");
        eventually("nothing waits", async || {
            frpc.beside(".former").is_none() && frpc.beside(".included.former").is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn an_editor_is_told_what_is_wrong_and_what_there_is() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let file = rig.file(
        "client.toml",
        format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {}\nwebServer.port = {{{{ .Envs.WEB }}}}\n\
             webServer.user = \"admin\"\nwebServer.password = \"secret\"\n",
            frps.port
        ),
    );
    let web = free_port();
    let number = web.to_string();
    let program = Program::spawn_with(
        &Side::Ours.program("frpc"),
        [Path::new("-c"), &file],
        rig.path(),
        &[("WEB", number.as_str()), ("HUSH", "hush-hush")],
    );
    program.expect("login to server success").await;
    let verify = async |query: &str, text: &str| {
        let answer = send(web, "POST", &format!("/api/verify{query}"), "", text).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["problems"].clone()
    };
    assert_eq!(verify("", "serverPort = 7000\n").await, json!([]));
    let found = verify("", "serverPort = 7000\nsurverAddr = \"a\"\n").await;
    assert_eq!(found[0]["line"], 2);
    assert_eq!(
        (&found[0]["column"], &found[0]["endColumn"]),
        (&json!(1), &json!(11))
    );
    assert_eq!(
        (&found[0]["key"], &found[0]["level"]),
        (&json!("surverAddr"), &json!("error"))
    );
    let found = verify("?strictConfig=false", "surverAddr = \"a\"\n").await;
    assert_eq!(found[0]["level"], "warning");
    let found = verify("?format=json", "{\"serverPort\": \"x\"}").await;
    assert_eq!(found[0]["column"], 16, "{found}");
    // What the environment says is taken, but not told, and files are left alone.
    let found = verify("", "transport.protocol = \"{{ .Envs.HUSH }}\"\n").await;
    assert_eq!(found[0]["line"], 1);
    assert!(!found.to_string().contains("hush"), "{found}");
    assert_eq!(
        verify("", "includes = [\"/etc/passwd\"]\n").await,
        json!([])
    );
    assert_eq!(
        send(web, "POST", "/api/verify?format=xml", "", "")
            .await
            .status,
        400
    );
    let long = " ".repeat(4 * 1024 * 1024 + 1);
    assert_eq!(
        send(web, "POST", "/api/verify", "", &long).await.status,
        400
    );
    let schema = get(web, "/api/schema").await;
    assert_eq!(schema.header("content-type"), Some("application/json"));
    assert_eq!(schema.json()["title"], "Configuration of frpc");
}

/// The certificate that a server shows.
async fn shown(port: u16) -> Vec<u8> {
    let stream = connect_tls(port, client(ALL_VERSIONS)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn copy(from: &Identity, to: &Identity) {
    std::fs::copy(&from.key, &to.key).unwrap();
    std::fs::copy(&from.cert, &to.cert).unwrap();
}

fn der(identity: &Identity) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(&identity.cert)
        .unwrap()
        .to_vec()
}

async fn shows(port: u16, identity: &Identity, what: &str) {
    let wanted = der(identity);
    eventually(what, async || shown(port).await == wanted).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let own = |name: &str| ca.issue(rig.path(), name, &["127.0.0.1"]);
    let (used, new) = (own("used"), own("new"));
    let old = own("old");
    copy(&old, &used);
    let (cert, key) = (&used.cert, &used.key);
    let (dashboard, web, plugin, raw) = (free_port(), free_port(), free_port(), free_port());
    let frps = rig
        .frps(&format!(
            "webServer.port = {dashboard}\nwebServer.tls.certFile = {cert:?}\n\
             webServer.tls.keyFile = {key:?}\ntransport.tls.certFile = {cert:?}\n\
             transport.tls.keyFile = {key:?}\n"
        ))
        .await;
    let echo = Service::echo().await;
    let with_files = |name: &str, kind: &str, port: u16| {
        format!(
            "[[proxies]]\nname = {name:?}\ntype = \"tcp\"\nremotePort = {port}\n[proxies.plugin]\n\
             type = {kind:?}\nlocalAddr = \"127.0.0.1:{}\"\ncrtPath = {cert:?}\nkeyPath = {key:?}\n",
            echo.port
        )
    };
    let text = format!(
        "webServer.port = {web}\nwebServer.tls.certFile = {cert:?}\nwebServer.tls.keyFile = {key:?}\n"
    ) + &with_files("https", "https2http", plugin)
        + &with_files("raw", "tls2raw", raw);
    let frpc = rig.frpc(frps.port, &text);
    for name in ["https", "raw"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let places = [
        (frps.port, "frps"),
        (dashboard, "the dashboard"),
        (web, "the admin API"),
        (plugin, "https2http"),
        (raw, "tls2raw"),
    ];
    for (port, what) in places {
        shows(port, &old, what).await;
    }
    let mut user = connect_tls(raw, client(ALL_VERSIONS)).await.unwrap();
    user.write_all(b"before").await.unwrap();
    let mut echoed = [0; 6];
    user.read_exact(&mut echoed).await.unwrap();

    // A certificate without its key is not taken, which is said once.
    std::fs::copy(&new.cert, &used.cert).unwrap();
    let refused = "changed, and cannot be used, so that what was read before stays";
    for program in [&frpc, &frps.program] {
        program.expect(refused).await;
    }
    for (port, what) in places {
        shows(port, &old, what).await;
    }
    let told = frps.program.log().count(refused);
    std::fs::copy(&new.key, &used.key).unwrap();
    for (port, what) in places {
        shows(port, &new, what).await;
    }
    // For transport.tls and for the dashboard.
    assert!(told <= 2, "{}", frps.program.log().text());
    assert_eq!(frps.program.log().count(refused), told);
    // Who was there stays.
    user.write_all(b"after!").await.unwrap();
    user.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"after!");
    assert_eq!(frpc.log().count("login to server success"), 1);
}

#[tokio::test]
async fn renewed_files_count_for_the_next_login_over_tcp() {
    files_are_renewed("tcp").await;
}

#[tokio::test]
async fn renewed_files_count_for_the_next_login_over_websocket() {
    files_are_renewed("websocket").await;
}

#[tokio::test]
async fn renewed_files_count_for_the_next_login_over_wss() {
    files_are_renewed("wss").await;
}

#[tokio::test]
async fn renewed_files_count_for_the_next_login_over_quic() {
    files_are_renewed("quic").await;
}

/// frpc gets nowhere until a file of one of the two is renewed.
async fn files_are_renewed(protocol: &str) {
    let rig = Rig::new();
    let folder = rig.path();
    let (one, two) = (
        Authority::new(rig.path(), "one"),
        Authority::new(rig.path(), "two"),
    );
    let own = |ca: &Authority, name: &str| ca.issue(folder, name, &["127.0.0.1"]);
    let (server, client) = (own(&one, "server"), own(&one, "client"));
    let (server_ca, client_ca) = (folder.join("server-ca"), folder.join("client-ca"));
    // Each end trusts the first authority, and frps has a certificate of the second.
    std::fs::copy(&one.file, &server_ca).unwrap();
    std::fs::copy(&one.file, &client_ca).unwrap();
    copy(&own(&two, "other"), &server);
    let quic = free_udp_port();
    let frps = rig
        .frps(&format!(
            "quicBindPort = {quic}\ntransport.tls.certFile = {:?}\ntransport.tls.keyFile = {:?}\n\
                 transport.tls.trustedCaFile = {server_ca:?}\n",
            server.cert, server.key
        ))
        .await;
    let port = if protocol == "quic" { quic } else { frps.port };
    let mut frpc = rig.frpc(
        port,
        &format!(
            "loginFailExit = false\ntransport.protocol = {protocol:?}\n\
                 transport.tls.trustedCaFile = {client_ca:?}\ntransport.tls.certFile = {:?}\n\
                 transport.tls.keyFile = {:?}\n",
            client.cert, client.key
        ),
    );
    frpc.expect("connect to server error").await;
    // The certificate of frps.
    copy(&own(&one, "again"), &server);
    frpc.expect("login to server success").await;
    // The CA that frps trusts: whoever comes again needs another certificate, and gets one.
    std::fs::copy(&two.file, &server_ca).unwrap();
    frps.program
        .expect(&format!("{}: renewed", server_ca.display()))
        .await;
    frpc.kill().await;
    frpc.start_again();
    frpc.expect("connect to server error").await;
    copy(&own(&two, "renewed"), &client);
    frpc.expect("login to server success").await;
    // The CA that frpc trusts.
    let mark = frps.program.log().mark();
    copy(&own(&two, "server-two"), &server);
    frps.program
        .expect_from(mark, &format!("{}: renewed", server.key.display()), SOON)
        .await;
    frpc.kill().await;
    frpc.start_again();
    frpc.expect("connect to server error").await;
    std::fs::copy(&two.file, &client_ca).unwrap();
    frpc.expect("login to server success").await;
}
