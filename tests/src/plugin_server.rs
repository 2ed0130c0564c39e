//! A scripted server plugin: it says what the test wants, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::service::Service;
use crate::tls::{self, Identity};
use crate::wait::eventually_within;

/// A running plugin.
#[derive(Debug)]
pub struct PluginServer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    state: Arc<Mutex<State>>,
    _service: Service,
}

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Says {
    /// Answers with this JSON.
    Json(Value),
    /// Says yes and closes the connection then.
    Last,
    /// Answers with this status and body.
    Status(u16, String),
    /// Says so many bytes of a body that has no end.
    Bytes(usize),
    /// Closes the connection.
    Closes,
    /// Never answers.
    Hangs,
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The request's head.
    pub head: String,
    /// The request's body, as it came.
    pub text: String,
    /// The same, read.
    pub body: Value,
    /// The number of the connection that it came on.
    pub connection: usize,
}

struct State {
    script: Script,
    asked: Vec<Question>,
    connections: usize,
    closed: usize,
}

type Script = Box<dyn FnMut(&Question) -> Says + Send>;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("State").field(&self.asked).finish()
    }
}

impl Says {
    /// Yes.
    #[must_use]
    pub fn yes() -> Self {
        Self::Json(json!({"reject": false, "unchange": true}))
    }

    /// No.
    #[must_use]
    pub fn no(reason: &str) -> Self {
        Self::Json(json!({"reject": true, "reject_reason": reason}))
    }

    /// Yes, to this content.
    #[must_use]
    pub fn changed(content: Value) -> Self {
        Self::Json(json!({"unchange": false, "content": content}))
    }
}

impl Question {
    /// The operation.
    #[must_use]
    pub fn op(&self) -> &str {
        self.body["op"].as_str().unwrap_or_default()
    }

    /// What it is about.
    #[must_use]
    pub fn content(&self) -> &Value {
        &self.body["content"]
    }

    /// Its content with `key` set to `value`, as an answer.
    #[must_use]
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Says {
        let mut content = self.content().clone();
        content[key] = value.into();
        Says::changed(content)
    }
}

impl PluginServer {
    /// One that speaks http.
    pub async fn start(script: impl FnMut(&Question) -> Says + Send + 'static) -> Self {
        Self::launch(None, Box::new(script)).await
    }

    /// One that says yes.
    pub async fn agreeing() -> Self {
        Self::start(|_| Says::yes()).await
    }

    /// One that speaks https as `identity`.
    pub async fn start_tls(identity: &Identity) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity)));
        Self::launch(Some(acceptor), Box::new(|_| Says::yes())).await
    }

    async fn launch(acceptor: Option<TlsAcceptor>, script: Script) -> Self {
        let state = Arc::new(Mutex::new(State {
            script,
            asked: Vec::new(),
            connections: 0,
            closed: 0,
        }));
        let served = state.clone();
        let service = Service::new(move |stream| {
            let (state, acceptor) = (served.clone(), acceptor.clone());
            async move {
                match acceptor {
                    None => serve(stream, &state).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &state).await;
                        }
                    }
                }
            }
        })
        .await;
        Self {
            port: service.port,
            state,
            _service: service,
        }
    }

    /// Goes on by another script.
    pub fn script(&self, script: impl FnMut(&Question) -> Says + Send + 'static) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    /// What it was asked, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Question> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The same about `op` only.
    #[must_use]
    pub fn asked_about(&self, op: &str) -> Vec<Question> {
        let asked = self.asked().into_iter();
        asked.filter(|question| question.op() == op).collect()
    }

    /// Waits until it was asked about `op` so often.
    pub async fn until_asked(&self, op: &str, times: usize) -> Vec<Question> {
        let what = format!("the plugin is asked about {op} {times} times");
        eventually_within(Duration::from_secs(20), &what, || async {
            self.asked_about(op).len() >= times
        })
        .await;
        self.asked_about(op)
    }

    /// Waits until it has closed every connection.
    pub async fn until_closed(&self) {
        eventually_within(Duration::from_secs(20), "the plugin closes", || async {
            let state = self.state.lock().unwrap();
            state.closed == state.connections
        })
        .await;
    }

    /// A table of `httpPlugins` that names it `name`, with more `lines`.
    #[must_use]
    pub fn config(&self, name: &str, ops: &str, lines: &str) -> String {
        config(name, &format!("127.0.0.1:{}", self.port), ops, lines)
    }
}

/// The same for a plugin at `addr`; `ops` are separated by blanks.
#[must_use]
pub fn config(name: &str, addr: &str, ops: &str, lines: &str) -> String {
    let ops: Vec<String> = ops.split(' ').map(|op| format!("{op:?}")).collect();
    format!(
        "\n[[httpPlugins]]\nname = \"{name}\"\naddr = \"{addr}\"\npath = \"/handler\"\n\
         ops = [{}]\n{lines}\n",
        ops.join(", ")
    )
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let connection = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections
    };
    while let Some((head, body)) = request(&mut stream).await {
        let question = Question {
            body: serde_json::from_slice(&body).unwrap_or_default(),
            text: String::from_utf8_lossy(&body).into_owned(),
            head,
            connection,
        };
        let says = {
            let mut state = state.lock().unwrap();
            state.asked.push(question.clone());
            (state.script)(&question)
        };
        let is_last = matches!(says, Says::Last);
        let (status, body) = match says {
            Says::Json(json) => (200, json.to_string()),
            Says::Last => (200, json!({"unchange": true}).to_string()),
            Says::Status(status, body) => (status, body),
            Says::Closes => return,
            Says::Hangs => std::future::pending().await,
            Says::Bytes(bytes) => {
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let some = [b'x'; 4096];
                for _ in 0..bytes / some.len() {
                    if stream.write_all(&some).await.is_err() {
                        break;
                    }
                }
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || is_last {
            drop(stream);
            state.lock().unwrap().closed += 1;
            return;
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    let (_, length) = lower.split_once("content-length: ")?;
    let length = length.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
