//! The pages of both programs, used in Chromium as a person uses them.

mod chinese;
mod frpc;
mod frps;
mod served;

use std::path::Path;

use frp_tests::browser::tab::Tab;
use frp_tests::*;
use serde_json::Value;

/// The login of the pages here.
const LOGIN: (&str, &str) = ("admin", "secret");

fn web_server(port: u16) -> String {
    format!(
        "webServer.port = {port}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
    )
}

/// A browser that has logged in to the pages at `port`, which are live.
async fn logged_in(rig: &Rig, port: u16) -> Option<Tab> {
    let mut tab = Tab::open(rig.path(), Some(LOGIN)).await?;
    tab.go(&format!("http://127.0.0.1:{port}/")).await;
    tab.sees("Live").await;
    assert!(tab.logins().await > 0, "nobody asked for the password");
    Some(tab)
}

/// Goes to a page, e.g. `clients`.
async fn open(tab: &mut Tab, port: u16, page: &str) {
    tab.go(&format!("http://127.0.0.1:{port}/static/#/{page}"))
        .await;
    tab.until("document.querySelector('main h1')").await;
}

/// Nothing was complained of, and nothing was asked of anybody else.
async fn check_quiet(tab: &mut Tab, port: u16) {
    assert_eq!(tab.complaints().await, [""; 0]);
    let ours = format!("http://127.0.0.1:{port}/");
    for url in tab.requests().await {
        assert!(url.starts_with(&ours) || url.starts_with("data:"), "{url}");
    }
}

/// Every text is there in both languages, with the same places for numbers and names.
async fn check_texts(tab: &mut Tab) {
    let lacking = tab
        .value(
            "(async () => {
                const holes = (text) => [...new Set(text.match(/\\{\\w+\\}/g) ?? [])].sort().join();
                const files = await Promise.all(['common/text.js', 'text.js']
                    .map((file) => import(new URL(file, document.baseURI))));
                return files.flatMap(({texts}) => Object.entries(texts))
                    .filter(([, [en, zh]]) => !en || !zh || holes(en) !== holes(zh))
                    .map(([key]) => key);
            })()",
        )
        .await;
    assert_eq!(lacking, Value::Array(Vec::new()));
}

/// axe-core finds nothing serious in the page that is shown, in light and dark and in both languages, on a
/// desktop and on a phone; and none of them scrolls sideways.
async fn check_accessible(tab: &mut Tab, axe: &str, pages: &[&str], port: u16) {
    for (language, scheme, width) in [
        ("en", "light", 1280),
        ("zh", "dark", 1280),
        ("en", "dark", 360),
        ("zh", "light", 360),
    ] {
        tab.size(width, 800).await;
        tab.scheme(scheme).await;
        tab.chooses(".choices select", language).await;
        for page in pages {
            open(tab, port, page).await;
            tab.until("document.querySelector('[aria-busy=true]') === null")
                .await;
            let where_ = format!("{page} in {language}, {scheme}, {width}");
            tab.value(axe).await;
            let found = tab.value(FINDINGS).await;
            assert_eq!(found, Value::Array(Vec::new()), "{where_}");
            let wide = tab
                .value("document.documentElement.scrollWidth - innerWidth")
                .await;
            assert!(wide.as_i64().unwrap() <= 0, "{where_}: {wide} too wide");
        }
    }
    tab.size(1280, 800).await;
    tab.chooses(".choices select", "en").await;
}

/// What axe-core finds serious or critical.
const FINDINGS: &str = "axe.run(document).then((found) => found.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`))";

/// The script of axe-core, or none after a line that says `SKIPPED`; `./test` fetches it.
fn axe() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let script = root.join("target/axe/node_modules/axe-core/axe.min.js");
    let script = std::fs::read_to_string(script).ok();
    if script.is_none() {
        skipped("axe-core (npm cannot fetch it)");
    }
    script
}
