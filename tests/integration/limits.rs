//! What one client may have, and that neither its floods nor its end keep another one waiting.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use frp_tests::http::get;
use frp_tests::rig::{host_proxy, tcp_proxy};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// All connections of one address are on one thread of frps then: whoever holds that up holds up all.
const SINGLE: &str = "transport.tcpMux = false\n";

/// How long another client may wait; milliseconds unless the machine is busy.
const ANSWERED: Duration = Duration::from_secs(1);

/// As many proxies, and as many routes, may a client have.
const MANY: usize = 10_000;

async fn login(port: u16) -> Control<TcpStream> {
    let (control, answer) = Control::login(connect(port).await, "", &json!({})).await;
    assert_eq!(error(&answer), "");
    control
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or("")
}

fn stcp(name: &str) -> Value {
    json!({"proxy_name": name, "proxy_type": "stcp", "sk": "x"})
}

fn http(name: &str, domains: &[String], locations: &[String]) -> Value {
    json!({
        "proxy_name": name, "proxy_type": "http",
        "custom_domains": domains, "locations": locations,
    })
}

fn numbered(count: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(text).collect()
}

/// Registers `count` proxies, some at a time, none of which may be refused.
async fn register_all(client: &mut Control<TcpStream>, count: usize, one: impl Fn(usize) -> Value) {
    let all: Vec<usize> = (0..count).collect();
    for some in all.chunks(200) {
        for n in some {
            client.send(wire::NEW_PROXY, &one(*n)).await;
        }
        for _ in some {
            let (kind, answer) = client.recv().await.expect("an answer");
            assert_eq!((kind, error(&answer)), (wire::NEW_PROXY_RESP, ""));
        }
    }
}

async fn pong(client: &mut Control<TcpStream>) {
    client.send(wire::PING, &json!({})).await;
    while client.recv().await.expect("a Pong").0 != wire::PONG {}
}

/// Another client of the same frps.
struct Neighbour {
    control: Control<TcpStream>,
    port: u16,
}

impl Neighbour {
    async fn new(port: u16) -> Self {
        let control = login(port).await;
        Self { control, port }
    }

    async fn is_served(&mut self) {
        let pong = pong(&mut self.control);
        within(ANSWERED, "a pong for another client", pong).await;
        within(ANSWERED, "a login of another client", login(self.port)).await;
    }

    /// Runs `attack`, and is served all the time.
    async fn beside<T>(&mut self, attack: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let attack = async {
            let ended = attack.await;
            over.set(true);
            ended
        };
        let (ended, ()) = tokio::join!(attack, async {
            while !over.get() {
                self.is_served().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        self.is_served().await;
        ended
    }
}

#[tokio::test]
async fn each_limit_is_refused_with_its_text_and_the_rest_goes_on() {
    let rig = Rig::new();
    let vhost = free_port();
    let frps = rig
        .frps(&format!("vhostHTTPPort = {vhost}\n{SINGLE}"))
        .await;
    let mut client = login(frps.port).await;
    let answer = client.register(&stcp("honest")).await;
    assert_eq!(error(&answer), "");

    let longer = "n".repeat(1025);
    let entries = |count: usize| -> Value {
        let entries = (0..count).map(|n| (n.to_string(), json!("")));
        Value::Object(entries.collect())
    };
    let some = numbered(300, |n| format!("/{n}"));
    for (proxy, text) in [
        (stcp(&longer), "proxy name is longer than 1024 bytes"),
        (
            json!({"proxy_name": "p", "group": "g", "group_key": longer}),
            "group key is longer than 1024 bytes",
        ),
        (
            json!({"proxy_name": "p", "proxy_type": "stcp", "allow_users": ["ann", longer]}),
            "name in allowUsers is longer than 1024 bytes",
        ),
        (
            http("p", std::slice::from_ref(&longer), &[]),
            "custom domain is longer than 1024 bytes",
        ),
        (
            http("p", &["a.test".to_owned()], std::slice::from_ref(&longer)),
            "location is longer than 1024 bytes",
        ),
        (
            json!({"proxy_name": "p", "metas": entries(1001)}),
            "too many metadatas: 1001, a proxy may have 1000",
        ),
        (
            json!({"proxy_name": "p", "proxy_type": "http", "headers": entries(1001)}),
            "too many request headers: 1001, a proxy may have 1000",
        ),
        (
            http("p", &numbered(300, |n| format!("d{n}")), &some),
            "too many routes: 300 domains x 300 locations, a client may have 10000",
        ),
        (
            http("p", &["d".repeat(1024)], &some),
            "the list of 300 routes does not fit the answer: wire protocol v1 allows 10240 bytes",
        ),
    ] {
        let answer = client.register(&proxy).await;
        assert_eq!(error(&answer), text);
        assert_eq!(answer["proxy_name"], proxy["proxy_name"], "{text}");
    }
    // Neither the proxy nor the session has suffered, and the name was not taken.
    let taken = client.register(&stcp("honest")).await;
    assert_eq!(error(&taken), "proxy [honest] already exists");
    assert_eq!(error(&client.register(&stcp("p")).await), "");
    pong(&mut client).await;
}

#[tokio::test]
async fn names_of_a_login_have_a_length() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    for (field, name) in [
        ("run_id", "run id"),
        ("user", "user"),
        ("client_id", "client id"),
        ("hostname", "host name"),
    ] {
        let refused = json!({ field: "n".repeat(1025) });
        let (_, answer) = Control::login(connect(frps.port).await, "", &refused).await;
        assert_eq!(error(&answer), format!("{name} is longer than 1024 bytes"));
        let taken = json!({ field: "n".repeat(1024) });
        let (_, answer) = Control::login(connect(frps.port).await, "", &taken).await;
        assert_eq!(error(&answer), "", "{name}");
    }
}

#[tokio::test]
async fn routes_are_counted_over_all_proxies_of_a_client() {
    let rig = Rig::new();
    let vhost = free_port();
    let frps = rig
        .frps(&format!("vhostHTTPPort = {vhost}\n{SINGLE}"))
        .await;
    let mut neighbour = Neighbour::new(frps.port).await;
    let mut client = login(frps.port).await;
    let some = |n: usize| {
        let locations = numbered(500, |l| format!("/{n}/{l}"));
        http(&format!("p{n}"), &["a.test".to_owned()], &locations)
    };
    neighbour
        .beside(register_all(&mut client, MANY / 500, some))
        .await;
    let one_more = http("more", &["b.test".to_owned()], &[]);
    assert_eq!(
        error(&client.register(&one_more).await),
        "too many routes: 1 domains x 1 locations beside 10000 others, a client may have 10000"
    );
    // They are the limit of one client, and what was closed counts no more.
    let other = neighbour.control.register(&one_more).await;
    assert_eq!(error(&other), "");
    client.close_proxy("p0").await;
    assert_eq!(error(&client.register(&some(0)).await), "");

    frps.program.expect("and for 400 more routes").await;

    let freed = eventually("the routes are free again", || async {
        let mut other = login(frps.port).await;
        error(&other.register(&some(7)).await).is_empty()
    });
    let ending = async {
        drop(client);
        freed.await;
    };
    neighbour.beside(ending).await;
}

#[tokio::test]
async fn ten_thousand_proxies_and_no_more_and_their_end_holds_up_nobody() {
    let rig = Rig::new();
    let web = free_port();
    let lines =
        format!("webServer.port = {web}\nenablePrometheus = true\nlog.level = \"info\"\n{SINGLE}");
    let frps = rig.frps(&lines).await;
    let mut neighbour = Neighbour::new(frps.port).await;
    let mut client = login(frps.port).await;
    let all = register_all(&mut client, MANY, |n| stcp(&format!("p{n}")));
    neighbour.beside(all).await;
    assert_eq!(
        error(&client.register(&stcp("more")).await),
        "too many proxies: a client may have 10000"
    );
    client.close_proxy("p0").await;
    assert_eq!(error(&client.register(&stcp("more")).await), "");

    // What is told of them keeps nobody waiting.
    let told = neighbour.beside(async {
        let page = get(web, "/metrics").await.body;
        let list = get(web, "/api/proxy/stcp").await.json();
        (page, list)
    });
    let (page, list) = told.await;
    let running = |list: &Value| {
        let all = list["proxies"].as_array().unwrap();
        all.iter().filter(|p| p["status"] == "online").count()
    };
    assert_eq!(running(&list), MANY);
    let counted = format!("frp_server_proxy_counts{{type=\"stcp\"}} {MANY}\n");
    assert!(page.contains(&counted));

    let ended = eventually("all have ended", || async {
        running(&get(web, "/api/proxy/stcp").await.json()) == 0
    });
    let ending = async {
        drop(client);
        ended.await;
    };
    neighbour.beside(ending).await;
    // Another may have the names now, and the statistics keep ten thousand that have ended.
    let answer = neighbour.control.register(&stcp("p1")).await;
    assert_eq!(error(&answer), "");
    let list = get(web, "/api/proxy/stcp").await.json();
    assert_eq!(list["proxies"].as_array().unwrap().len(), MANY);
}

/// The longest message of all: nothing is made of it, neither while its sender is there nor after.
#[tokio::test]
async fn three_thousand_domains_with_as_many_locations_cost_nothing() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let lines = format!("vhostHTTPPort = {}\n{SINGLE}", free_port());
    let frps = rig.frps(&lines).await;
    let mut neighbour = Neighbour::new(frps.port).await;
    let memory = frps.program.private_bytes();
    let list = |text: &dyn Fn(usize) -> String| {
        let all = numbered(3000, |n| format!("\"{}\"", text(n)));
        all.join(",")
    };
    let routes = format!(
        "customDomains = [{}]\nlocations = [{}]",
        list(&|n| format!("d{n}")),
        list(&|n| format!("/{n}"))
    );
    let port = free_port();
    let proxies = host_proxy("http", "x", service.port, &routes)
        + &tcp_proxy("small", service.port, port, "");
    let wire = "transport.wireProtocol = \"v2\"\n";
    let mut frpc = rig.frpc(frps.port, &format!("{SINGLE}{wire}{proxies}"));
    let refused = "[x] start error: too many routes: 3000 domains x 3000 locations, a client may \
                   have 10000";
    neighbour
        .beside(async {
            frpc.expect(refused).await;
            frpc.expect("[small] start proxy success").await;
            echo(port, b"the other proxy of the client").await;
        })
        .await;
    neighbour
        .beside(async {
            frpc.kill().await;
            eventually("the client's port is closed", || async {
                TcpStream::connect(("127.0.0.1", port)).await.is_err()
            })
            .await;
        })
        .await;
    let grown = frps.program.private_bytes().saturating_sub(memory);
    assert!(grown < 16 << 20, "frps grew by {grown} bytes from {memory}");
}

/// Registering and closing at full speed is one client's affair.
#[tokio::test]
async fn a_flood_of_messages_holds_up_nobody() {
    let rig = Rig::new();
    let lines = format!("log.level = \"info\"\n{SINGLE}");
    let frps = rig.frps(&lines).await;
    let mut neighbour = Neighbour::new(frps.port).await;
    let mut client = login(frps.port).await;
    let close = json!({"proxy_name": "p"});
    neighbour
        .beside(async {
            for _ in 0..50 {
                for _ in 0..100 {
                    client.send(wire::NEW_PROXY, &stcp("p")).await;
                    client.send(wire::CLOSE_PROXY, &close).await;
                    client.send(wire::PING, &json!({})).await;
                }
                for _ in 0..200 {
                    client.recv().await.expect("an answer");
                }
            }
        })
        .await;
    assert_eq!(error(&client.register(&stcp("p")).await), "");
}

/// The answers to a client that does not read them do not pile up; its messages wait in its own
/// connection.
#[tokio::test]
async fn a_client_that_reads_no_answers_holds_nothing_but_its_connection() {
    let rig = Rig::new();
    let lines = format!("log.level = \"info\"\n{SINGLE}");
    let frps = rig.frps(&lines).await;
    let mut neighbour = Neighbour::new(frps.port).await;
    let mut client = login(frps.port).await;
    let memory = frps.program.private_bytes();
    // Refused, and the answer is longer than the message.
    let long = stcp(&"n".repeat(1025));
    let flood = async {
        loop {
            client.send(wire::NEW_PROXY, &long).await;
        }
    };
    // The system's buffers take some megabytes; then nothing goes any more.
    let stuck = async {
        let _: Result<(), _> = timeout(Duration::from_secs(3), flood).await;
    };
    neighbour.beside(stuck).await;
    let grown = frps.program.private_bytes().saturating_sub(memory);
    assert!(grown < 4 << 20, "frps grew by {grown} bytes from {memory}");
    neighbour.is_served().await;
}

/// A login per stream of one connection; frpc has one in all.
#[tokio::test]
async fn one_connection_has_sixteen_sessions_at_most() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let mut conn = connect(frps.port).await;
    let mut answers = Vec::new();
    for stream in (0..17).map(|n| 2 * n + 1) {
        let login = wire::v1(wire::LOGIN, &wire::login("", &json!({})));
        let bytes = [yamux::open(stream), yamux::data(stream, &login)].concat();
        conn.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let read = yamux::read(&mut conn);
            let (header, data) = within(wait::SOON, "an answer", read).await.unwrap();
            if (header.kind, header.stream) == (yamux::DATA, stream) {
                answer.extend(data);
            }
        }
        let answer: Value = serde_json::from_slice(&answer[9..]).unwrap();
        answers.push(error(&answer).to_owned());
    }
    let refused = answers.pop().unwrap();
    assert_eq!(
        refused,
        "too many sessions on one connection: it may have 16"
    );
    assert!(answers.iter().all(String::is_empty), "{answers:?}");
    // The connection and the sixteen go on.
    let ask = yamux::header(yamux::PING, yamux::SYN, 0, 7);
    conn.write_all(&ask).await.unwrap();
    loop {
        let read = yamux::read(&mut conn);
        let (header, _) = within(wait::SOON, "a ping's answer", read).await.unwrap();
        if (header.kind, header.flags) == (yamux::PING, yamux::ACK) {
            break;
        }
    }
}
