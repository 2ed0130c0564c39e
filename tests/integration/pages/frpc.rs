//! Those of frpc.

use frp_tests::clients::echoes;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use serde_json::json;

use super::{axe, check_accessible, check_quiet, check_texts, logged_in, open, web_server};

#[tokio::test]
async fn the_configuration_is_edited_tried_and_kept_or_comes_back() {
    let rig = Rig::new();
    let (web, first, second, third) = (free_port(), free_port(), free_port(), free_port());
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let text = web_server(web) + &tcp_proxy("a", echo.port, first, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    tab.sees("Connected").await;
    tab.sees(&format!("127.0.0.1:{first}")).await;

    // With an error, which is marked at its line as one types.
    open(&mut tab, web, "config").await;
    tab.until("document.querySelector('.editor textarea').value.includes('remotePort')")
        .await;
    tab.sees("No problems.").await;
    let whole = tab
        .value("document.querySelector('.editor textarea').value")
        .await;
    let whole = whole.as_str().unwrap();
    tab.fills(".editor textarea", &format!("serverPrt = 1\n{whole}"))
        .await;
    tab.until("document.querySelector('.problems').innerText.includes('Line 1')")
        .await;
    tab.until("document.querySelector('.problems').innerText.includes('serverPrt')")
        .await;
    tab.until("document.querySelector('.gutter').firstChild.classList.contains('error')")
        .await;
    tab.until("document.querySelector('.line .wrong').textContent === 'serverPrt'")
        .await;
    tab.click_text("Save and reload").await;
    tab.sees("Save with errors?").await;
    tab.press("Escape").await;
    tab.misses("Save with errors?").await;

    // Without: it is tried, and kept.
    let changed = whole.replace(&first.to_string(), &second.to_string());
    tab.fills(".editor textarea", &changed).await;
    tab.sees("No problems.").await;
    tab.click_text("Save and reload").await;
    tab.sees("The new settings are on trial.").await;
    eventually("the new port answers", || echoes(second)).await;
    assert!(!echoes(first).await);
    tab.click_text("Keep the new settings").await;
    tab.sees("The new settings stay.").await;
    tab.misses("on trial").await;

    // Tried, and not kept.
    tab.fills("input.short", "5").await;
    let again = whole.replace(&first.to_string(), &third.to_string());
    tab.fills(".editor textarea", &again).await;
    tab.sees("No problems.").await;
    tab.click_text("Save and reload").await;
    eventually("the third port answers", || echoes(third)).await;
    tab.sees("the old settings are back").await;
    eventually("the second port answers again", || echoes(second)).await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

#[tokio::test]
async fn keys_are_completed_by_keyboard_and_the_editor_can_be_left() {
    let rig = Rig::new();
    let web = free_port();
    let frps = rig.frps("").await;
    let frpc = rig.frpc(frps.port, &web_server(web));
    frpc.expect("login to server success").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    open(&mut tab, web, "config").await;
    tab.until("document.querySelector('.editor textarea').value.includes('webServer')")
        .await;
    tab.fills(".editor textarea", "").await;
    tab.types("transport.protoc").await;
    tab.until("document.querySelector('[role=option][aria-selected=true]').innerText.includes('transport.protocol')")
        .await;
    tab.press("Enter").await;
    // Its values come next.
    tab.until("document.querySelector('.suggestions').innerText.includes('quic')")
        .await;
    tab.press("ArrowDown").await;
    tab.press("Enter").await;
    let line = "document.querySelector('.editor textarea').value";
    tab.until(&format!("/^transport\\.protocol = \"\\w+\"$/.test({line})"))
        .await;
    // In a table of a list, by its type.
    tab.types("\n[[proxies]]\ntype = \"http\"\ncustomD").await;
    tab.until("document.querySelector('.suggestions').innerText.includes('customDomains')")
        .await;
    tab.press("Escape").await;
    tab.until("document.querySelector('.suggestions').hidden")
        .await;
    // Tab indents; after Escape it leaves.
    tab.press("Tab").await;
    tab.until(&format!("{line}.endsWith('customD  ')")).await;
    tab.press("Escape").await;
    tab.press("Tab").await;
    tab.until(
        "document.activeElement.tagName !== 'TEXTAREA' && document.activeElement !== document.body",
    )
    .await;
    check_texts(&mut tab).await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

#[tokio::test]
async fn keys_are_completed_in_yaml_and_json_too() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let port = frps.port;
    for (format, typed, then) in [
        (
            "yaml",
            "proxies:\n- type: http\n  customD",
            "transport:\n  protoc",
        ),
        (
            "json",
            "{\"proxies\": [{\"type\": \"http\", \"customD",
            "{\"transport\": {\"protoc",
        ),
    ] {
        let web = free_port();
        let text = match format {
            "yaml" => format!(
                "serverPort: {port}\nwebServer: {{port: {web}, user: admin, password: secret}}\n"
            ),
            _ => format!(
                "{{\"serverPort\": {port}, \"webServer\": {{\"port\": {web}, \"user\": \"admin\", \"password\": \"secret\"}}}}"
            ),
        };
        let file = rig.file(&format!("frpc.{format}"), text);
        let frpc = rig.run(&Side::Ours, "frpc", ["-c".as_ref(), file.as_os_str()]);
        frpc.expect("login to server success").await;
        let Some(mut tab) = logged_in(&rig, web).await else {
            return;
        };
        open(&mut tab, web, "config").await;
        tab.until("document.querySelector('.editor textarea').value.includes('webServer')")
            .await;
        for (typed, wanted) in [(typed, "customDomains"), (then, "protocol")] {
            tab.fills(".editor textarea", "").await;
            tab.types(typed).await;
            tab.until(&format!(
                "document.querySelector('.suggestions').innerText.includes({wanted:?})"
            ))
            .await;
            tab.press("Escape").await;
        }
        check_quiet(&mut tab, web).await;
        tab.close().await;
    }
}

#[tokio::test]
async fn a_proxy_of_the_store_forwards_until_it_is_deleted() {
    let rig = Rig::new();
    let (web, port) = (free_port(), free_port());
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let text = web_server(web) + "store.path = \"store.json\"\n";
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("login to server success").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    open(&mut tab, web, "store").await;
    tab.sees("No proxies in the store.").await;
    tab.click_text("New proxy").await;
    // A name that means harm stays text.
    let name = "<b>web</b>";
    for (key, value) in [
        ("name", name.to_owned()),
        ("localPort", echo.port.to_string()),
        ("remotePort", port.to_string()),
    ] {
        tab.fills(&format!(".field[data-key={key}] input"), &value)
            .await;
    }
    tab.click_text("More").await;
    tab.chooses(".field[data-key=useCompression] select", "true")
        .await;
    tab.click_text("Create").await;
    tab.sees(&format!("{name} was saved.")).await;
    eventually("it forwards", || echoes(port)).await;
    let kept = std::fs::read_to_string(rig.path().join("store.json")).unwrap();
    assert!(kept.contains("useCompression"), "{kept}");
    open(&mut tab, web, "status").await;
    tab.sees(name).await;
    tab.until("[...document.querySelectorAll('.tag')].some((tag) => tag.innerText === 'store')")
        .await;

    // The same name again is refused with the reason.
    open(&mut tab, web, "store/proxies/new").await;
    tab.fills(".field[data-key=name] input", name).await;
    tab.click_text("Create").await;
    tab.sees("Not saved").await;
    tab.sees("exists").await;

    open(&mut tab, web, "store").await;
    tab.click_text(name).await;
    let shown = format!(
        "document.querySelector('.field[data-key=remotePort] input').value === {}",
        json!(port.to_string())
    );
    tab.until(&shown).await;
    tab.click_text("Cancel").await;
    tab.click_text("Delete").await;
    tab.click_text("Delete").await;
    tab.sees(&format!("{name} was deleted.")).await;
    eventually("it forwards no more", async || !echoes(port).await).await;
    let complaints = tab.complaints().await;
    assert!(
        complaints.iter().all(|one| one.contains("409")),
        "{complaints:?}"
    );
    tab.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_proxy_is_shown_with_what_to_do() {
    let rig = Rig::new();
    let (web, taken) = (free_port(), free_port());
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let _taken = std::net::TcpListener::bind(("0.0.0.0", taken)).unwrap();
    let text = web_server(web) + &tcp_proxy("busy", echo.port, taken, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start error").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    tab.sees("Failed").await;
    tab.sees("port unavailable").await;
    // Which transport, and why.
    tab.sees("Why this transport").await;
    tab.until("[...document.querySelectorAll('.session dd')].at(-1).innerText.length > 5")
        .await;
    drop(frps);
    tab.sees("Not connected").await;
    check_quiet(&mut tab, web).await;
    tab.close().await;
}

#[tokio::test]
async fn everybody_can_use_the_pages_of_frpc() {
    let Some(axe) = axe() else { return };
    let rig = Rig::new();
    let (web, port) = (free_port(), free_port());
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let text =
        web_server(web) + "store.path = \"store.json\"\n" + &tcp_proxy("p", echo.port, port, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    let Some(mut tab) = logged_in(&rig, web).await else {
        return;
    };
    let _user = connect(port).await;
    let pages = [
        "status",
        "connections",
        "config",
        "store",
        "store/proxies/new",
        "store/visitors/new",
    ];
    check_accessible(&mut tab, &axe, &pages, web).await;

    // All that a form says is said in Chinese, too.
    tab.chooses(".choices select", "zh").await;
    for kind in ["proxies", "visitors"] {
        open(&mut tab, web, &format!("store/{kind}/new")).await;
        tab.click("summary").await;
        let types = tab.value(
            "[...document.querySelectorAll('.field[data-key=type] select')[0].options].map((o) => o.value)",
        );
        for of in types.await.as_array().unwrap() {
            tab.chooses(
                ".entry > .fields .field[data-key=type] select",
                of.as_str().unwrap(),
            )
            .await;
            let english = tab
                .value("[...document.querySelectorAll('.about[lang=en]')].map((e) => e.innerText)");
            assert_eq!(english.await, json!([]), "{kind} of type {of}");
        }
    }
    check_quiet(&mut tab, web).await;
    tab.close().await;
}
