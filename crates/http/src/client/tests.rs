//! The client against a server that says what the test wants.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use frp_net::listen::listen;

/// A server whose URL it gives; it answers each connection with the next of `answers`, and gives back
/// the heads of what it was asked.
fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = listen("127.0.0.1", 0).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut conn, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(conn.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap());
            let _ = conn.write_all(answer.as_bytes()).await;
        }
        heads
    });
    (url, served)
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn moved(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

fn client() -> HttpClient {
    HttpClient::new(Trust::System, Via::Nothing).unwrap()
}

async fn failed(request: Outgoing) -> String {
    client().send(request).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_request_says_what_is_needed_and_nothing_of_the_user_in_the_url() {
    let (url, served) = server(vec![ok("body")]);
    let with_user = url.replace("http://", "http://me:secret@");
    let request = Outgoing::get(&format!("{with_user}/a?b=c#d")).unwrap();
    assert!(!format!("{request:?}").contains("secret"));
    let answer = client().send(request).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"body"[..])
    );
    let head = served.await.unwrap().remove(0).to_lowercase();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n"), "{head}");
    let host = url.replace("http://", "host: ");
    assert!(head.contains(&format!("{host}\r\n")), "{head}");
}

#[tokio::test]
async fn redirects_lead_a_get_anywhere_and_a_post_to_its_own_server_only() {
    let (other, other_served) = server(vec![ok("there")]);
    let answers = vec![
        moved(302, "b?c"),
        moved(307, "/d"),
        moved(301, &other),
        moved(308, "/token"),
        ok("posted"),
        moved(307, &other),
        moved(302, &other),
    ];
    let (url, served) = server(answers);
    let get = Outgoing::get(&format!("{url}/x/a")).unwrap();
    assert_eq!(
        &client().send(get.clone()).await.unwrap().body[..],
        b"there"
    );
    let post = get.post_form("secret=1".to_owned());
    assert_eq!(
        &client().send(post.clone()).await.unwrap().body[..],
        b"posted"
    );
    let error = failed(post.clone()).await;
    assert!(
        error.starts_with(&format!("Post \"{url}/x/a\": redirected to another server")),
        "{error}"
    );
    assert_eq!(
        client().send(post).await.unwrap().status.as_u16(),
        302,
        "no request without the form"
    );
    let heads = served.await.unwrap();
    let targets: Vec<_> = heads
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(
        targets,
        ["/x/a", "/x/b?c", "/d", "/x/a", "/token", "/x/a", "/x/a"]
    );
    assert!(heads[4].starts_with("POST "));
    assert_eq!(other_served.await.unwrap().len(), 1);
}

#[test]
fn references_are_resolved() {
    let base = parse("https://u:p@a.b:1/c/d?e").unwrap();
    let to = |reference: &str| resolve(&base, reference).map(|uri| uri.to_string());
    for (reference, expected) in [
        ("x", "https://a.b:1/c/x"),
        ("/x?y", "https://a.b:1/x?y"),
        ("?y", "https://a.b:1/c/d?y"),
        ("//z/x", "https://z/x"),
        ("http://z/x", "http://z/x"),
        ("x?y=http://z", "https://a.b:1/c/x?y=http://z"),
    ] {
        assert_eq!(to(reference).as_deref(), Some(expected), "{reference}");
    }
    assert_eq!(to("ftp://z"), None);
    let answer = Answer {
        status: StatusCode::FOUND,
        headers: [(header::LOCATION, HeaderValue::from_static("http://a.b/"))]
            .into_iter()
            .collect(),
        body: Bytes::new(),
    };
    let secure = Outgoing::get("https://a.b/").unwrap();
    assert!(
        redirected(&secure, &answer)
            .unwrap_err()
            .contains("from https to http")
    );
}

#[tokio::test]
async fn what_has_no_end_is_given_up() {
    let (url, _served) = server((0..20).map(|_| moved(302, "/again")).collect());
    let error = failed(Outgoing::get(&url).unwrap()).await;
    assert!(error.contains("stopped after 10 redirects"), "{error}");
    let (url, _served) = server(vec![ok(&"x".repeat(MAX_HTTP_ANSWER + 1))]);
    let error = failed(Outgoing::get(&url).unwrap()).await;
    assert!(error.contains("more than 1048576 bytes"), "{error}");
    let (url, _served) = server(vec![ok(&"x".repeat(MAX_HTTP_ANSWER))]);
    let answer = client().send(Outgoing::get(&url).unwrap()).await.unwrap();
    assert_eq!(answer.body.len(), MAX_HTTP_ANSWER);
    let (url, _served) = server(vec!["SSH-2.0-x\r\n".to_owned()]);
    assert!(
        failed(Outgoing::get(&url).unwrap())
            .await
            .starts_with("Get \"http://127.0.0.1:")
    );
}

#[test]
fn what_cannot_be_requested_is_refused() {
    for url in [
        "",
        "x",
        "/x",
        "ftp://x/",
        "http://",
        "http:///x",
        "http://a b/",
        "mailto:x",
    ] {
        assert_eq!(Outgoing::get(url).unwrap_err(), UrlError, "{url}");
    }
    assert!(Outgoing::get("HTTPS://[::1]:1/x").is_ok());
}

#[test]
fn an_answer_does_not_show_its_body() {
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, HeaderValue::from_static("sesame"));
    let answer = Answer {
        status: StatusCode::OK,
        headers,
        body: Bytes::from_static(b"sesame"),
    };
    let shown = format!("{answer:?}");
    assert_eq!(shown, "Answer { status: 200, length: 6, .. }");
}
