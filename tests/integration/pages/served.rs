//! How the files are served.

use frp_tests::http::{get, request, send};
use frp_tests::*;

use super::web_server;

#[tokio::test]
async fn pages_are_within_both_programs_and_may_ask_nobody_else() {
    let rig = Rig::new();
    let (server, client) = (free_port(), free_port());
    let frps = rig.frps(&web_server(server)).await;
    let frpc = rig.frpc(frps.port, &web_server(client));
    frpc.expect("admin server listen on").await;
    for (port, name) in [(server, "frps"), (client, "frpc")] {
        let page = get(port, "/static/").await;
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(
            page.body.contains(&format!("<title>{name}</title>")),
            "{page:?}"
        );
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(
            !policy.contains("inline") && !policy.contains("eval"),
            "{policy}"
        );
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        let script = get(port, "/static/common/app.js").await;
        assert_eq!(
            script.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        // Not sent again to who has it.
        let tag = script.header("etag").unwrap();
        let known = send(
            port,
            "GET",
            "/static/common/app.js",
            &format!("If-None-Match: {tag}\r\n"),
            "",
        )
        .await;
        assert_eq!((known.status, known.body.as_str()), (304, ""));
        assert_eq!(
            get(port, "/favicon.ico").await.header("content-type"),
            Some("image/svg+xml")
        );
        let index = get(port, "/static/index.html").await;
        assert_eq!((index.status, index.header("location")), (301, Some("./")));
        assert_eq!(get(port, "/static/none.js").await.status, 404);
        assert_eq!(
            request(port, "GET", "/static/main.js", None).await.status,
            401
        );
    }
}

#[tokio::test]
async fn a_directory_replaces_the_pages() {
    let rig = Rig::new();
    let web = free_port();
    std::fs::create_dir_all(rig.path().join("mine/js")).unwrap();
    rig.file("mine/index.html", "my own");
    rig.file("mine/js/a.js", "1");
    rig.file("secret.txt", "nobody's");
    let _frps = rig
        .frps(&(web_server(web) + "webServer.assetsDir = \"mine\"\n"))
        .await;
    let page = get(web, "/static/").await;
    assert_eq!((page.status, page.body.as_str()), (200, "my own"));
    assert_eq!(get(web, "/static/js/a.js").await.body, "1");
    // A file that is changed is another at once.
    rig.file("mine/js/a.js", "2");
    assert_eq!(get(web, "/static/js/a.js").await.body, "2");
    for path in [
        "common/app.js",
        "js/",
        "js",
        "..%2Fsecret.txt",
        "%2e%2e/secret.txt",
    ] {
        let answer = get(web, &format!("/static/{path}")).await;
        assert!(!answer.body.contains("nobody's"), "{path}: {answer:?}");
        assert_ne!(answer.status, 200, "{path}");
    }
}
