//! A page that a test uses as a person does: it looks, clicks and types, by the Chrome DevTools Protocol.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Browser;
use crate::clients::connect;

/// A browser on a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(100);

/// The only page of a browser.
#[derive(Debug)]
pub struct Tab {
    browser: Browser,
    socket: WebSocketStream<TcpStream>,
    session: String,
    next: u64,
    login: Option<(String, String)>,
    logins: u32,
    complaints: Vec<String>,
    requests: Vec<String>,
}

impl Tab {
    /// Opens an empty page; `directory` is for the browser's files. `login` is typed where a site asks for
    /// user and password. None after a line that says `SKIPPED` where there is no browser.
    pub async fn open(directory: &Path, login: Option<(&str, &str)>) -> Option<Self> {
        let more = ["--remote-debugging-port=0"];
        let browser = Browser::with(directory, "site.example", "about:blank", &more)?;
        let line = browser
            .0
            .expect_from(0, "DevTools listening on ws://", PATIENCE)
            .await;
        let (_, url) = line.split_once("listening on ").unwrap();
        let port = url
            .split(':')
            .nth(2)
            .and_then(|rest| rest.split('/').next());
        let stream = connect(port.unwrap().parse().unwrap()).await;
        let (socket, _) = tokio_tungstenite::client_async(url.trim(), stream)
            .await
            .unwrap();
        let mut tab = Self {
            browser,
            socket,
            session: String::new(),
            next: 0,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            logins: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
        };
        let target = tab
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.call("Target.attachToTarget", attach).await;
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut tab.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.size(1280, 800).await;
        if tab.login.is_some() {
            let all = json!({"handleAuthRequests": true, "patterns": [{"urlPattern": "*"}]});
            tab.call("Fetch.enable", all).await;
        }
        Some(tab)
    }

    /// Goes to `url`.
    pub async fn go(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url})).await;
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
    }

    /// The value of an expression of the page.
    pub async fn value(&mut self, script: &str) -> Value {
        let ask = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", ask).await;
        if let Some(thrown) = answer.get("exceptionDetails") {
            panic!("{script}: {thrown}");
        }
        answer["result"]["value"].clone()
    }

    /// Waits until an expression of the page is true.
    pub async fn until(&mut self, script: &str) {
        let wanted =
            format!("(() => {{ try {{ return !!({script}) }} catch {{ return false }} }})()");
        let start = Instant::now();
        while self.value(&wanted).await != Value::Bool(true) {
            if start.elapsed() > PATIENCE {
                let text = self.value("document.body?.innerText").await;
                panic!(
                    "not within {PATIENCE:?}: {script}\ncomplaints: {:?}\nthe page: {}",
                    self.complaints,
                    text.as_str().unwrap_or_default()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the page shows `text`.
    pub async fn sees(&mut self, text: &str) {
        self.until(&format!(
            "document.body.innerText.includes({})",
            json!(text)
        ))
        .await;
    }

    /// Waits until it shows it no more.
    pub async fn misses(&mut self, text: &str) {
        self.until(&format!(
            "!document.body.innerText.includes({})",
            json!(text)
        ))
        .await;
    }

    /// Clicks, with the mouse, what a selector finds, once it is there and can be clicked.
    pub async fn click(&mut self, selector: &str) {
        self.click_on(&format!("document.querySelector({})", json!(selector)))
            .await;
    }

    /// Clicks the first button or link that shows just `text`; in a dialog, where one is open.
    pub async fn click_text(&mut self, text: &str) {
        self.click_on(&format!(
            "[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button, a, summary')]\
             .find((e) => e.innerText.trim() === {} && e.offsetParent !== null)",
            json!(text)
        ))
        .await;
    }

    async fn click_on(&mut self, element: &str) {
        self.until(&format!(
            "(() => {{ const e = {element}; return e && !e.disabled }})()"
        ))
        .await;
        let place = self
            .value(&format!(
                "(async () => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); \
                 await new Promise(requestAnimationFrame); const r = e.getBoundingClientRect(); \
                 return {{x: r.x + r.width / 2, y: r.y + r.height / 2}} }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types `text` where the cursor is.
    pub async fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Types `text` into the field that a selector finds, instead of what is there.
    pub async fn fills(&mut self, selector: &str, text: &str) {
        let field = json!(selector);
        self.until(&format!("document.querySelector({field})"))
            .await;
        self.value(&format!(
            "document.querySelector({field}).focus(), document.querySelector({field}).select()"
        ))
        .await;
        self.types(text).await;
    }

    /// Chooses a value in the list that a selector finds.
    pub async fn chooses(&mut self, selector: &str, value: &str) {
        let field = json!(selector);
        self.until(&format!("document.querySelector({field})"))
            .await;
        self.value(&format!(
            "(() => {{ const e = document.querySelector({field}); e.value = {}; \
             e.dispatchEvent(new Event('change', {{bubbles: true}})) }})()",
            json!(value)
        ))
        .await;
    }

    /// Presses a key by its name, e.g. `Escape`.
    pub async fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowDown" => 40,
            _ => 0,
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
            });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// The size of the window, in its own pixels.
    pub async fn size(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Which colours the system is said to want: `light` or `dark`.
    pub async fn scheme(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}))
            .await;
    }

    /// The language that the browser is set to, for later pages.
    pub async fn speaks(&mut self, language: &str) {
        let agent = self.value("navigator.userAgent").await;
        let setting = json!({"userAgent": agent, "acceptLanguage": language});
        self.call("Network.setUserAgentOverride", setting).await;
    }

    /// Runs `script` in each later page before its own ones.
    pub async fn before_each_page(&mut self, script: &str) {
        let script = json!({"source": script});
        self.call("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }

    /// How many nodes and listeners there are, after what nobody needs was thrown away.
    pub async fn alive(&mut self) -> (u64, u64) {
        self.call("HeapProfiler.collectGarbage", json!({})).await;
        let counts = self.call("Memory.getDOMCounters", json!({})).await;
        let count = |name: &str| counts[name].as_u64().unwrap();
        (count("nodes"), count("jsEventListeners"))
    }

    /// What the console, the security policy and the network have complained of so far.
    pub async fn complaints(&mut self) -> Vec<String> {
        self.value("0").await;
        self.complaints.clone()
    }

    /// The requests of the page so far, beyond those within the browser itself.
    pub async fn requests(&mut self) -> Vec<String> {
        self.value("0").await;
        self.requests.clone()
    }

    /// How often user and password were asked for. From now on the browser knows them, and its requests go
    /// out while nobody looks.
    pub async fn logins(&mut self) -> u32 {
        self.call("Fetch.disable", json!({})).await;
        self.logins
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.browser.close().await;
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        loop {
            let mut message = self.read(method).await;
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.happened(&message).await;
        }
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let message = Message::text(message.to_string());
        self.socket.send(message).await.unwrap();
        self.next
    }

    async fn read(&mut self, what: &str) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.unwrap_or_else(|_| panic!("the browser did not answer {what}"));
            if let Message::Text(text) = message.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn happened(&mut self, message: &Value) {
        let of = &message["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(of["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if of["type"] == "error" => {
                self.complaints.push(of["args"].to_string());
            }
            "Log.entryAdded" if of["entry"]["level"] == "error" => self.complaints.push(format!(
                "{} {}",
                text(&of["entry"]["text"]),
                text(&of["entry"]["url"])
            )),
            "Network.requestWillBeSent" => self.requests.push(text(&of["request"]["url"])),
            // A page that would rather not be left.
            "Page.javascriptDialogOpening" => {
                self.send("Page.handleJavaScriptDialog", json!({"accept": true}))
                    .await;
            }
            "Fetch.requestPaused" => {
                let id = json!({"requestId": of["requestId"]});
                self.send("Fetch.continueRequest", id).await;
            }
            "Fetch.authRequired" => {
                self.logins += 1;
                let (user, password) = self.login.clone().unwrap();
                let answer = json!({
                    "response": "ProvideCredentials", "username": user, "password": password,
                });
                let answer = json!({"requestId": of["requestId"], "authChallengeResponse": answer});
                self.send("Fetch.continueWithAuth", answer).await;
            }
            _ => {}
        }
    }
}
