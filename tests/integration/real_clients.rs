//! What people do all day, by the programs that they do it with: a browser, curl and git.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use frp_tests::backend::{Backend, Seen, curl};
use frp_tests::browser::Browser;
use frp_tests::git::{self, Git};
use frp_tests::openssh::Sshd;
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy};
use frp_tests::site::{self, Site};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};

/// A browser on a loaded machine is slow to start.
const PATIENCE: Duration = Duration::from_secs(120);

const DOMAIN: &str = "customDomains = [\"site.example\"]";

/// Checks that the page was whole and the chat went as it should, and returns the protocols by which
/// the browser got everything.
fn check(report: &Value) -> &Value {
    assert_eq!(report.get("error"), None, "the page's script failed");
    let images: Vec<_> = (0..16)
        .map(site::image)
        .map(|image| json!([image.width, image.height, image.sum()]))
        .collect();
    assert_eq!(report["images"], json!(images));
    assert_eq!(report["style"], "rgb(1, 2, 3)");
    let mut talk = Vec::new();
    for round in 1..=20 {
        let marks = "?".repeat(if round == 7 { 300_000 } else { round });
        talk.push(format!("alice: question {round} ¿{marks}"));
        talk.push(format!("bob: answer {round}"));
    }
    for (name, ends) in [
        ("alice", &["closed 1000 true"][..]),
        ("bob", &["alice left", "closed 1000 true"]),
    ] {
        let heard = report["heard"][name].as_array().unwrap().iter();
        let heard = heard.map(|line| line.as_str().unwrap());
        let heard: Vec<_> = heard.filter(|line| !line.ends_with(" are here")).collect();
        let wanted = talk.iter().map(String::as_str).chain(ends.iter().copied());
        let differs = wanted.clone().zip(&heard).position(|(a, b)| a != *b);
        assert_eq!(differs, None, "{name} heard another line");
        assert_eq!(heard.len(), wanted.count(), "what {name} heard");
    }
    &report["protocols"]
}

#[tokio::test]
async fn a_browser_shows_a_page_with_images_and_two_users_chat() {
    let rig = Rig::new();
    let site = Site::start().await;
    let port = free_port();
    let frps = rig.frps(&format!("vhostHTTPPort = {port}\n")).await;
    let frpc = rig.frpc(frps.port, &host_proxy("http", "web", site.port, DOMAIN));
    frpc.expect("[web] start proxy success").await;
    let url = format!("http://site.example:{port}/");
    let Some(browser) = Browser::open(rig.path(), "site.example", &url) else {
        return;
    };
    let report = site.report(PATIENCE).await;
    browser.close().await;
    assert_eq!(check(&report), &json!(["http/1.1"]));
}

#[tokio::test]
async fn a_browser_shows_the_same_by_http2_through_https2http() {
    let rig = Rig::new();
    let site = Site::start().await;
    let port = free_port();
    let frps = rig.frps(&format!("vhostHTTPSPort = {port}\n")).await;
    let proxy = format!(
        "[[proxies]]\nname = \"web\"\ntype = \"https\"\n{DOMAIN}\n[proxies.plugin]\n\
         type = \"https2http\"\nlocalAddr = \"127.0.0.1:{}\"\n",
        site.port
    );
    let frpc = rig.frpc(frps.port, &proxy);
    frpc.expect("[web] start proxy success").await;
    let url = format!("https://site.example:{port}/");
    let Some(browser) = Browser::open(rig.path(), "site.example", &url) else {
        return;
    };
    let report = site.report(PATIENCE).await;
    browser.close().await;
    assert_eq!(check(&report), &json!(["h2"]));
}

#[tokio::test]
async fn a_browser_asks_the_admin_api_for_its_user_and_not_for_another_site() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let admin = free_port();
    let settings = format!("webServer.port = {admin}\n");
    let frpc = rig.frpc(frps.port, &settings);
    frpc.expect("login to server success").await;
    let ours = format!("http://127.0.0.1:{admin}");
    // Another site, whose name leads here as well.
    let evil = format!(
        "<img src=\"{ours}/api/reload\"><iframe name=f></iframe>\
         <form id=f method=post target=f action=\"{ours}/api/stop\"></form>\
         <script>document.getElementById('f').submit()</script>"
    );
    let evil = Arc::new(evil);
    let site = Backend::new(move |_| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            evil.len()
        );
        (head + &evil).into_bytes()
    })
    .await;
    let url = format!("http://evil.example:{}/", site.port());
    let Some(browser) = Browser::open(rig.path(), "evil.example", &url) else {
        return;
    };
    for path in ["/api/reload", "/api/stop"] {
        let refused = format!("http response [{path}]: error: refused: the request comes from");
        frpc.expect_from(0, &refused, PATIENCE).await;
    }
    browser.close().await;
    assert_eq!(frpc.log().count("success reload conf"), 0);

    // What its user asks for, our own page, and what that asks for.
    let rig = Rig::new();
    let url = format!("{ours}/api/reload");
    let Some(browser) = Browser::open(rig.path(), "frpc.example", &url) else {
        return;
    };
    frpc.expect_from(0, "success reload conf", PATIENCE).await;
    browser.close().await;
}

/// Bytes of a download, and of its part that comes before it is cut.
const SIZE: usize = 50_000_000;
const CUT: usize = 20_000_000;

/// A download by curl that is not done: [`CUT`] bytes came.
struct Download {
    curl: Child,
    stdout: ChildStdout,
    bytes: Vec<u8>,
}

impl Download {
    async fn begin(args: &[&str]) -> Self {
        // Until its output is read curl waits, and so does who sends.
        let mut curl = Command::new("curl")
            .args(["--silent", "--noproxy", "*", "--max-time", "120"])
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = curl.stdout.take().unwrap();
        let mut bytes = vec![0; CUT];
        let begin = stdout.read_exact(&mut bytes);
        within(PATIENCE, "the first part", begin).await.unwrap();
        Self {
            curl,
            stdout,
            bytes,
        }
    }

    /// What came until curl ended, and its exit status.
    async fn end(mut self) -> (Vec<u8>, Option<i32>) {
        let rest = self.stdout.read_to_end(&mut self.bytes);
        within(PATIENCE, "the end of curl", rest).await.unwrap();
        (self.bytes, self.curl.wait().await.unwrap().code())
    }
}

/// Has curl fetch the rest of a download, of which `part` came, and checks the whole.
async fn resume(rig: &Rig, args: &[&str], part: &[u8], whole: &[u8]) {
    assert!(part.len() < SIZE, "the download was cut");
    let file = rig.file("part", part);
    let path = file.to_str().unwrap();
    let how = "%{http_code} %{size_download}";
    let said = curl(&[&["-C", "-", "-o", path, "-w", how], args].concat()).await;
    assert_eq!(said, format!("206 {}", SIZE - part.len()));
    let got = digest(&SHA256, &std::fs::read(file).unwrap());
    assert_eq!(got.as_ref(), digest(&SHA256, whole).as_ref());
}

#[tokio::test]
async fn curl_resumes_a_download_from_static_file_after_it_was_killed() {
    let rig = Rig::new();
    let whole = pattern(SIZE, 1);
    std::fs::create_dir(rig.path().join("files")).unwrap();
    rig.file("files/image.iso", &whole);
    let port = free_port();
    let frps = rig.frps("").await;
    let proxy = format!(
        "[[proxies]]\nname = \"files\"\ntype = \"tcp\"\nremotePort = {port}\n[proxies.plugin]\n\
         type = \"static_file\"\nlocalPath = \"files\"\nhttpUser = \"u\"\nhttpPassword = \"p\"\n"
    );
    let frpc = rig.frpc(frps.port, &proxy);
    frpc.expect("[files] start proxy success").await;
    let url = format!("http://127.0.0.1:{port}/image.iso");
    let args = ["--user", "u:p", &url];
    let mut download = Download::begin(&args).await;
    download.curl.kill().await.unwrap();
    let (part, _) = download.end().await;
    resume(&rig, &args, &part, &whole).await;
}

#[tokio::test]
async fn curl_resumes_a_download_through_http_after_frpc_was_killed() {
    let rig = Rig::new();
    let whole = Arc::new(pattern(SIZE, 2));
    let backend = Backend::new({
        let whole = whole.clone();
        move |seen| download(&whole, seen)
    })
    .await;
    let port = free_port();
    let frps = rig.frps(&format!("vhostHTTPPort = {port}\n")).await;
    let proxy = host_proxy("http", "web", backend.port(), DOMAIN);
    let mut frpc = rig.frpc(frps.port, &proxy);
    frpc.expect("[web] start proxy success").await;
    let at = format!("site.example:{port}:127.0.0.1");
    let url = format!("http://site.example:{port}/image.iso");
    let args = ["--resolve", &at, &url];
    let download = Download::begin(&args).await;
    frpc.kill().await;
    let (part, status) = download.end().await;
    // A partial file, or a reset while it came: not success.
    assert!(matches!(status, Some(18 | 56)), "curl: {status:?}");
    frpc.start_again();
    frpc.expect("[web] start proxy success").await;
    resume(&rig, &args, &part, &whole).await;
}

/// Answers with `whole`, or its end from where the request says.
fn download(whole: &[u8], seen: &Seen) -> Vec<u8> {
    let from = seen.header("range").map(|range| {
        let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
        from.unwrap().parse::<usize>().unwrap()
    });
    let (status, range) = match from {
        None => ("200 OK", String::new()),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{SIZE}\r\n", SIZE - 1);
            ("206 Partial Content", range)
        }
    };
    let body = &whole[from.unwrap_or(0)..];
    let head = format!(
        "HTTP/1.1 {status}\r\n{range}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Clones from `url`, compares, pushes a commit, and checks that the repository `origin` has it.
async fn clone_and_push(git: &Git, rig: &Rig, url: &str, origin: &Path) {
    let clone = rig.path().join("clone");
    git.run(rig.path(), ["clone", "--quiet", url, "clone"])
        .await;
    check_clone(git, &clone, origin).await;
    // More than what git sends over HTTP with its length said ahead.
    git.commit(&clone, "pushed", 2_500_000).await;
    git.run(&clone, ["push", "--quiet", "origin", "main"]).await;
    assert_eq!(git.head(origin).await, git.head(&clone).await);
    git.run(origin, ["fsck", "--full", "--strict"]).await;
    // Another clone sees it, and a fetch has nothing left to bring.
    git.run(rig.path(), ["clone", "--quiet", url, "again"])
        .await;
    check_clone(git, &rig.path().join("again"), origin).await;
    git.run(&clone, ["fetch", "--quiet", "origin"]).await;
    assert_eq!(
        git.run(&clone, ["status", "-sb"]).await,
        "## main...origin/main"
    );
}

async fn check_clone(git: &Git, clone: &Path, origin: &Path) {
    assert_eq!(git.head(clone).await, git.head(origin).await);
    git.run(clone, ["fsck", "--full", "--strict"]).await;
    assert_eq!(git.run(clone, ["status", "--short"]).await, "");
    assert_eq!(git.run(clone, ["tag"]).await, "v1");
}

#[tokio::test]
async fn git_clones_and_pushes_over_ssh_through_tcp() {
    let rig = Rig::new();
    let sshd = Sshd::start(rig.path()).await;
    let origin = git::repository(rig.path()).await;
    let port = free_port();
    let frps = rig.frps("").await;
    let frpc = rig.frpc(frps.port, &tcp_proxy("ssh", sshd.port, port, ""));
    frpc.expect("[ssh] start proxy success").await;
    let git = Git::default().with("GIT_SSH_COMMAND", sshd.git_ssh());
    clone_and_push(&git, &rig, &sshd.git_url(port, &origin), &origin).await;
}

#[tokio::test]
async fn git_clones_and_pushes_over_ssh_through_a_visitor_of_stcp() {
    let rig = Rig::new();
    let sshd = Sshd::start(rig.path()).await;
    let origin = git::repository(rig.path()).await;
    let port = free_port();
    let frps = rig.frps("").await;
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    let frpc = rig.frpc(frps.port, &stcp_proxy("ssh", sshd.port, layers));
    frpc.expect("[ssh] start proxy success").await;
    let visitor = rig.frpc(frps.port, &stcp_visitor("visit", "ssh", port, layers));
    visitor.expect("start visitor success").await;
    let git = Git::default().with("GIT_SSH_COMMAND", sshd.git_ssh());
    clone_and_push(&git, &rig, &sshd.git_url(port, &origin), &origin).await;
}

#[tokio::test]
async fn git_clones_and_pushes_over_http_with_a_password() {
    let rig = Rig::new();
    let origin = git::repository(rig.path()).await;
    let service = git::http_service(rig.path()).await;
    let port = free_port();
    let frps = rig.frps(&format!("vhostHTTPPort = {port}\n")).await;
    let lines = format!("{DOMAIN}\nhttpUser = \"u\"\nhttpPassword = \"p\"");
    let frpc = rig.frpc(frps.port, &host_proxy("http", "git", service.port, &lines));
    frpc.expect("[git] start proxy success").await;
    let git = Git::default()
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", "http.curloptResolve")
        .with(
            "GIT_CONFIG_VALUE_0",
            format!("site.example:{port}:127.0.0.1"),
        );
    let url = format!("http://u:p@site.example:{port}/repo.git");
    clone_and_push(&git, &rig, &url, &origin).await;
}

#[tokio::test]
async fn git_clones_from_the_plain_files_of_static_file() {
    let rig = Rig::new();
    let git = Git::default();
    let origin = git::repository(rig.path()).await;
    git.run(&origin, ["update-server-info"]).await;
    let port = free_port();
    let frps = rig.frps("").await;
    let proxy = format!(
        "[[proxies]]\nname = \"files\"\ntype = \"tcp\"\nremotePort = {port}\n[proxies.plugin]\n\
         type = \"static_file\"\nlocalPath = \".\"\n"
    );
    let frpc = rig.frpc(frps.port, &proxy);
    frpc.expect("[files] start proxy success").await;
    let url = format!("http://127.0.0.1:{port}/repo.git");
    git.run(rig.path(), ["clone", "--quiet", &url, "clone"])
        .await;
    check_clone(&git, &rig.path().join("clone"), &origin).await;
}
