//! INI files against the TOML that they become.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn options() -> LoadOptions {
    let variables = [("TOKEN", "a\\b"), ("PORT", "7001"), ("NOBODY", "x")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    LoadOptions {
        environment: variables.into_iter().collect(),
        ..LoadOptions::new(crate::Purpose::Verify)
    }
}

fn convert_text(program: Program, ini: &str) -> Result<String, ConvertError> {
    super::convert_text(program, ini, "f", &options())
}

fn means_the_same(program: Program, ini: &str, toml: &str) -> bool {
    super::means_the_same(program, ini, toml, &options())
}

fn client(ini: &str) -> String {
    let toml = convert_text(Program::Frpc, ini).unwrap();
    assert!(
        means_the_same(Program::Frpc, ini, &toml),
        "{ini}\n---\n{toml}"
    );
    toml
}

#[test]
fn a_file_keeps_its_order_and_comments() {
    let ini = "\
# my client
; of old
[common]
server_addr = frps.example
# the port
server_port = 7001
token = a\\b\"c
log_level = debug
authenticate_heartbeats = true
meta_var1 = 123

# ssh from outside
[ssh]
type = tcp
local_port = 22
# to be changed
remote_port = 6000
use_encryption = yes
meta_x = y
remote_prot = 1

[range:many]
local_port = 1-2
remote_port = 11-12
# the end
";
    let toml = "\
# my client
# of old
serverAddr = \"frps.example\"
# the port
serverPort = 7001
auth.token = \"a\\\\b\\\"c\"
log.level = \"debug\"
auth.additionalScopes = [\"HeartBeats\"]
metadatas.var1 = \"123\"

# ssh from outside
[[proxies]]
name = \"ssh\"
type = \"tcp\"
localPort = 22
# to be changed
remotePort = 6000
transport.useEncryption = true
metadatas.x = \"y\"
# without effect in frp: remote_prot = 1

[[proxies]]
name = \"many_0\"
type = \"tcp\"
localPort = 1
remotePort = 11

[[proxies]]
name = \"many_1\"
type = \"tcp\"
localPort = 2
remotePort = 12

# the end
";
    assert_eq!(client(ini), toml);
}

#[test]
fn a_server_s_file() {
    let ini = "[common]\nbind_port = 7001\nallow_ports = 1000-2000, 3000\ntls_only = true\n";
    let toml = "bindPort = 7001\n\
                allowPorts = [{ start = 1000, end = 2000 }, { start = 3000, end = 3000 }]\n\
                transport.tls.force = true\n";
    assert_eq!(convert_text(Program::Frps, ini).unwrap(), toml);
    assert!(means_the_same(Program::Frps, ini, toml));
}

#[test]
fn references_inheritance_and_templates() {
    let toml = client("[common]\nuser = a\n[x]\nlocal_port = 1\n[x.y]\nremote_port = 2\n");
    assert!(
        toml.contains("name = \"x.y\"\ntype = \"tcp\"\nlocalPort = 1\nremotePort = 2\n"),
        "{toml}"
    );
    let ini = "[common]\ntoken = {{ .Envs.TOKEN }}\nserver_port = {{ .Envs.PORT }}\nuser = me\n";
    let toml = convert_text(Program::Frpc, ini).unwrap();
    assert_eq!(
        toml,
        "auth.token = '{{ .Envs.TOKEN }}'\nserverPort = {{ .Envs.PORT }}\nuser = \"me\"\n"
    );
    assert!(means_the_same(Program::Frpc, ini, &toml));
    let ini = "[common]\nallow_ports = {{ .Envs.PORTS }}\n";
    let error = convert_text(Program::Frps, ini).unwrap_err().to_string();
    assert!(
        error.starts_with("f:2: a template cannot be converted"),
        "{error}"
    );
}

/// What this version cannot run can be converted all the same.
#[test]
fn plugins_visitors_and_server_plugins() {
    let toml = client(
        "[common]\n[a]\nplugin = static_file\n# the files\nplugin_local_path = /srv\n\
         plugin_http_user = {{ .Envs.NOBODY }}\nremote_port = 1\n\
         [b]\nrole = visitor\ntype = stcp\nserver_name = x\nbind_port = 9\nsk = s\n",
    );
    for part in [
        "plugin.type = \"static_file\"\n# the files\nplugin.localPath = \"/srv\"\n\
         plugin.httpUser = '{{ .Envs.NOBODY }}'\nremotePort = 1\n",
        "\n[[visitors]]\nname = \"b\"\ntype = \"stcp\"\nserverName = \"x\"\nbindPort = 9\n",
    ] {
        assert!(toml.contains(part), "{part}\nin\n{toml}");
    }
    let ini = "[common]\ndashboard_port = 7500\ndashboard_tls_mode = true\n\
               # manages users\n[plugin.users]\naddr = 127.0.0.1:9\npath = /h\nops = Login,Ping\n";
    let toml = convert_text(Program::Frps, ini).unwrap();
    assert_eq!(
        toml,
        "webServer.port = 7500\nwebServer.addr = \"0.0.0.0\"\nwebServer.tls = {}\n\n\
         # manages users\n[[httpPlugins]]\nname = \"users\"\naddr = \"127.0.0.1:9\"\n\
         path = \"/h\"\nops = [\"Login\", \"Ping\"]\n"
    );
}

/// Every file of the corpus that is one, the full examples among them.
#[test]
fn legacy_files_of_the_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut converted = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if !crate::detect::is_legacy(&text) {
            continue;
        }
        let program = match path.file_name().unwrap().to_string_lossy() {
            name if name.starts_with("frps") => Program::Frps,
            _ => Program::Frpc,
        };
        match convert_text(program, &text) {
            Ok(_) => converted += 1,
            Err(error) => {
                let loads = match program {
                    Program::Frpc => parse_client(&text, "f", &options()).is_ok(),
                    Program::Frps => parse_server(&text, "f", &options()).is_ok(),
                };
                assert!(!loads, "{}: {error}", path.display());
            }
        }
    }
    assert!(converted >= 5, "{converted}");
}

#[test]
fn what_start_leaves_out_may_be_anything() {
    let ini = "[common]\nstart = a\n[a]\nlocal_port = 1\n# odd\n[b]\ntype = nonsense\n";
    let toml = client(ini);
    assert!(
        toml.ends_with("\n# odd\n# left out: [b]\n# type = nonsense\n"),
        "{toml}"
    );
    let error = convert_text(Program::Frpc, &ini.replace("start = a", "")).unwrap_err();
    assert!(
        error.to_string().contains("invalid type [nonsense]"),
        "{error}"
    );
}

#[test]
fn what_is_not_ini_is_refused() {
    for text in ["serverPort = 1\n", "[[proxies]]\n", "{}", ""] {
        let error = convert_text(Program::Frpc, text).unwrap_err();
        assert!(matches!(error, ConvertError::NotIni(_)), "{text}");
    }
}

/// Values that INI files may hold for a key: good, bad and odd.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..70000_i32).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "true", "false", "yes", "", "1MB", "tcp", "v1", "client", "0x10", "a,b", "-1", "x y",
            "'q'", "\"q\"", "a\\b", "`a\"'b`", "%(user)s", "ü", "10.0.0.1",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,12}",
    ]
}

fn key(names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let names: Vec<&str> = names.to_vec();
    prop::sample::select(names).prop_map(str::to_owned)
}

fn line(names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    (key(names), value(), prop::option::of("[ -~]{0,10}")).prop_map(|(key, value, comment)| {
        let comment = comment.map_or_else(String::new, |text| format!("# {text}\n"));
        format!("{comment}{key} = {value}\n")
    })
}

fn section(name: &'static str, names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    prop::collection::vec(line(names), 0..8)
        .prop_map(move |lines| format!("[{name}]\n{}", lines.concat()))
}

const COMMON: &[&str] = &[
    "server_addr",
    "server_port",
    "user",
    "token",
    "log_level",
    "log_file",
    "log_max_days",
    "login_fail_exit",
    "pool_count",
    "tcp_mux",
    "tls_enable",
    "heartbeat_interval",
    "heartbeat_timeout",
    "meta_a",
    "meta_b.c",
    "authenticate_heartbeats",
    "authenticate_new_work_conns",
    "dial_server_timeout",
    "start",
    "no_such_key",
];
const PROXY_KEYS: &[&str] = &[
    "local_ip",
    "local_port",
    "remote_port",
    "use_encryption",
    "use_compression",
    "bandwidth_limit",
    "bandwidth_limit_mode",
    "meta_x",
    "proxy_protocol_version",
    "user",
    "no_such_key",
];
const SERVER_KEYS: &[&str] = &[
    "bind_addr",
    "bind_port",
    "proxy_bind_addr",
    "token",
    "allow_ports",
    "max_ports_per_client",
    "log_level",
    "tls_only",
    "tcp_mux",
    "heartbeat_timeout",
    "detailed_errors_to_client",
    "user_conn_timeout",
    "max_pool_count",
    "authenticate_heartbeats",
    "no_such_key",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_client_s_file_means_the_same(
        parts in (
            section("common", COMMON),
            prop::option::of(section("ssh", PROXY_KEYS)),
            prop::option::of(section("ssh.more", PROXY_KEYS)),
            prop::option::of(section("a b\"c", PROXY_KEYS)),
        )
    ) {
        let (common, a, b, c) = parts;
        let ini: String = [Some(common), a, b, c].into_iter().flatten().collect();
        same(Program::Frpc, &ini)?;
    }

    #[test]
    fn a_server_s_file_means_the_same(ini in section("common", SERVER_KEYS)) {
        same(Program::Frps, &ini)?;
    }
}

fn same(program: Program, ini: &str) -> Result<(), TestCaseError> {
    match convert_text(program, ini) {
        Ok(toml) => prop_assert!(means_the_same(program, ini, &toml), "{ini}\n---\n{toml}"),
        Err(error) => {
            let loads = match program {
                Program::Frpc => parse_client(ini, "f", &options()).is_ok(),
                Program::Frps => parse_server(ini, "f", &options()).is_ok(),
            };
            prop_assert!(!loads, "{error}\n{ini}");
        }
    }
    Ok(())
}
