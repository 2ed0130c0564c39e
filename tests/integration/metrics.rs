//! `/metrics`: accepted by Prometheus, documented, and shown by the dashboard in `examples/grafana`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use frp_tests::clients::{connect, echo, pattern};
use frp_tests::plugin_server::{PluginServer, Says};
use frp_tests::rig::{tcp_proxy, udp_proxy};
use frp_tests::*;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What Prometheus adds to all that it scrapes.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

/// A family of metrics: its type, and its lines.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<(BTreeMap<String, String>, f64)>,
}

impl Family {
    fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.iter().flat_map(|(labels, _)| labels.keys());
        names.map(String::as_str).collect()
    }
}

/// What stands behind the name of a histogram in its lines.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The text format 0.0.4, as strictly as it is written down: a family is one block, HELP and TYPE come
/// first, and no line comes twice.
fn parse(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    assert!(page.ends_with('\n'), "the last line has no end");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "twice: {line}");
            current = name.to_owned();
            let family = families.entry(current.clone()).or_default();
            help.clone_into(&mut family.help);
            continue;
        }
        let family = families.get_mut(&current).unwrap();
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == current && family.kind.is_empty(), "{line}");
            assert!(family.samples.is_empty(), "{line}");
            kind.clone_into(&mut family.kind);
            continue;
        }
        let (name, labels, value) = sample(line);
        let part = name
            .strip_prefix(&current)
            .unwrap_or_else(|| panic!("{line}"));
        match family.kind.as_str() {
            "histogram" => assert!(OF_HISTOGRAMS.contains(&part), "{line}"),
            _ => assert_eq!(part, "", "{line}"),
        }
        assert_eq!(part == "_bucket", labels.contains_key("le"), "{line}");
        let value = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            seen.insert((name.to_owned(), labels.clone())),
            "twice: {line}"
        );
        family.samples.push((labels, value));
    }
    families
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Name, labels and value of a line.
fn sample(line: &str) -> (&str, BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        other => panic!("\\{other}: {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break rest = rest.strip_prefix('}').unwrap(),
            }
        }
    }
    (name, labels, rest.strip_prefix(' ').unwrap())
}

/// A frps that has carried something, refused somebody and read its file again.
struct Busy {
    _rig: Rig,
    _plugin: PluginServer,
    _frps: Program,
    _frpc: Program,
    _user: tokio::net::TcpStream,
    web: u16,
}

impl Busy {
    async fn start() -> Self {
        let rig = Rig::new();
        let service = Service::echo().await;
        let (port, web, tcp, udp, slow) = (
            free_port(),
            free_port(),
            free_port(),
            free_port(),
            free_port(),
        );
        let text = format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nauth.token = \"t\"\nenablePrometheus = true\n\
             webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n\
             userConnTimeout = 1\n"
        );
        let plugin = PluginServer::agreeing().await;
        let text = text + &plugin.config("odd \\\"one\\\"", "Login NewProxy", "");
        let file = rig.file("frps.toml", &text);
        let frps = rig.run(&Side::Ours, "frps", ["-c".as_ref(), file.as_os_str()]);
        frps.expect("frps started successfully").await;
        let proxies = tcp_proxy("odd \\\"name\\\" \\\\", service.port, tcp, "")
            + &tcp_proxy("quiet", service.port, slow, "")
            + &udp_proxy("datagrams", service.port, udp, "");
        let frpc = rig.frpc(port, &format!("auth.token = \"t\"\n{proxies}"));
        frpc.expect("[datagrams] start proxy success").await;
        frpc.expect("[quiet] start proxy success").await;
        echo(tcp, &pattern(100_000, 1)).await;
        let mut user = connect(tcp).await;
        user.write_all(b"still here").await.unwrap();
        let mut stranger = rig.frpc(port, "auth.token = \"wrong\"\n");
        stranger.exit_code().await;
        std::fs::write(&file, format!("nonsense = 1\n{text}")).unwrap();
        frps.signal("HUP").await;
        frps.expect("reload refused").await;
        std::fs::write(&file, text).unwrap();
        frps.signal("HUP").await;
        frps.expect("reloaded ").await;
        Self {
            _rig: rig,
            _plugin: plugin,
            _frps: frps,
            _frpc: frpc,
            _user: user,
            web,
        }
    }

    async fn page(&self) -> String {
        let answer = http::get(self.web, "/metrics").await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        answer.body
    }
}

fn value(families: &BTreeMap<String, Family>, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("no {name}"));
    let has = |labels: &BTreeMap<String, String>| {
        wanted
            .iter()
            .all(|(name, value)| labels.get(*name).is_some_and(|v| v == value))
    };
    let found: Vec<_> = family
        .samples
        .iter()
        .filter(|(labels, _)| has(labels))
        .collect();
    assert_eq!(found.len(), 1, "{name} {wanted:?}: {family:?}");
    found[0].1
}

/// What the page tells is true, and its form is that of the format and of the conventions for names.
#[tokio::test]
async fn the_metrics_tell_what_happens() {
    let busy = Busy::start().await;
    eventually("traffic is told", || async {
        let families = parse(&busy.page().await);
        let labels = [("type", "tcp"), ("direction", "in")];
        value(&families, "frprs_server_relay_bytes_total", &labels) == 100_010.0
    })
    .await;
    let families = parse(&busy.page().await);
    let value = |name: &str, labels: &[(&str, &str)]| value(&families, name, labels);
    let odd = [("name", "odd \"name\" \\"), ("type", "tcp")];
    assert_eq!(value("frp_server_traffic_in", &odd), 100_010.0);
    assert_eq!(value("frp_server_connection_counts", &odd), 1.0);
    assert_eq!(value("frp_server_client_counts", &[]), 1.0);
    assert_eq!(value("frprs_server_sessions", &[("transport", "tcp")]), 1.0);
    assert_eq!(
        value("frprs_server_sessions", &[("transport", "quic")]),
        0.0
    );
    assert_eq!(
        value("frprs_server_login_failures_total", &[("cause", "token")]),
        1.0
    );
    assert_eq!(
        value("frprs_server_login_failures_total", &[("cause", "tls")]),
        0.0
    );
    assert_eq!(value("frprs_server_user_connections", &[]), 1.0);
    assert!(value("frprs_server_pool_misses_total", &[]) <= 2.0);
    assert_eq!(value("frprs_server_pool_timeouts_total", &[]), 0.0);
    assert_eq!(
        value(
            "frprs_server_config_reloads_total",
            &[("result", "applied")]
        ),
        1.0
    );
    assert_eq!(
        value(
            "frprs_server_config_reloads_total",
            &[("result", "refused")]
        ),
        1.0
    );
    assert_eq!(
        value("frprs_server_config_last_reload_successful", &[]),
        1.0
    );
    let (open, most) = (
        value("frprs_server_open_descriptors", &[]),
        value("frprs_server_max_descriptors", &[]),
    );
    assert!(open > 5.0 && open < most, "{open} of {most}");
    assert!(value("frprs_server_resident_memory_bytes", &[]) > 1e6);
    assert!(value("frprs_server_start_time_seconds", &[]) > 1.6e9);

    for (name, family) in &families {
        assert!(
            !family.help.is_empty() && !family.samples.is_empty(),
            "{name}"
        );
        if name.starts_with("frprs_") {
            let is_counter = family.kind == "counter";
            assert_eq!(
                is_counter,
                name.ends_with("_total"),
                "{name} is a {}",
                family.kind
            );
        }
    }
}

/// Users whom no work connection awaits are counted, and those who get none.
#[tokio::test]
async fn users_who_wait_are_counted() {
    let rig = Rig::new();
    let (web, port) = (free_port(), free_port());
    let frps = rig
        .frps(&format!(
            "webServer.port = {web}\nenablePrometheus = true\nuserConnTimeout = 1\n\
             transport.tcpMux = false\nauth.token = \"t\"\ntransport.maxPoolCount = 0\n"
        ))
        .await;
    let conn = connect(frps.port).await;
    let (mut control, _) = wire::Control::login(conn, "t", &serde_json::json!({})).await;
    let proxy = serde_json::json!({"proxy_name": "p", "proxy_type": "tcp", "remote_port": port});
    assert_eq!(
        control.register(&proxy).await["error"]
            .as_str()
            .unwrap_or(""),
        ""
    );
    let mut user = connect(port).await;
    clients::until_closed(&mut user, wait::SOON, "a user whom nobody serves").await;
    let families = parse(&http::get(web, "/metrics").await.body);
    assert_eq!(value(&families, "frprs_server_pool_misses_total", &[]), 1.0);
    assert_eq!(
        value(&families, "frprs_server_pool_timeouts_total", &[]),
        1.0
    );
}

/// Calls of plugins are counted by what became of them, and a reload counts on.
#[tokio::test]
async fn calls_of_plugins_are_counted() {
    let rig = Rig::new();
    let plugin = PluginServer::start(|question| match question.content()["user"].as_str() {
        Some("refused") => Says::no("not you"),
        Some("broken") => Says::Closes,
        Some("changed") => question.with("user", "other"),
        Some("hangs") => Says::Hangs,
        _ => Says::yes(),
    })
    .await;
    let (port, web) = (free_port(), free_port());
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nwebServer.port = {web}\nenablePrometheus = true\n\
         transport.tcpMux = false\n{}{}",
        plugin.config("gate", "Login", ""),
        // Of the same name: their counts are one.
        plugin.config("gate", "Login", ""),
    );
    let file = rig.file("frps.toml", &text);
    let frps = rig.run(&Side::Ours, "frps", ["-c".as_ref(), file.as_os_str()]);
    frps.expect("frps started successfully").await;
    let users = ["refused", "broken", "changed", "welcome", "refused"];
    for user in users {
        let conn = connect(port).await;
        let login = serde_json::json!({"user": user});
        drop(wire::Control::login(conn, "", &login).await);
    }
    // Somebody who does not wait for the answer; nothing of that is a call that took no time.
    let mut gone = connect(port).await;
    let login = wire::v1(
        b'o',
        &serde_json::json!({"user": "hangs", "version": "0.70.1"}),
    );
    gone.write_all(&login).await.unwrap();
    plugin.until_asked("Login", 8).await;
    let page = || async { http::get(web, "/metrics").await.body };
    let line = |result: &str, count: u32| {
        format!(
            "frprs_server_plugin_calls_total{{op=\"Login\",plugin=\"gate\",result=\"{result}\"}} {count}\n"
        )
    };
    let all = [
        line("accepted", 3),
        line("changed", 1),
        line("rejected", 2),
        line("failed", 2),
        line("abandoned", 0),
    ];
    eventually("all calls are counted", || async {
        let page = page().await;
        all.iter().all(|line| page.contains(line))
    })
    .await;
    let name = "frprs_server_plugin_call_duration_seconds";
    let labels = "op=\"Login\",plugin=\"gate\"";
    let times = page().await;
    for (part, le, value) in [
        ("_bucket", ",le=\"10\"", 8),
        ("_bucket", ",le=\"+Inf\"", 8),
        ("_count", "", 8),
    ] {
        let line = format!("{name}{part}{{{labels}{le}}} {value}\n");
        assert!(times.contains(&line), "{line}{times}");
    }
    // The one that hung was waited for.
    let sum = times
        .lines()
        .find(|line| line.starts_with(&format!("{name}_sum")));
    let sum: f64 = sum
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap();
    assert!(sum > 5.0, "{sum}");
    std::fs::write(&file, format!("maxPortsPerClient = 7\n{text}")).unwrap();
    frps.signal("HUP").await;
    frps.expect("reloaded ").await;
    assert!(page().await.contains(&line("rejected", 2)));
    // What is not asked any more is not told of.
    std::fs::write(&file, text.replace("gate", "door")).unwrap();
    frps.signal("HUP").await;
    eventually("the other plugin is told of", || async {
        let page = page().await;
        page.contains("plugin=\"door\"") && !page.contains("plugin=\"gate\"")
    })
    .await;
}

async fn promtool() -> bool {
    let tried = Command::new("promtool").arg("--version").output().await;
    let is_there = tried.is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("promtool (package prometheus)");
    }
    is_there
}

/// Names of frp that are not as Prometheus would have them stay; of ours nothing is said.
#[tokio::test]
async fn promtool_accepts_the_page() {
    if !promtool().await {
        return;
    }
    let page = Busy::start().await.page().await;
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .await
        .unwrap();
    let output = tool.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // 3: it was read, and something could be better.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    assert!(!said.contains("frprs_"), "{said}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The table names what is served, with type and labels, and nothing else.
#[tokio::test]
async fn the_documented_metrics_are_the_served_ones() {
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[3].replace(['`', ' '], "");
            format!("{} {} {labels}", cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    let families = parse(&Busy::start().await.page().await);
    let served: Vec<String> = families
        .iter()
        .map(|(name, family)| {
            let labels: Vec<_> = family.labels().into_iter().collect();
            format!("{name} {} {}", family.kind, labels.join(","))
        })
        .collect();
    assert_eq!(documented, served);
}

/// The queries of the dashboard, wherever they stand in it.
fn queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "expr" || key == "query" => {
                            found.push(text.clone());
                        }
                        value => collect(value, found),
                    }
                }
            }
            _ => {}
        }
    }
    let text = std::fs::read_to_string(root().join("examples/grafana/frps.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    found.retain(|query| query != "prometheus");
    found
}

/// The metrics of a query, and the labels that it names.
fn names(query: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '"' || c == '[') {
        rest = &rest[start..];
        let skip = match rest.as_bytes()[0] {
            b'"' => rest[1..].find('"').unwrap() + 2,
            b'[' => rest.find(']').unwrap() + 1,
            _ => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let after = after.trim_start();
                let is_label = after.starts_with(['=', '!', ',', ')']) || after.starts_with("=~");
                if word.starts_with("frp") {
                    metrics.insert(word);
                } else if is_label {
                    labels.insert(word);
                }
                end
            }
        };
        rest = &rest[skip..];
    }
    (metrics, labels)
}

#[test]
fn a_query_is_taken_apart() {
    let query = r#"topk(10, sum by (name, type) (rate(frp_a{x=~"$i", y!="by"}[5m]) + frp_b)) > 0"#;
    let (metrics, labels) = names(query);
    assert_eq!(Vec::from_iter(metrics), ["frp_a", "frp_b"]);
    assert_eq!(Vec::from_iter(labels), ["name", "type", "x", "y"]);
}

/// Every metric and label that the dashboard asks for is served, and what is not frp's is shown.
#[tokio::test]
async fn the_dashboard_asks_for_what_is_served() {
    let families = parse(&Busy::start().await.page().await);
    let queries = queries();
    assert!(queries.len() > 15, "{queries:?}");
    let mut shown = BTreeSet::new();
    for query in &queries {
        let (metrics, labels) = names(query);
        assert!(!metrics.is_empty(), "{query}");
        for metric in metrics {
            let metric = OF_HISTOGRAMS
                .iter()
                .find_map(|part| metric.strip_suffix(part))
                .filter(|name| families.contains_key(*name))
                .unwrap_or(metric);
            let family = families.get(metric);
            let family = family.unwrap_or_else(|| panic!("{metric} is not served: {query}"));
            for label in labels.iter().filter(|label| !OF_THE_SCRAPE.contains(label)) {
                assert!(
                    family.labels().contains(label),
                    "{metric} has no {label}: {query}"
                );
            }
            shown.insert(metric);
        }
    }
    let ours = families.keys().filter(|name| name.starts_with("frprs_"));
    let missing: Vec<_> = ours.filter(|name| !shown.contains(name.as_str())).collect();
    assert_eq!(missing, ["frprs_server_start_time_seconds"]);
}

/// The expressions of the dashboard, as rules that promtool reads.
#[tokio::test]
async fn promtool_accepts_the_queries() {
    if !promtool().await {
        return;
    }
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    let expressions = queries();
    let expressions = expressions
        .iter()
        .filter(|query| !query.starts_with("label_values"));
    for (n, query) in expressions.enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        rules.push_str(&format!("  - record: panel:{n}\n    expr: '{query}'\n"));
    }
    let rig = Rig::new();
    let file = rig.file("rules.yml", rules);
    let output = Command::new("promtool")
        .args(["check", "rules"])
        .arg(file)
        .output();
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}
