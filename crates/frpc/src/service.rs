//! Keeps a session alive: logs in, serves, and logs in again when the session is lost.

use std::sync::Arc;

use crate::limits::{LAST_TASKS, TELL_AGAIN};
use frp_config::{ClientConfig, DnsServer, Transport};
use frp_log::{Log, info, shown, shown_error, warn};
use frp_net::go_text::join_host_port;
use frp_net::literal::socket_addr;
use frp_net::resolve;
use frp_net::tls::TlsSetupError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Access, Admin, Web, WebError};
use crate::auth::EndpointSetupError;
use crate::auto::{Auto, NoWay};
use crate::backoff::{LoginBackoff, LossBackoff};
use crate::client::Client;
use crate::connect::answers_tls;
use crate::diagnose;
use crate::identity;
use crate::known_servers::{self, KnownServersError};
use crate::login::{Credentials, LoggedIn, LoginError, connect, login};
use crate::one_way::OneWay;
use crate::session::Session;
use crate::settings::{ConfigFile, Settings};
use crate::store::OpenError;
use crate::virtual_net::VirtualNetError;

/// A client of one configuration.
#[derive(Debug)]
pub struct Service {
    client: Arc<Client>,
    ways: Ways,
    web: Option<(Web, Arc<Access>)>,
}

/// How the server is reached.
#[derive(Debug)]
enum Ways {
    One(Arc<OneWay>),
    /// What chooses among several.
    Auto(Auto),
}

/// Why a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `transport.tls` names files that cannot be used.
    #[error("transport.tls: {0}")]
    Tls(#[from] TlsSetupError),
    /// `auth.oidc` names something that cannot be used.
    #[error("{0}")]
    Oidc(#[from] EndpointSetupError),
    /// `store.path` names a file that cannot be used.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// The keys of servers cannot be remembered.
    #[error("{0}")]
    KnownServers(#[from] KnownServersError),
    /// The admin API cannot listen.
    #[error("{0}")]
    Web(#[from] WebError),
}

/// Why a client ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The first login failed and `loginFailExit` is on.
    #[error(
        "login to the server failed: {0}. With loginFailExit enabled, no additional retries will \
         be attempted"
    )]
    FirstLogin(String),
    /// The device of the virtual network cannot be made.
    #[error("init virtual network controller error: {0}")]
    VirtualNet(#[from] VirtualNetError),
}

/// Reads the configuration file of a running client again.
#[derive(Debug, Clone)]
pub struct Reloader(Arc<Settings>);

impl Reloader {
    /// As the file was read before; the log tells what became of it.
    pub async fn reload(&self) {
        let settings = self.0.clone();
        let reloading = tokio::task::spawn_blocking(move || settings.reload_as_before());
        // Its errors are in the log; it does not panic.
        let _ = reloading.await;
    }
}

impl Service {
    /// Reads the store and the certificate files that `cfg` names and opens the port of the admin API;
    /// `file` is where `cfg` came from, and without one there is no store. Needs a tokio runtime.
    pub fn new(cfg: ClientConfig, file: Option<ConfigFile>) -> Result<Self, SetupError> {
        let settings = Settings::new(cfg, file)?;
        let file = settings.file().map(|file| file.path.as_path());
        let cfg = known_servers::settle(settings.merged(), file)?;
        let ways = match &cfg.transport.protocol {
            Transport::Auto(order) => Auto::new(&cfg, order).map(Ways::Auto),
            Transport::One(protocol) => {
                let way = OneWay::new(cfg.clone(), *protocol);
                way.map(|way| Ways::One(Arc::new(way)))
            }
        };
        let web = cfg.web_server.as_ref().map(admin::bind);
        Ok(Self {
            ways: ways?,
            client: Arc::new(Client::new(settings)?),
            web: web.transpose()?,
        })
    }

    /// What reads the configuration file again.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.client.settings.clone())
    }

    /// Serves until `stop` is cancelled, or until the first login fails where that is to end it;
    /// then ends whatever still carries a user, which takes [`LAST_TASKS`] at most.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        self.take_network_settings();
        let Client {
            cfg,
            tasks,
            virtual_net,
            ..
        } = &*self.client;
        virtual_net.start(cfg, tasks).await?;
        self.serve_admin(&stop);
        let ended = self.keep_session(&stop).await;
        self.client.tasks.stop.cancel();
        self.client.tasks.tracker.close();
        let _ = timeout(LAST_TASKS, self.client.tasks.tracker.wait()).await;
        self.client.live.real_ip.end().await;
        ended
    }

    /// Names are looked up as the settings say from here on, and the log tells a way that the file
    /// may not show.
    fn take_network_settings(&self) {
        if let Some(DnsServer { ip, port }) = &self.client.cfg.dns_server {
            match socket_addr(ip, *port) {
                Some(server) => resolve::use_server(Some(server)),
                None => warn!(
                    Log::root(),
                    "dnsServer {ip}: this machine has no such interface; the system resolves names"
                ),
            }
        }
        identity::warn_if_unchecked(&self.client.cfg);
        if let Some(proxy) = &self.client.cfg.transport.proxy_url {
            let from = diagnose::proxy_setting(&self.client.cfg);
            info!(
                Log::root(),
                "frps is reached through the proxy {proxy} ({from})"
            );
        }
    }

    /// Starts the admin API, where there is one; it can end the client by `stop`.
    fn serve_admin(&mut self, stop: &CancellationToken) {
        if let (Some((web, access)), Some(cfg)) = (self.web.take(), &self.client.cfg.web_server) {
            let admin = Admin::new(access, &self.client, stop.clone());
            let addr = join_host_port(&cfg.addr, cfg.port);
            self.client.tasks.tracker.spawn(admin.run(web, addr));
        }
    }

    /// Ends when `stop` is cancelled, after a session has left.
    async fn keep_session(&mut self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut log = Log::root();
        let mut run_id = String::new();
        let mut losses = LossBackoff::default();
        let mut first = true;
        loop {
            let logging_in = self.login_until_success(&run_id, first, &log);
            let logged_in = tokio::select! {
                logged_in = logging_in => logged_in?,
                () = stop.cancelled() => return Ok(()),
            };
            first = false;
            run_id.clone_from(&logged_in.run_id);
            log = Log::root().with(&shown(&run_id));
            info!(
                log,
                "login to server success, get run id [{}]",
                shown(&run_id)
            );

            let session = Session::new(&self.client, logged_in, log.clone(), stop.clone());
            let end = session.run().await;
            if stop.is_cancelled() {
                return Ok(());
            }
            let why = end.to_string();
            let why = shown_error(&why);
            warn!(log, "session ended: {why}");
            let pause = losses.next(Instant::now(), random());
            self.client.live.failed(why.into_owned(), None, pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn login_until_success(
        &mut self,
        run_id: &str,
        first: bool,
        log: &Log,
    ) -> Result<LoggedIn, RunError> {
        let mut backoff = if first {
            LoginBackoff::first(Instant::now())
        } else {
            LoginBackoff::again(Instant::now())
        };
        let mut probed = false;
        let mut told: Option<(Instant, String)> = None;
        loop {
            let began = Instant::now();
            let is_news = told
                .as_ref()
                .is_none_or(|(at, _)| began >= *at + TELL_AGAIN);
            if is_news {
                info!(log, "try to connect to server...");
            }
            self.client.live.connecting();
            let credentials = Credentials {
                auth: &self.client.auth,
                key: &self.client.key,
                prover: &self.client.prover,
                run_id,
                remembers: true,
            };
            let tasks = &self.client.tasks.tracker;
            let tried = match &mut self.ways {
                Ways::Auto(auto) => auto.login(credentials, tasks, log).await,
                Ways::One(way) => login_by(way, credentials, tasks, &mut probed).await,
            };
            let NoWay { explained, found } = match tried {
                Ok(logged_in) => return Ok(logged_in),
                Err(no_way) => no_way,
            };
            let text = explained.to_string();
            if is_news || told.as_ref().is_some_and(|(_, last)| *last != text) {
                warn!(log, "connect to server error: {text}");
                told = Some((Instant::now(), text.clone()));
            }
            if first && self.client.cfg.login_fail_exit {
                return Err(RunError::FirstLogin(text));
            }
            let wait = backoff.next(found, began, Instant::now(), random());
            let (error, cure) = (explained.error(), explained.cure());
            self.client.live.failed(error, cure, wait);
            tokio::time::sleep(wait).await;
        }
    }
}

/// Logs in on the one way that is configured. Whether the port answers TLS is looked up once, where that
/// matters: `probed`.
async fn login_by(
    way: &Arc<OneWay>,
    credentials: Credentials<'_>,
    tasks: &TaskTracker,
    probed: &mut bool,
) -> Result<LoggedIn, NoWay> {
    let error = match login_once(way, credentials, tasks).await {
        Ok(logged_in) => return Ok(logged_in),
        Err(error) => error,
    };
    let mut explained = diagnose::explain(&error, way);
    if !*probed && diagnose::wants_tls_probe(&error, way) {
        explained = explained.with_tls_probe(answers_tls(way, tasks).await);
        *probed = true;
    }
    let found = diagnose::found(&error);
    Err(NoWay { explained, found })
}

pub(crate) async fn login_once(
    way: &Arc<OneWay>,
    credentials: Credentials<'_>,
    tasks: &TaskTracker,
) -> Result<LoggedIn, LoginError> {
    let connected = connect(way, tasks).await?;
    let signature = credentials.auth.for_login().await?;
    login(way, connected, signature, credentials).await
}

/// From 0 to 1; good enough to spread clients.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without entropy every client waits the same; TLS would have failed long before.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
