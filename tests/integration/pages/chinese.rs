//! What frpc says of failed logins, of proxies that do not run and of a configuration, in Chinese.

use std::path::{Path, PathBuf};

use frp_tests::*;
use serde_json::json;

use super::{check_quiet, logged_in, open, web_server};

/// Where texts stand that the pages show.
const SOURCES: [&str; 33] = [
    "frpc/src/admin/cure.rs",
    "frpc/src/diagnose.rs",
    "frpc/src/diagnose/broken.rs",
    "frpc/src/diagnose/credentials.rs",
    "frpc/src/diagnose/explained.rs",
    "frpc/src/diagnose/identity.rs",
    "frpc/src/diagnose/proxy.rs",
    "frpc/src/diagnose/quic.rs",
    "frpc/src/diagnose/stranger.rs",
    "frpc/src/diagnose/tls.rs",
    "frpc/src/diagnose/websocket.rs",
    "config/src/address.rs",
    "config/src/annotations.rs",
    "config/src/bandwidth.rs",
    "config/src/check.rs",
    "config/src/detect.rs",
    "config/src/features.rs",
    "config/src/ini.rs",
    "config/src/legacy.rs",
    "config/src/load.rs",
    "config/src/numbers.rs",
    "config/src/resolve/auth.rs",
    "config/src/resolve/collide.rs",
    "config/src/resolve/identity.rs",
    "config/src/resolve/mod.rs",
    "config/src/resolve/order.rs",
    "config/src/resolve/outbound_proxy.rs",
    "config/src/resolve/proxy.rs",
    "config/src/resolve/visitor.rs",
    "config/src/resolve/websocket.rs",
    "config/src/suggest.rs",
    "config/src/verify.rs",
    "config/src/yaml.rs",
];

/// Those that they do not show: what is looked for in texts of others, and what is about frps.
const OTHERS: [&str; 26] = [
    "session shutdown",
    "port already used",
    "port unavailable",
    "port not allowed",
    "no available port",
    "exceed the max_ports_per_client",
    "router config conflict",
    "should not belong to subdomain host",
    "subdomain is not supported",
    "custom domains and subdomain should set at least one",
    "vhost http port not set",
    "vhost https port not set",
    "proxy name",
    "already exists",
    "no such file",
    "check failed",
    "frps takes no notice of the section [{}]",
    "remove it; if it is a proxy, it belongs in the file of frpc",
    "{} has no effect without {}",
    "nothing yet",
    "add {} = true",
    "{} is a key of frps",
    "{}: the range from {} to {} holds no port",
    "{}{}: {} is {}",
    "give addresses such as 192.0.2.1 and networks such as 10.0.0.0/8 or fd00::/8",
    "give start and end with start <= end, or single",
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// English and Chinese, of the tables of the pages.
fn table() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in ["messages.js", "problems.js"] {
        let text = std::fs::read_to_string(crates().join("frpc/pages").join(file)).unwrap();
        let rows = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("[\""));
        all.extend(rows.map(|row| {
            serde_json::from_str::<(String, String)>(row.trim_end_matches(',')).unwrap()
        }));
    }
    all
}

/// The texts in quotes of a source file, without its comments and tests.
fn literals(source: &str) -> Vec<String> {
    let end = source.find("\n#[cfg(test)]\nmod tests");
    let end = end.or_else(|| source.find("\n#[cfg(test)]\n#[allow"));
    let code: String = source[..end.unwrap_or(source.len())]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let code = code.replace("'\"'", "' '").replace("'\\''", "' '");
    let (mut found, mut chars) = (Vec::new(), code.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '"' {
            continue;
        }
        let mut text = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next().unwrap() {
                    '\n' => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        found.push(text);
    }
    found
}

/// Two words, of which the first has more than one letter.
fn is_sentence(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    !text.contains('\n')
        && words.windows(2).any(|pair| {
            let ends = pair[0].chars().rev().take_while(char::is_ascii_lowercase);
            ends.count() >= 2
                && pair[1].starts_with(|c: char| c.is_ascii_lowercase() || "{(".contains(c))
        })
}

/// With `{}` for whatever a format names.
fn with_holes(text: &str) -> String {
    let mut parts = text.split('{');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push('{');
        match part.split_once('}') {
            Some((name, rest)) if !name.contains(' ') => {
                out.push('}');
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}

#[test]
fn every_text_has_its_chinese() {
    let table = table();
    for (english, chinese) in &table {
        assert!(
            !chinese.is_ascii() || english == chinese,
            "{english} = {chinese}"
        );
        let holes = english.matches("{}").count();
        for n in holes + 1..10 {
            assert!(
                !chinese.contains(&format!("{{{n}}}")),
                "{english} = {chinese}"
            );
        }
    }
    let mut lacking = Vec::new();
    for source in SOURCES {
        let text = std::fs::read_to_string(crates().join(source)).unwrap();
        let texts = literals(&text).into_iter().filter(|text| is_sentence(text));
        for text in texts.map(|text| with_holes(&text)) {
            let is_known = table.iter().any(|(english, _)| english.contains(&text));
            if !is_known && !OTHERS.contains(&text.as_str()) {
                lacking.push(format!("{source}: {text}"));
            }
        }
    }
    assert_eq!(
        lacking, [""; 0],
        "add them to messages.js or problems.js of frpc's pages"
    );
}

#[tokio::test]
async fn a_chinese_page_tells_causes_and_cures_in_chinese() {
    let rig = Rig::new();
    let (web, nobody) = (free_port(), free_port());
    let frpc = rig.frpc(
        nobody,
        &format!("loginFailExit = false\n{}", web_server(web)),
    );
    frpc.expect("connect to server error").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    tab.chooses(".choices select", "zh").await;
    tab.sees(&format!("主机可达，但没有程序监听端口 {nobody}"))
        .await;
    tab.sees("请启动 frps，或将 serverPort 设为 frps 的 bindPort")
        .await;
    open(&mut tab, web, "config").await;
    tab.until("document.querySelector('.editor textarea').value.includes('webServer')")
        .await;
    tab.fills(
        ".editor textarea",
        "servrAddr = \"a\"\nserverPort = \"x\"\n",
    )
    .await;
    tab.sees("frpc 没有配置项 servrAddr；是否想写 serverAddr？")
        .await;
    tab.sees("serverPort 的值为整数，不加引号").await;
    let told = tab
        .value(
            "(async () => {
                const { inChinese } = await import(new URL('messages.js', document.baseURI));
                return [
                    'EOF: the proxy wants a user and a password',
                    'proxy p: port number 70000 must be in the range 0..65535; choose a port in that range',
                    'check that the port is the bindPort of frps; check serverAddr and serverPort',
                    'nobody knows; what this is: really',
                ].map(inChinese);
            })()",
        )
        .await;
    let wanted = json!([
        "EOF：代理服务器要求用户名和密码",
        "代理 p：端口号 70000 必须在 0..65535 之间；请选择该范围内的端口",
        "请确认该端口是 frps 的 bindPort；请检查 serverAddr 和 serverPort",
        "nobody knows; what this is: really",
    ]);
    assert_eq!(told, wanted);
    check_quiet(&mut tab, web).await;
}
