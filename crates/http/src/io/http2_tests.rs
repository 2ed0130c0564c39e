//! A user's connection of HTTP/2, with a user of the crate `h2`.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use bytes::BytesMut;
use h2::client::{self, ResponseFuture, SendRequest};
use http_body_util::Full;
use hyper::header::HeaderMap;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// Bytes on their way between a user and us.
const WIRE: usize = 64 * 1024;

const SOON: Duration = Duration::from_secs(20);

type Served = JoinHandle<Result<(), Http2Error>>;

/// A user whose requests `answer` answers, its connection, and ours.
async fn user<A, F, B>(
    alive: Option<Alive>,
    drain: CancellationToken,
    answer: A,
) -> (SendRequest<Bytes>, JoinHandle<()>, Served)
where
    A: Fn(Request<UserBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    let (theirs, ours) = tokio::io::duplex(WIRE);
    let served = serving(ours, alive, drain, answer);
    let (requests, connection) = client_of(theirs).await;
    let connection = tokio::spawn(async move {
        let _ = connection.await;
    });
    (requests.ready().await.unwrap(), connection, served)
}

/// A client with room for everything.
async fn client_of(
    io: DuplexStream,
) -> (SendRequest<Bytes>, client::Connection<DuplexStream, Bytes>) {
    let mut client = client::Builder::new();
    client
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30);
    client.handshake(io).await.unwrap()
}

fn serving<A, F, B>(
    io: DuplexStream,
    alive: Option<Alive>,
    drain: CancellationToken,
    answer: A,
) -> Served
where
    A: Fn(Request<UserBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    let tasks = Tracked::new(&TaskTracker::new(), &CancellationToken::new());
    tokio::spawn(async move { serve(io, &tasks, alive, drain.cancelled(), answer).await })
}

fn get(fields: impl IntoIterator<Item = (String, String)>) -> Request<()> {
    let mut request = Request::get("http://a.test/");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

async fn ask(requests: &mut SendRequest<Bytes>, request: Request<()>) -> ResponseFuture {
    poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
    requests.send_request(request, true).unwrap().0
}

async fn hello(_: Request<UserBody>) -> Response<Full<Bytes>> {
    Response::new("hello".into())
}

/// An answer without end, and how much of it was asked for.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let some = Bytes::from_static(&[0; 16 * 1024]);
        self.0.fetch_add(some.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(some))))
    }
}

#[tokio::test]
async fn informational_answers_come_before_theirs_and_no_more_than_may_wait() {
    let (mut requests, ..) = user(None, CancellationToken::new(), |request| async move {
        let Hints(tell) = request.extensions().get().cloned().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("link", "<a.css>".parse().unwrap());
        tell(StatusCode::EARLY_HINTS, headers.clone());
        headers.insert("link", "x".repeat(MAX_HINTS / 8).parse().unwrap());
        for _ in 0..100 {
            tell(StatusCode::PROCESSING, headers.clone());
        }
        let mut answer = hello(request).await;
        answer
            .headers_mut()
            .insert("connection", "x-hop".parse().unwrap());
        answer.headers_mut().insert("x-hop", "1".parse().unwrap());
        answer
    })
    .await;
    let mut response = ask(&mut requests, get([])).await;
    let mut told = Vec::new();
    while let Some(hint) = poll_fn(|cx| response.poll_informational(cx)).await {
        let hint = hint.unwrap();
        told.push((hint.status(), hint.headers()["link"].len()));
    }
    assert_eq!(told[0], (StatusCode::EARLY_HINTS, 7));
    let processing = (StatusCode::PROCESSING, MAX_HINTS / 8);
    assert_eq!(told[1..], [processing; 7]);
    let answer = response.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_LENGTH], "5");
    assert!(answer.headers().contains_key(DATE));
    assert!(!answer.headers().contains_key("x-hop"));
}

#[tokio::test]
async fn bodies_pass_both_ways_with_what_is_behind_them() {
    let (requests, ..) = user(None, CancellationToken::new(), |request| async move {
        assert_eq!(request.body().size_hint().exact(), None);
        Response::new(request.into_body())
    })
    .await;
    let mut requests = requests;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 1000) as u8).collect();
    let request = Request::post("http://a.test/").body(()).unwrap();
    let (response, mut stream) = requests.send_request(request, false).unwrap();
    let up = async {
        send(&mut stream, Bytes::from(sent.clone()), false)
            .await
            .unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    };
    let down = async {
        let mut body = response.await.unwrap().into_body();
        let mut got = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            got.extend_from_slice(&data);
        }
        (got, body.trailers().await.unwrap().unwrap())
    };
    let ((), (got, trailers)) = tokio::join!(up, down);
    assert!(got == sent);
    assert_eq!(trailers["x-sum"], "1");
}

#[tokio::test]
async fn a_head_may_have_as_much_as_over_http1() {
    let (mut requests, ..) = user(None, CancellationToken::new(), hello).await;
    let wide = |n: usize| get([("x".to_owned(), "y".repeat(n))]);
    let many = |n| get((0..n).map(|n| (format!("x-{n}"), "y".to_owned())));
    for (request, status) in [
        (wide(1_000_000), 200),
        (wide(1_100_000), 431),
        (many(MAX_HTTP_FIELDS), 200),
        (many(MAX_HTTP_FIELDS + 1), 431),
    ] {
        let answer = ask(&mut requests, request).await.await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn heads_that_nobody_has_room_for_may_come_again() {
    let waits = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = waits.clone();
    let (mut requests, ..) = user(None, CancellationToken::new(), move |request| {
        let waiting = waiting.clone();
        async move {
            let _ = waiting.acquire().await.unwrap();
            hello(request).await
        }
    })
    .await;
    let wide = || get([("x".to_owned(), "y".repeat(1_000_000))]);
    let mut answers = Vec::new();
    for _ in 0..70 {
        answers.push(ask(&mut requests, wide()).await);
    }
    let last = answers.pop().unwrap();
    let error = timeout(SOON, last).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    waits.add_permits(1);
    assert_eq!(answers.swap_remove(0).await.unwrap().status(), 200);
    assert_eq!(
        ask(&mut requests, get([])).await.await.unwrap().status(),
        200
    );
    for answer in answers {
        let _ = answer.await;
    }
    assert_eq!(
        ask(&mut requests, wide()).await.await.unwrap().status(),
        200
    );
}

#[tokio::test(start_paused = true)]
async fn little_is_held_of_answers_that_nobody_reads() {
    const ANSWERS: usize = 10;
    const CHUNK: usize = 16 * 1024;
    let given = Arc::new(AtomicUsize::new(0));
    let body = given.clone();
    let (theirs, ours) = tokio::io::duplex(WIRE);
    let _served = serving(ours, None, CancellationToken::new(), move |_| {
        let body = Endless(body.clone());
        async move { Response::new(body) }
    });
    let (mut requests, mut connection) = client_of(theirs).await;
    let asking = async {
        let mut answers = Vec::new();
        for _ in 0..ANSWERS {
            answers.push(ask(&mut requests, get([])).await.await.unwrap());
        }
        answers
    };
    let answers = tokio::select! {
        _ = &mut connection => panic!("the connection ended"),
        answers = asking => answers,
    };
    // Nothing is read from now on. The clock goes on once nobody has anything to do.
    let before = given.load(Ordering::Relaxed);
    tokio::time::sleep(SOON).await;
    let more = given.load(Ordering::Relaxed) - before;
    assert!(more <= WIRE + ANSWERS * (HTTP2_UNSENT + CHUNK), "{more}");
    drop((answers, connection));
}

#[tokio::test]
async fn who_takes_back_a_request_ends_it() {
    let (begun, ended) = (CancellationToken::new(), CancellationToken::new());
    let held = (begun.clone(), ended.clone());
    let (mut requests, ..) = user(None, CancellationToken::new(), move |request| {
        let (begun, ended) = held.clone();
        async move {
            let _dropped_with_the_request = ended.drop_guard();
            begun.cancel();
            pending::<()>().await;
            hello(request).await
        }
    })
    .await;
    let answer = ask(&mut requests, get([])).await;
    timeout(SOON, begun.cancelled()).await.unwrap();
    assert!(!ended.is_cancelled());
    drop(answer);
    timeout(SOON, ended.cancelled()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_drains_answers_what_is_under_way() {
    let drain = CancellationToken::new();
    let (begun, release) = (CancellationToken::new(), CancellationToken::new());
    let held = (begun.clone(), release.clone());
    let (mut requests, _, served) = user(None, drain.clone(), move |request| {
        let (begun, release) = held.clone();
        async move {
            begun.cancel();
            release.cancelled().await;
            hello(request).await
        }
    })
    .await;
    let answer = ask(&mut requests, get([])).await;
    timeout(SOON, begun.cancelled()).await.unwrap();
    drain.cancel();
    let refused = async {
        while poll_fn(|cx| requests.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, refused).await.unwrap();
    assert!(!served.is_finished());
    release.cancel();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    timeout(SOON, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_asked_and_let_go() {
    let alive = Alive {
        heard: Arc::default(),
        asked_after: Duration::from_secs(100),
        gone_after: Duration::from_secs(10),
    };
    // Answers, as the crate does by itself.
    let (_requests, _connection, served) =
        user(Some(alive.clone()), CancellationToken::new(), hello).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert!(!served.is_finished());

    // Does not, because what it reads slowly is before the question. But it is heard of.
    let (mut wire, ours) = tokio::io::duplex(WIRE);
    let served = serving(ours, Some(alive.clone()), CancellationToken::new(), hello);
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    wire.write_all(begin).await.unwrap();
    tokio::time::sleep(Duration::from_secs(105)).await;
    for _ in 0..10 {
        alive.heard.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    assert!(!served.is_finished());
    let silent = Instant::now();
    assert!(matches!(served.await.unwrap(), Err(Http2Error::Gone)));
    assert!(silent.elapsed() <= Duration::from_secs(20));
}
