//! xtcp: what our frps does for the two ends of a direct path, by Go's frpc and by scripted ends; and
//! `frpc nathole discover`.

use std::time::Duration;

use frp_tests::clients::{read_all, until_echoes};
use frp_tests::network::{StunServer, StunStyle};
use frp_tests::rig::{stcp_proxy, stcp_visitor};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

const NEWEST: &str = "0.70.1";

const NAT_HOLE_VISITOR: u8 = b'i';
const NAT_HOLE_CLIENT: u8 = b'n';
const NAT_HOLE_RESP: u8 = b'm';
const NAT_HOLE_SID: u8 = b'5';
const NAT_HOLE_REPORT: u8 = b'6';

/// A hole and the session of QUIC or kcp behind it: Go's takes two seconds, and ten more for each that fails.
const DUG: Duration = Duration::from_secs(60);

/// A frps on which scripted ends log in: without the mux.
async fn frps(rig: &Rig, more: &str) -> Frps {
    rig.frps(&format!("transport.tcpMux = false\n{more}")).await
}

/// A client that speaks for itself.
struct End {
    control: Control<TcpStream>,
    run_id: String,
    port: u16,
}

impl End {
    async fn login(frps: &Frps, user: &str) -> Self {
        let stream = connect(frps.port).await;
        let (control, answer) = Control::login(stream, "", &json!({ "user": user })).await;
        let run_id = answer["run_id"].as_str().unwrap().to_owned();
        Self {
            control,
            run_id,
            port: frps.port,
        }
    }

    async fn owns(&mut self, name: &str, allow_users: &[&str]) {
        let proxy = json!({
            "proxy_name": name, "proxy_type": "xtcp", "sk": "secret", "allow_users": allow_users,
        });
        let answer = self.control.register(&proxy).await;
        assert_eq!(answer["error"].as_str().unwrap_or_default(), "");
    }

    async fn asks(&mut self, visitor: &Value) {
        self.control.send(NAT_HOLE_VISITOR, visitor).await;
    }

    /// The next word about holes.
    async fn hears(&mut self) -> Value {
        loop {
            let (kind, body) = self.control.recv().await.expect("an answer");
            if kind == NAT_HOLE_RESP {
                return body;
            }
        }
    }

    async fn refused(&mut self, visitor: &Value) -> String {
        self.asks(visitor).await;
        self.hears().await["error"].as_str().unwrap().to_owned()
    }

    /// A work connection until the id of a hole has come on it, for this proxy.
    async fn sid(&self, proxy: &str) -> String {
        let mut stream = connect(self.port).await;
        let (key, timestamp) = wire::privilege_key("");
        let new = json!({"run_id": self.run_id, "privilege_key": key, "timestamp": timestamp});
        stream
            .write_all(&wire::v1(wire::NEW_WORK_CONN, &new))
            .await
            .unwrap();
        let (kind, start) = wire::read_v1(&mut stream).await.unwrap();
        assert_eq!(
            (kind, start["proxy_name"].as_str()),
            (wire::START_WORK_CONN, Some(proxy))
        );
        let (kind, body) = wire::read_v1(&mut stream).await.unwrap();
        assert_eq!(kind, NAT_HOLE_SID);
        body["sid"].as_str().unwrap().to_owned()
    }

    /// Says addresses behind a NAT that is the same to everybody.
    async fn answers(&mut self, sid: &str) {
        let answer = json!({
            "transaction_id": "tc", "proxy_name": "p", "sid": sid,
            "mapped_addrs": ["198.51.100.1:1000", "198.51.100.1:1000"],
            "assisted_addrs": ["10.0.0.1:1000"],
        });
        self.control.send(NAT_HOLE_CLIENT, &answer).await;
    }
}

fn visitor(name: &str, secret: &str) -> Value {
    let (key, timestamp) = wire::privilege_key(secret);
    json!({
        "transaction_id": "tv", "proxy_name": name, "protocol": "quic", "sign_key": key,
        "timestamp": timestamp, "mapped_addrs": ["198.51.100.2:2000", "198.51.100.2:2000"],
        "assisted_addrs": ["10.0.0.2:2000", "224.0.0.1:2000", "169.254.1.1:2000"],
    })
}

#[tokio::test]
async fn both_ends_of_a_hole_are_told_of_each_other_the_sender_later() {
    let rig = Rig::new();
    let server = frps(&rig, "").await;
    let mut owner = End::login(&server, "").await;
    let mut guest = End::login(&server, "").await;
    let mut other = End::login(&server, "").await;
    owner.owns("p", &[]).await;
    for (number, roles) in [["receiver", "sender"], ["sender", "receiver"]]
        .into_iter()
        .enumerate()
    {
        guest.asks(&visitor("p", "secret")).await;
        let sid = owner.sid("p").await;
        // Whoever else knows the id can do nothing with it.
        other.answers(&sid).await;
        let refused = other.hears().await["error"].clone();
        assert_eq!(refused, format!("xtcp session [{sid}] doesn't exist"));
        owner.answers(&sid).await;
        let (to_guest, to_owner) = match roles[0] {
            "receiver" => {
                let to_guest = guest.hears().await;
                (to_guest, owner.hears().await)
            }
            _ => {
                let to_owner = owner.hears().await;
                (guest.hears().await, to_owner)
            }
        };
        assert_eq!(to_guest["candidate_addrs"], json!(["198.51.100.1:1000"]));
        assert_eq!(to_guest["assisted_addrs"], json!(["10.0.0.1:1000"]));
        assert_eq!(to_owner["candidate_addrs"], json!(["198.51.100.2:2000"]));
        assert_eq!(to_owner["assisted_addrs"], json!(["10.0.0.2:2000"]));
        for (told, role, id) in [(to_guest, roles[0], "tv"), (to_owner, roles[1], "tc")] {
            assert_eq!(told["detect_behavior"]["role"], role);
            assert_eq!(told["detect_behavior"]["read_timeout"], 5000);
            assert_eq!(
                (&told["sid"], &told["protocol"]),
                (&json!(sid), &json!("quic"))
            );
            assert_eq!(told["transaction_id"], id);
        }
        let report = json!({"sid": sid, "success": number == 1});
        owner.control.send(NAT_HOLE_REPORT, &report).await;
        let (success, index) = (number == 1, number);
        let line =
            format!("sid [{sid}] report make hole success: {success}, mode 0, index {index}");
        server.program.expect(&line).await;
    }
    // What has worked is tried again, and all that was told before has not.
    guest.asks(&visitor("p", "secret")).await;
    let sid = owner.sid("p").await;
    owner.answers(&sid).await;
    assert_eq!(owner.hears().await["detect_behavior"]["role"], "receiver");
    owner
        .control
        .send(NAT_HOLE_REPORT, &json!({"sid": sid, "success": true}))
        .await;
    server
        .program
        .expect(&format!(
            "sid [{sid}] report make hole success: true, mode 0, index 1"
        ))
        .await;
}

#[tokio::test]
async fn only_whom_the_owner_lets_in_has_a_hole() {
    let rig = Rig::new();
    let server = frps(&rig, "").await;
    let mut owner = End::login(&server, "al").await;
    owner.owns("own", &[]).await;
    owner.owns("friends", &["bo"]).await;
    owner.owns("all", &["*"]).await;
    let mut guests = [
        End::login(&server, "bo").await,
        End::login(&server, "cy").await,
    ];
    let asking = |name: &str| {
        let mut asked = visitor(name, "");
        asked["pre_check"] = json!(true);
        asked
    };
    for (guest, name, refused) in [
        (0, "own", "xtcp visitor user [bo] not allowed for [own]"),
        (
            1,
            "friends",
            "xtcp visitor user [cy] not allowed for [friends]",
        ),
        (1, "none", "xtcp server for [none] doesn't exist"),
    ] {
        let guest = &mut guests[guest];
        assert_eq!(guest.refused(&asking(name)).await, refused);
        // Nor does one come in that does not ask before, though it knows the secret.
        assert_eq!(guest.refused(&visitor(name, "secret")).await, refused);
    }
    for (guest, name) in guests.iter_mut().zip(["friends", "all"]) {
        guest.asks(&asking(name)).await;
        let welcome = guest.hears().await;
        assert_eq!(welcome["error"].as_str().unwrap_or_default(), "");
        let wrong = guest.refused(&visitor(name, "wrong")).await;
        assert_eq!(wrong, format!("xtcp connection of [{name}] auth failed"));
        guest.asks(&visitor(name, "secret")).await;
        owner.sid(name).await;
    }
    let [mut bo, mut cy] = guests;
    let mut odd = visitor("all", "secret");
    odd["protocol"] = json!("carrier pigeon");
    let refused = bo.refused(&odd).await;
    assert_eq!(
        refused,
        "xtcp protocol [carrier pigeon] is neither quic nor kcp"
    );
    owner.control.close_proxy("all").await;
    let gone = cy.refused(&visitor("all", "secret")).await;
    assert_eq!(gone, "xtcp server for [all] doesn't exist");
}

#[tokio::test]
async fn a_client_reads_no_more_than_it_may() {
    let rig = Rig::new();
    let server = frps(&rig, "detailedErrorsToClient = false\n").await;
    let mut guest = End::login(&server, "").await;
    let refused = guest.refused(&visitor("p", "secret")).await;
    assert_eq!(refused, "xtcp error");
}

#[tokio::test]
async fn an_owner_that_does_not_answer_holds_up_nobody_else() {
    let rig = Rig::new();
    let server = frps(&rig, "userConnTimeout = 3\n").await;
    let mut silent = End::login(&server, "").await;
    silent.owns("silent", &[]).await;
    let mut owner = End::login(&server, "").await;
    owner.owns("p", &[]).await;
    let mut guest = End::login(&server, "").await;
    // More than one client may have at a time.
    for _ in 0..64 {
        guest.asks(&visitor("silent", "secret")).await;
    }
    let crowded = guest.refused(&visitor("p", "secret")).await;
    assert_eq!(crowded, "too many xtcp sessions of this client at a time");
    let mut second = End::login(&server, "").await;
    second.asks(&visitor("p", "secret")).await;
    let sid = owner.sid("p").await;
    owner.answers(&sid).await;
    assert_eq!(second.hears().await["sid"], json!(sid));
    // The first ones hear in the end why there is nothing for them, and may ask again.
    for _ in 0..64 {
        let why = guest.hears().await["error"].as_str().unwrap().to_owned();
        assert_eq!(
            why,
            "the client of [silent] cannot be told of the visitor: timeout trying to get work connection"
        );
    }
    guest.asks(&visitor("p", "secret")).await;
    owner.sid("p").await;
}

#[tokio::test]
async fn pages_know_the_type() {
    let rig = Rig::new();
    let port = free_port();
    let server = frps(&rig, &format!("webServer.port = {port}\n")).await;
    let mut owner = End::login(&server, "al").await;
    owner.owns("p", &[]).await;
    for path in ["/api/proxy/xtcp", "/api/v2/proxies?type=xtcp"] {
        let mut stream = connect(port).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_all(&mut stream).await).unwrap();
        assert!(
            answer.contains("\"name\":\"p\"") && answer.contains("\"xtcp\""),
            "{answer}"
        );
    }
}

/// Go's frpc at both ends, over either protocol and either wire.
#[tokio::test]
async fn frps_ends_find_each_other_through_ours() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    let rig = Rig::new();
    let stun = StunServer::local().await;
    let server = rig.frps("").await;
    let service = Service::echo().await;
    let mut ports = Vec::new();
    let mut ends = Vec::new();
    for wire in ["v1", "v2"] {
        let common = |user: &str| {
            format!(
                "user = \"{user}\"\nnatHoleStunServer = \"{}\"\ntransport.wireProtocol = \"{wire}\"\n",
                stun.addr
            )
        };
        let proxy = stcp_proxy(wire, service.port, "allowUsers = [\"bo\"]\n");
        let proxy = proxy.replace("\"stcp\"", "\"xtcp\"");
        let owner = rig.frpc_of(&theirs, server.port, &(common("al") + &proxy));
        owner.expect(&format!("[{wire}] start proxy success")).await;
        let mut visitors = common("bo");
        for protocol in ["quic", "kcp"] {
            let port = free_port();
            let lines = format!("serverUser = \"al\"\nprotocol = \"{protocol}\"\n");
            let visitor = stcp_visitor(&format!("{wire}-{protocol}"), wire, port, &lines);
            visitors += &visitor.replace("\"stcp\"", "\"xtcp\"");
            ports.push(port);
        }
        ends.push(owner);
        ends.push(rig.frpc_of(&theirs, server.port, &visitors));
    }
    for port in ports {
        until_echoes(port, DUG).await;
        echo(port, &pattern(100_000, 1)).await;
    }
    server
        .program
        .expect("report make hole success: true, mode 0")
        .await;
}

/// What `frpc nathole discover` prints, and whether it ends well.
async fn discovers(rig: &Rig, side: &Side, args: &[&str]) -> (String, bool) {
    let mut command = Command::new(side.program("frpc"));
    command.args(["nathole", "discover"]).args(args);
    let run = command.current_dir(rig.path()).output().await.unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    (text, run.status.success())
}

#[tokio::test]
async fn discover_says_what_frps_says() {
    let rig = Rig::new();
    let stun = StunServer::local().await;
    let at = stun.addr.to_string();
    let local = format!("127.0.0.1:{}", free_port());
    let file = rig.file("frpc.toml", format!("natHoleStunServer = \"{at}\"\n"));
    let file = file.to_str().unwrap();
    let sides = [Some(Side::Ours), Side::reference(NEWEST)];
    for side in sides.into_iter().flatten() {
        stun.set_style(StunStyle::Rfc5780);
        let expected = format!(
            "STUN server: {at}\nYour NAT type is: EasyNAT\nBehavior is: BehaviorNoChange\n\
             External address is: [{local} {local}]\nLocal address is: {local}\n\
             Public Network: false\n"
        );
        for args in [
            ["--nat_hole_stun_server", &at, "-l", &local],
            ["-c", file, "--nat_hole_local_addr", &local],
        ] {
            assert_eq!(
                discovers(&rig, &side, &args).await,
                (expected.clone(), true)
            );
        }
        let (text, _) = discovers(&rig, &side, &["-c", file]).await;
        assert!(text.contains("\nLocal address is: 0.0.0.0:"), "{text}");
        stun.set_style(StunStyle::OneAddress);
        let few = format!("discover error: can not get enough addresses, need 2, got: [{local}]\n");
        let args = ["-c", file, "-l", &local];
        assert_eq!(discovers(&rig, &side, &args).await, (few, false));
        stun.set_style(StunStyle::Silent);
        let silent = "discover error: wait response from stun server timeout\n";
        assert_eq!(
            discovers(&rig, &side, &args).await,
            (silent.to_owned(), false)
        );
        let no_port = "discover error: address 127.0.0.1: missing port in address\n";
        let args = ["--nat_hole_stun_server", "127.0.0.1"];
        assert_eq!(
            discovers(&rig, &side, &args).await,
            (no_port.to_owned(), false)
        );
    }
}

#[tokio::test]
async fn discover_says_it_to_scripts_too() {
    let rig = Rig::new();
    let stun = StunServer::local().await;
    let at = stun.addr.to_string();
    let (text, success) = discovers(
        &rig,
        &Side::Ours,
        &["--json", "--nat_hole_stun_server", &at, "-l", "127.0.0.1:0"],
    )
    .await;
    let said: Value = serde_json::from_str(&text).unwrap();
    let local = said["localAddr"].clone();
    assert!(success && local.as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(
        said,
        json!({
            "stunServer": at, "natType": "EasyNAT", "behavior": "BehaviorNoChange",
            "regularPortsChange": false, "externalAddrs": [local, local], "localAddr": local,
            "publicNetwork": false,
        })
    );
}
