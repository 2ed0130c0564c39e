//! `transport.protocol = "auto"`: which way to the server is taken. Ours alone; frp leaves it to
//! the user.
//!
//! A ping proves nothing: devices on the path let packets through and stop what they carry. So a
//! way is proven by a login that was answered. [`mod@race`] tries the ways, each a little after the one
//! before; [`memory`] knows which one it was, so that the next login on this network begins there;
//! [`mod@cause`] says in a few words what was wrong with the others. A session is never left for a
//! better way.

mod cause;
mod memory;
mod race;

use std::sync::Arc;
use std::time::Duration;

use frp_config::{ClientConfig, Way};
use frp_log::{Log, info};
use frp_net::tls::TlsSetupError;
use frp_proto::naming;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::auth::Signature;
use crate::backoff::Found;
use crate::diagnose::{self, Explained};
use crate::identity::server_name;
use crate::login::{self, Connected, Credentials, LoggedIn, LoginError};
use crate::one_way::OneWay;
use cause::cause;
use memory::{Memory, Network};
use race::{Loser, Lost, Outcome, Runner, race};

/// How long a login may take when another way is ready. Doubled after a race that all have lost,
/// for a network on which everything is slower than that.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The most that comes of that. frps closes a connection on which nobody logs in after 10 s, and the
/// way that waits must still be good then.
const PATIENCE_MAX: Duration = Duration::from_secs(6);

/// The ways of one client, and what is known of them.
#[derive(Debug)]
pub(crate) struct Auto {
    ways: Vec<Candidate>,
    memory: Memory,
    patience: Duration,
    /// To whom they lead.
    server: String,
    /// The run id of the first login, where the server would choose one: should the answer to a
    /// login get lost, the next one must take its place instead of standing beside it.
    own_run_id: String,
}

/// One way, ready to be tried.
#[derive(Debug)]
struct Candidate {
    name: String,
    way: Arc<OneWay>,
}

/// Why no way was taken.
#[derive(Debug)]
pub(crate) struct NoWay {
    pub(crate) explained: Explained,
    pub(crate) found: Found,
}

impl Auto {
    /// Those of `order` that can be taken. Reads the files of `transport.tls`.
    pub(crate) fn new(cfg: &ClientConfig, order: &[Way]) -> Result<Self, TlsSetupError> {
        let through_proxy = cfg.transport.proxy_url.is_some();
        let (out, order): (Vec<Way>, Vec<Way>) = order
            .iter()
            .copied()
            .partition(|way| through_proxy && way.is_udp());
        if !out.is_empty() {
            let names: Vec<String> = out.iter().map(Way::to_string).collect();
            let names = names.join(", ");
            info!(
                Log::root(),
                "transport: {names} left out: the proxy carries TCP only"
            );
        }
        let servers: Vec<_> = order.iter().map(|way| server_name(&cfg.by(*way))).collect();
        let candidate = |way: Way| {
            let cfg = Arc::new(cfg.by(way));
            Ok(Candidate {
                name: name(way),
                way: Arc::new(OneWay::beside(cfg, way.protocol, &servers)?),
            })
        };
        let ways: Result<_, TlsSetupError> = order.into_iter().map(candidate).collect();
        Ok(Self {
            ways: ways?,
            memory: Memory::default(),
            patience: PATIENCE,
            server: cfg.server_addr.clone(),
            own_run_id: new_run_id(),
        })
    }

    /// Logs in on the way that is known to work here, or on the first that proves to.
    pub(crate) async fn login(
        &mut self,
        credentials: Credentials<'_>,
        tasks: &TaskTracker,
        log: &Log,
    ) -> Result<LoggedIn, NoWay> {
        let network = Network::here();
        let known = self.memory.way(network, Instant::now());
        let all = 0..self.ways.len();
        let order: Vec<usize> = known
            .into_iter()
            .chain(all.filter(|way| Some(*way) != known))
            .collect();
        let run_id = match credentials.run_id {
            "" => self.own_run_id.as_str(),
            given => given,
        };
        let entrants = Entrants {
            ways: &self.ways,
            credentials: Credentials {
                run_id,
                ..credentials
            },
            tasks,
        };
        match race(&entrants, &order, self.patience).await {
            Outcome::Won {
                way,
                mut won,
                losers,
            } => {
                self.patience = PATIENCE;
                let as_remembered = known == Some(way);
                if !as_remembered {
                    self.memory.remember(network, way, Instant::now());
                }
                let why = self.chosen(way, &losers, as_remembered);
                info!(log, "{why}");
                won.why = Some(why);
                Ok(won)
            }
            Outcome::Refused(way, error) => Err(NoWay {
                explained: diagnose::explain(&error, &self.ways[way].way),
                found: Found::Someone,
            }),
            Outcome::AllFailed(losers) => {
                let no_way = self.none(&losers);
                let cut_short = losers
                    .iter()
                    .any(|(_, lost)| matches!(lost, Lost::Silent { .. }));
                if cut_short || no_way.found != Found::Nobody {
                    self.patience = (self.patience * 2).min(PATIENCE_MAX);
                }
                Err(no_way)
            }
        }
    }

    /// The one line about a choice.
    fn chosen(&self, way: usize, losers: &[Loser<LoginError>], as_remembered: bool) -> String {
        let using = &self.ways[way].name;
        let mut line = "transport: ".to_owned();
        if !losers.is_empty() {
            line.push_str(&self.causes(losers));
            line.push_str(", ");
            line.push_str(using);
            line.push_str(" ok; ");
        }
        line.push_str("using ");
        line.push_str(using);
        line.push_str(if as_remembered {
            " (as remembered for this network)"
        } else {
            " (remembered for this network)"
        });
        line
    }

    fn none(&self, losers: &[Loser<LoginError>]) -> NoWay {
        let what = format!("no way to {}: {}", self.server, self.causes(losers));
        let is_absent = |(way, lost): &Loser<LoginError>| {
            let error = lost.failed();
            error.is_some_and(|error| is_absent(&self.ways, *way, error))
        };
        let is_silent = |(_, lost): &Loser<LoginError>| matches!(lost, Lost::Silent { .. });
        let found = if losers.iter().any(is_absent) {
            Found::Nobody
        } else if losers.iter().all(is_silent) {
            Found::Nothing
        } else {
            Found::Someone
        };
        // Somebody who poses as the server goes before all. Of TCP more is known, and mostly it is the best way;
        // then what was to be tried first.
        let telling = losers.iter().min_by_key(|(way, lost)| {
            let is_stranger = lost.failed().is_some_and(diagnose::is_stranger);
            let is_udp = self.ways[*way].way.protocol.is_udp();
            (!is_stranger, is_udp, *way)
        });
        let explained = match telling {
            Some((way, lost)) => {
                let Candidate { name, way } = &self.ways[*way];
                let explained = match lost {
                    Lost::Failed(error) => diagnose::explain(error, way),
                    Lost::Silent { login, .. } => diagnose::explain_no_reply(*login, way),
                };
                explained.one_of(what, name)
            }
            None => Explained::bare(what),
        };
        NoWay { explained, found }
    }

    /// `quic refused, wss no reply in 1.5 s`
    fn causes(&self, losers: &[Loser<LoginError>]) -> String {
        let texts = losers.iter().map(|(way, lost)| {
            let name = &self.ways[*way].name;
            match lost {
                Lost::Failed(error) => format!("{name} {}", cause(error)),
                Lost::Silent { after, login } => {
                    let what = if *login { " to the login" } else { "" };
                    format!("{name} no reply{what} in {:.1} s", after.as_secs_f64())
                }
            }
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// What the log calls it: that `tcp` goes by TLS is not to be guessed.
fn name(way: Way) -> String {
    let text = way.to_string();
    match text.strip_prefix("tcp") {
        Some(port) if !way.plain => format!("tcp+tls{port}"),
        _ => text,
    }
}

/// Whether nobody listens at `way`, and frps is down most likely. bindPort is a TCP port; one of UDP that
/// is closed may be switched off and says nothing where there is TCP to ask.
fn is_absent(ways: &[Candidate], way: usize, error: &LoginError) -> bool {
    let is_udp = |of: &Candidate| of.way.protocol.is_udp();
    diagnose::is_refused(error) && (!is_udp(&ways[way]) || ways.iter().all(is_udp))
}

/// Empty where there is no entropy; then frps makes it.
fn new_run_id() -> String {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => naming::run_id(bytes),
        Err(_) => String::new(),
    }
}

struct Entrants<'a> {
    ways: &'a [Candidate],
    credentials: Credentials<'a>,
    tasks: &'a TaskTracker,
}

impl Runner for Entrants<'_> {
    type Ready = Connected;
    type Credentials = Signature;
    type Won = LoggedIn;
    type Error = LoginError;

    async fn connect(&self, way: usize) -> Result<Connected, LoginError> {
        login::connect(&self.ways[way].way, self.tasks).await
    }

    async fn credentials(&self) -> Result<Signature, LoginError> {
        Ok(self.credentials.auth.for_login().await?)
    }

    async fn login(
        &self,
        way: usize,
        ready: Connected,
        signature: Signature,
    ) -> Result<LoggedIn, LoginError> {
        login::login(&self.ways[way].way, ready, signature, self.credentials).await
    }

    fn is_final(error: &LoginError) -> bool {
        matches!(error, LoginError::Rejected(_) | LoginError::Proof(_))
    }

    fn is_absent(&self, way: usize, error: &LoginError) -> bool {
        is_absent(self.ways, way, error)
    }

    fn is_deaf(&self, way: usize) -> bool {
        self.ways[way].way.protocol.is_udp()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;

    use frp_config::{LoadOptions, Purpose, Transport, parse_client};
    use frp_net::dial::DialError;

    use super::*;
    use crate::connect::ConnectError;

    fn auto(order: &[&str]) -> Auto {
        let text = format!(
            "serverAddr = \"frps.example\"\ntransport.protocol = \"auto\"\n\
             transport.order = {order:?}\n"
        );
        let loaded = parse_client(&text, "frpc", &LoadOptions::new(Purpose::Run));
        let cfg = loaded.unwrap_or_else(|e| panic!("{e}")).settings;
        let Transport::Auto(order) = &cfg.transport.protocol else {
            panic!("{:?}", cfg.transport.protocol)
        };
        Auto::new(&cfg, order).unwrap()
    }

    fn refused() -> Lost<LoginError> {
        let error = DialError::Connect {
            network: "tcp",
            addr: ([192, 0, 2, 1], 7000).into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        Lost::Failed(ConnectError::from(error).into())
    }

    fn filtered() -> Lost<LoginError> {
        let error = DialError::TimedOut {
            host: "frps.example".to_owned(),
            addr: Some(([192, 0, 2, 1], 7000).into()),
        };
        Lost::Failed(ConnectError::from(error).into())
    }

    fn silent(login: bool) -> Lost<LoginError> {
        let after = Duration::from_secs(3);
        Lost::Silent { after, login }
    }

    /// What is said, and whether it is taken for a frps that is down.
    fn none(order: &[&str], losers: Vec<Loser<LoginError>>) -> (String, bool) {
        let NoWay { explained, found } = auto(order).none(&losers);
        (explained.to_string(), found == Found::Nobody)
    }

    #[test]
    fn a_closed_udp_port_is_not_blamed_where_tcp_is_silent() {
        for silence in [filtered(), silent(true)] {
            let losers = vec![(1, refused()), (0, silence)];
            let (said, refused) = none(&["tcp", "kcp"], losers);
            assert!(said.contains("as to tcp+tls, "), "{said}");
            assert!(!said.contains("kcpBindPort"), "{said}");
            assert!(!refused);
        }
        let losers = vec![(0, refused()), (1, filtered())];
        let (said, _) = none(&["kcp", "tcp"], losers);
        assert!(
            said.contains("nothing at frps.example:7000 answers"),
            "{said}"
        );
    }

    #[test]
    fn the_first_is_explained_though_it_said_nothing() {
        let losers = vec![(1, refused()), (0, silent(false))];
        let (said, refused) = none(&["quic", "kcp:7001"], losers);
        assert!(said.contains("as to quic, no answer by UDP"), "{said}");
        assert!(refused, "there is no TCP that would know better");
        let losers = vec![(0, self::refused()), (1, silent(false))];
        let (said, refused) = none(&["tcp", "quic"], losers);
        assert!(said.contains("nothing listens on port 7000"), "{said}");
        assert!(refused);
    }

    #[test]
    fn names_say_what_is_encrypted() {
        let named = |text: &str| text.parse().map(name);
        assert_eq!(named("tcp").as_deref(), Ok("tcp+tls"));
        assert_eq!(named("tcp:443").as_deref(), Ok("tcp+tls:443"));
        assert_eq!(named("tcp-plain").as_deref(), Ok("tcp-plain"));
        assert_eq!(named("wss:443").as_deref(), Ok("wss:443"));
    }

    #[test]
    fn a_run_id_looks_like_one_of_frps() {
        let id = new_run_id();
        assert_eq!(id.len(), 16);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(id, new_run_id());
    }
}
