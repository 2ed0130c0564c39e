//! A web site for real browsers: a page with images, a style and a script, and a chat over
//! websockets. What the page's script sees in the end it posts to the site.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::backend::{Seen, read_request};
use crate::clients::pattern;
use crate::service::Service;

/// The site, listening.
#[derive(Debug)]
pub struct Site {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    _service: Service,
}

#[derive(Debug)]
struct Shared {
    report: watch::Sender<Option<Value>>,
    said: broadcast::Sender<String>,
    here: Mutex<usize>,
    asked: Mutex<Vec<String>>,
}

impl Site {
    /// Starts it.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            report: watch::Sender::new(None),
            said: broadcast::Sender::new(1000),
            here: Mutex::new(0),
            asked: Mutex::default(),
        });
        let service = Service::new({
            let shared = shared.clone();
            move |stream| serve(stream, shared.clone())
        })
        .await;
        Self {
            port: service.port,
            shared,
            _service: service,
        }
    }

    /// What the page posted, waiting for it.
    pub async fn report(&self, limit: Duration) -> Value {
        let mut report = self.shared.report.subscribe();
        match tokio::time::timeout(limit, report.wait_for(Option::is_some)).await {
            Ok(report) => report.unwrap().clone().unwrap(),
            Err(_) => panic!("no report within {limit:?}; requests: {:?}", self.asked()),
        }
    }

    /// The heads of all requests until now.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

/// An image of another size for each `number`: a 24 bit bitmap, whose bytes all are colours.
#[must_use]
pub fn image(number: u32) -> Image {
    let (width, height) = (200 + 4 * number, 100 + number);
    let colours = pattern((width * height * 3) as usize, u64::from(number));
    Image {
        width,
        height,
        colours,
    }
}

/// See [`image`].
#[derive(Debug)]
pub struct Image {
    /// In pixels, a multiple of 4: rows need no padding.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    colours: Vec<u8>,
}

impl Image {
    /// The sum of red, green, blue and opacity (255) of all pixels.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let colours: u64 = self.colours.iter().map(|value| u64::from(*value)).sum();
        colours + u64::from(self.width * self.height) * 255
    }

    /// The file.
    fn bmp(&self) -> Vec<u8> {
        const HEADS: u32 = 14 + 40;
        let len = HEADS + self.width * self.height * 3;
        let mut file = b"BM".to_vec();
        for field in [len, 0, HEADS, 40, self.width, self.height, 1 | 24 << 16] {
            file.extend(field.to_le_bytes());
        }
        file.resize(HEADS as usize, 0);
        file.extend(&self.colours);
        file
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, 0).await {
        shared.asked.lock().unwrap().push(seen.head.clone());
        if let Some(name) = seen.path().strip_prefix("/room?name=") {
            return chat(stream, &seen, name, &shared).await;
        }
        let answer = answer(&seen, &shared);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn answer(seen: &Seen, shared: &Shared) -> Vec<u8> {
    let path = seen.path().split('?').next().unwrap_or_default();
    let number = path
        .strip_prefix("/image-")
        .and_then(|rest| rest.strip_suffix(".bmp")?.parse().ok());
    let (status, kind, body) = match (path, number) {
        ("/", _) => (
            "200 OK",
            "text/html",
            include_bytes!("site/index.html").to_vec(),
        ),
        ("/chat.html", _) => (
            "200 OK",
            "text/html",
            include_bytes!("site/chat.html").to_vec(),
        ),
        ("/page.js", _) => (
            "200 OK",
            "text/javascript",
            include_bytes!("site/page.js").to_vec(),
        ),
        ("/chat.js", _) => (
            "200 OK",
            "text/javascript",
            include_bytes!("site/chat.js").to_vec(),
        ),
        ("/style.css", _) => (
            "200 OK",
            "text/css",
            include_bytes!("site/style.css").to_vec(),
        ),
        (_, Some(number)) => ("200 OK", "image/bmp", image(number).bmp()),
        ("/report", _) => {
            let report = serde_json::from_slice(&seen.body).unwrap();
            shared.report.send_replace(Some(report));
            ("200 OK", "text/plain", Vec::new())
        }
        _ => ("404 Not Found", "text/plain", Vec::new()),
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}

/// A user in the chat's room: what one says all hear, and so does who says it.
async fn chat(mut stream: TcpStream, seen: &Seen, name: &str, shared: &Shared) {
    let Some(key) = seen.header("sec-websocket-key") else {
        return;
    };
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (mut to_user, mut from_user) = socket.split();
    let mut said = shared.said.subscribe();
    {
        let mut here = shared.here.lock().unwrap();
        *here += 1;
        let _ = shared.said.send(format!("{here} are here"));
    }
    loop {
        tokio::select! {
            line = said.recv() => {
                if to_user.send(Message::text(line.unwrap())).await.is_err() {
                    return;
                }
            }
            message = from_user.next() => match message {
                Some(Ok(Message::Text(line))) => {
                    let _ = shared.said.send(format!("{name}: {line}"));
                }
                Some(Ok(Message::Close(_))) => {
                    let _ = shared.said.send(format!("{name} left"));
                    // The answer to it goes out by itself.
                    while from_user.next().await.is_some() {}
                    return;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
