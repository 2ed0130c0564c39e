//! Those of frps.

use frp_tests::http::get;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use frp_tests::browser::tab::Tab;

use super::{axe, check_accessible, check_quiet, check_texts, logged_in, open, web_server};

/// Names as somebody would choose them who means harm: markup, text that turns around, length.
const HOSTILE: &str = "<img src=x onerror=console.error(1)>\\u202e\\\"'&";

#[tokio::test]
async fn one_sees_a_client_come_carry_a_file_and_go() {
    let rig = Rig::new();
    let (web, port) = (free_port(), free_port());
    let frps = rig.frps(&web_server(web)).await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    let figure = |n| format!("document.querySelectorAll('.figure .value')[{n}].textContent");
    tab.until(&format!("{} === '0'", figure(0))).await;

    // It comes.
    let echo = Service::echo().await;
    let text = format!(
        "user = \"ann\"\nclientID = \"desk\"\n{}",
        tcp_proxy("files", echo.port, port, "")
    );
    let mut frpc = rig.frpc(frps.port, &text);
    tab.until(&format!("{} === '1'", figure(0))).await;
    tab.until(&format!("{} === '1'", figure(1))).await;
    open(&mut tab, web, "clients").await;
    tab.until("document.querySelector('tbody').innerText.includes('Online')")
        .await;
    tab.sees("ann.desk").await;

    // It carries.
    open(&mut tab, web, "overview").await;
    let mut user = connect(port).await;
    let mut back = vec![0; 256 * 1024];
    for _ in 0..8 {
        let (mut read, mut write) = user.split();
        let part = vec![7; back.len()];
        let (sent, got) = tokio::join!(write.write_all(&part), read.read_exact(&mut back));
        sent.unwrap();
        got.unwrap();
    }
    tab.until(&format!("{} === '1'", figure(2))).await;
    tab.until(&format!("{}.startsWith('4.0')", figure(3))).await;

    // Its user is seen, and the connection ended.
    open(&mut tab, web, "connections").await;
    tab.sees("ann.files").await;
    let from = user.local_addr().unwrap().to_string();
    tab.sees(&from).await;
    tab.click_text("End").await;
    tab.sees("End the connection from").await;
    tab.click_text("End").await;
    let ended = within(wait::SOON, "the connection ends", user.read(&mut back)).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    tab.sees("Nobody is connected").await;

    // One proxy, and its week.
    open(&mut tab, web, "proxies").await;
    tab.click_text("ann.files").await;
    tab.until("document.querySelectorAll('.days tbody tr').length === 7")
        .await;
    tab.sees("2.00\u{a0}MB").await;

    // It goes, and is forgotten.
    frpc.kill().await;
    open(&mut tab, web, "clients").await;
    tab.until("document.querySelector('tbody').innerText.includes('Offline')")
        .await;
    tab.click_text("Clear offline").await;
    tab.sees("Forget all clients").await;
    tab.click_text("Clear offline").await;
    tab.sees("1 client forgotten.").await;
    tab.sees("No client has logged in yet.").await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

#[tokio::test]
async fn a_session_is_ended_and_a_failed_login_is_shown_with_its_cure() {
    let rig = Rig::new();
    let web = free_port();
    let frps = rig
        .frps(&(web_server(web) + "auth.token = \"right\"\n"))
        .await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    let wrong = rig.frpc(frps.port, "auth.token = \"wrong\"\nuser = \"eve\"\n");
    wrong.expect("token").await;
    open(&mut tab, web, "logins").await;
    tab.sees("eve").await;
    tab.sees("auth.token").await;

    let frpc = rig.frpc(
        frps.port,
        "auth.token = \"right\"\nuser = \"bob\"\nclientID = \"office\"\n",
    );
    frpc.expect("login to server success").await;
    open(&mut tab, web, "clients").await;
    tab.click_text("bob.office").await;
    tab.click_text("End session").await;
    tab.sees("End the session of bob.office?").await;
    // Nothing happens to who thinks better of it.
    tab.press("Escape").await;
    tab.misses("End the session of").await;
    let mark = frpc.log().mark();
    tab.click_text("End session").await;
    tab.click_text("End session").await;
    tab.sees("The session was ended.").await;
    frpc.expect_from(mark, "login to server success", wait::SOON)
        .await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

#[tokio::test]
async fn the_configuration_is_read_again_by_a_button() {
    let rig = Rig::new();
    let (port, web) = (free_port(), free_port());
    let text = |more: &str| {
        let web = web_server(web);
        format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{web}{more}")
    };
    let file = rig.file("frps.toml", text(""));
    let frps = rig.run(&Side::Ours, "frps", ["-c".as_ref(), file.as_os_str()]);
    frps.expect("frps started successfully").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    for (more, seen) in [
        ("", "The file has no changes."),
        ("maxPortsPerClient = 5\n", "maxPortsPerClient"),
        (
            "maxPortsPerClient = 5\nquicBindPort = 1\n",
            "only after a restart",
        ),
        ("maxPortsPerClient = \"five\"\n", "Nothing was changed"),
    ] {
        std::fs::write(&file, text(more)).unwrap();
        tab.click_text("Reload configuration").await;
        tab.sees(seen).await;
        tab.click_text("Close").await;
        tab.misses(seen).await;
    }
    tab.close().await;
}

#[tokio::test]
async fn the_pages_speak_chinese_and_say_when_the_numbers_are_old() {
    let rig = Rig::new();
    let web = free_port();
    let mut frps = rig.frps(&web_server(web)).await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    tab.chooses(".choices select", "zh").await;
    tab.sees("在线客户端").await;
    tab.until("document.documentElement.lang === 'zh-CN'").await;
    // It is remembered.
    open(&mut tab, web, "clients").await;
    tab.sees("还没有客户端登录").await;
    tab.chooses(".choices select", "en").await;
    tab.sees("No client has logged in yet.").await;
    // Who has chosen nothing gets the browser's.
    tab.speaks("zh-CN").await;
    tab.value("localStorage.clear()").await;
    tab.go("about:blank").await;
    open(&mut tab, web, "clients").await;
    tab.sees("还没有客户端登录").await;
    tab.chooses(".choices select", "en").await;
    check_texts(&mut tab).await;
    check_quiet(&mut tab, web).await;

    frps.program.kill().await;
    tab.sees("Connection lost. The numbers are from").await;
    frps.program.start_again();
    frps.program.expect("frps started successfully").await;
    tab.click_text("Try again").await;
    tab.misses("Connection lost").await;
    tab.close().await;
}

#[tokio::test]
async fn names_that_mean_harm_stay_text() {
    let rig = Rig::new();
    let web = free_port();
    let frps = rig.frps(&web_server(web)).await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    let echo = Service::echo().await;
    let long = "n".repeat(300);
    let text = format!("user = \"{HOSTILE}\"\n")
        + &tcp_proxy(HOSTILE, echo.port, free_port(), "")
        + &tcp_proxy(&long, echo.port, free_port(), "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    for (page, wanted) in [
        ("proxies", "onerror=console.error(1)>\\u{202e}"),
        ("clients", "<img src=x"),
    ] {
        open(&mut tab, web, page).await;
        tab.sees(wanted).await;
        tab.until("document.querySelector('main img') === null")
            .await;
    }
    let proxies = get(web, "/api/v2/proxies").await.json();
    let name = proxies["data"]["items"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let page = format!("proxies/{}", escaped(&name));
    open(&mut tab, web, &page).await;
    tab.sees("Traffic of 7 days").await;
    tab.until("document.querySelector('.days')").await;
    tab.until("document.querySelector('main img') === null")
        .await;
    tab.size(360, 800).await;
    open(&mut tab, web, "proxies").await;
    tab.sees("nnnnn").await;
    tab.until("document.documentElement.scrollWidth <= innerWidth")
        .await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn everybody_can_use_the_pages_of_frps() {
    let Some(axe) = axe() else { return };
    let rig = Rig::new();
    let web = free_port();
    let frps = rig.frps(&web_server(web)).await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    let echo = Service::echo().await;
    let port = free_port();
    let text = "user = \"u\"\nclientID = \"c\"\n".to_owned() + &tcp_proxy("p", echo.port, port, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    let _user = connect(port).await;
    let pages = [
        "overview",
        "clients",
        "clients/u.c",
        "proxies",
        "proxies/u.p",
        "connections",
        "logins",
        "nowhere",
    ];
    check_accessible(&mut tab, &axe, &pages, web).await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

/// The stream's own events, many at once.
const A_THOUSAND: &str = "(async () => {
    const data = window.sources.at(-1).last;
    for (let i = 1; i <= 1000; i += 1) {
        const now = JSON.parse(data);
        now.now += i * 1000;
        now.trafficIn += i * 100000;
        now.connections = i % 50;
        now.clients.online = i;
        window.sources.at(-1).dispatchEvent(new MessageEvent('overview', {data: JSON.stringify(now)}));
        if (i % 50 === 0) await new Promise(requestAnimationFrame);
    }
    return window.sources.filter((one) => one.readyState !== 2).length;
})()";

#[tokio::test]
async fn a_tab_that_is_left_open_grows_by_nothing() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&web_server(web)).await;
    let Some(mut tab) = Tab::open(rig.path(), Some(super::LOGIN)).await else {
        return;
    };
    tab.before_each_page(
        "window.sources = []; window.EventSource = class extends EventSource { constructor(...a) { \
         super(...a); window.sources.push(this); \
         this.addEventListener('overview', (e) => { this.last = e.data }); } }",
    )
    .await;
    tab.go(&format!("http://127.0.0.1:{web}/")).await;
    tab.sees("Live").await;
    tab.logins().await;
    // What is made once, and by going to and fro.
    let pages = ["clients", "proxies", "connections", "logins", "overview"];
    for page in pages.iter().chain(&pages) {
        tab.value(&format!("location.hash = '#/{page}'")).await;
        tab.until("document.querySelector('[aria-busy=true]') === null")
            .await;
    }
    assert_eq!(tab.value(A_THOUSAND).await, 1, "streams that are open");
    let before = tab.alive().await;
    assert_eq!(tab.value(A_THOUSAND).await, 1, "streams that are open");
    for page in pages {
        tab.value(&format!("location.hash = '#/{page}'")).await;
        tab.until("document.querySelector('[aria-busy=true]') === null")
            .await;
    }
    let after = tab.alive().await;
    assert!(
        after.0 <= before.0 + 20 && after.1 <= before.1 + 5,
        "{before:?} became {after:?}"
    );
    tab.close().await;
}
