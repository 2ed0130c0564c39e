//! What do the server plugins say (`httpPlugins`, frp `pkg/plugin/server`)? Each that has an operation is
//! asked over HTTP, in the order of the file, and sees what those before it have made of it.
//!
//! All of them together have [`PLUGINS_WAIT`] for it. A plugin is asked a bounded number of times at once
//! about each operation, so that what hangs in one does not hold up the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use frp_config::HttpPlugin;
use frp_http::client::{EnvProxies, HttpClient, HttpError, Limits, Outgoing, Trust, UrlError, Via};
use frp_log::shown_error;
use frp_net::tls::TlsSetupError;
use frp_proto::naming;
use frp_proto::plugin::{self, API_VERSION, Answer, Content, PluginOp, REQUEST_ID};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::counts::{CallCounts, CallEnd};
use crate::limits::{
    MAX_PLUGIN_ANSWER, MAX_PLUGIN_CONNECTIONS_KEPT, MAX_PLUGIN_QUESTIONS, PLUGINS_WAIT,
};
use crate::random::random_bytes;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    all: Vec<Plugin>,
    /// Two that are called the same are counted together.
    counts: BTreeMap<(String, PluginOp), Arc<CallCounts>>,
}

#[derive(Debug)]
struct Plugin {
    name: String,
    ops: Vec<Asked>,
    client: HttpClient,
}

/// What a plugin is asked about.
#[derive(Debug)]
struct Asked {
    op: PluginOp,
    /// Without id and body.
    request: Outgoing,
    /// How often at once.
    places: Semaphore,
    counts: Arc<CallCounts>,
}

/// Why a plugin cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum PluginSetupError {
    /// `addr` and `path` make no URL.
    #[error("http plugin [{0}]: addr and path together: {1}")]
    Url(String, UrlError),
    /// Its certificate cannot be verified.
    #[error("http plugin [{0}]: {1}")]
    Tls(String, TlsSetupError),
}

/// Why something may not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("{reason} (http plugin [{plugin}])")]
    Rejected { plugin: String, reason: String },
    #[error("send {op} request to plugin [{plugin}] error: {why}")]
    Failed {
        plugin: String,
        op: PluginOp,
        why: NoAnswer,
    },
}

/// Why a plugin has not said anything that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("no answer within {} s", PLUGINS_WAIT.as_secs())]
    Late,
    #[error("do http request error code: {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its answer is none: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it changes the content and sends none; \"unchange\": true leaves it as it is")]
    NoContent,
}

/// What somebody is told who is refused without a reason; frp's client takes an empty text for success.
const NO_REASON: &str = "rejected by a plugin of the server";

impl Plugins {
    /// Those that are the same as before are counted on.
    pub(crate) fn new(
        settings: Vec<HttpPlugin>,
        former: Option<&Self>,
    ) -> Result<Self, PluginSetupError> {
        let mut counts = BTreeMap::new();
        let mut count = |name: &str, op: PluginOp| {
            let key = (name.to_owned(), op);
            let before = former.and_then(|former| former.counts.get(&key)).cloned();
            let counted: &mut Arc<CallCounts> = counts
                .entry(key)
                .or_insert_with(|| before.unwrap_or_default());
            counted.clone()
        };
        let all = settings
            .into_iter()
            .map(|settings| Plugin::new(settings, &mut count));
        let all = all.collect::<Result<_, _>>()?;
        Ok(Self { all, counts })
    }

    /// What became of the calls of each, by its name, about each operation.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, PluginOp, &CallCounts)> {
        let counts = self.counts.iter();
        counts.map(|((name, op), counts)| (name.as_str(), *op, &**counts))
    }

    /// Their names, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|plugin| plugin.name.as_str())
    }

    /// Whether any is asked about `op`.
    pub(crate) fn want(&self, op: PluginOp) -> bool {
        self.all.iter().any(|plugin| plugin.asked(op).is_some())
    }

    /// Has them decide about `content`; whether it was changed.
    pub(crate) async fn decide<C: Content>(&self, content: &mut C) -> Result<bool, PluginError> {
        let (id, until) = (
            naming::run_id(random_bytes()),
            Instant::now() + PLUGINS_WAIT,
        );
        let mut changed = false;
        for plugin in &self.all {
            let Some(asked) = plugin.asked(C::OP) else {
                continue;
            };
            let calling = asked.counts.begin();
            let answer = plugin.ask(content, asked, &id, until).await;
            let mut end = CallEnd::Accepted;
            let decided = match answer {
                Ok(Answer::Unchanged) => Ok(()),
                Ok(Answer::Rejected(reason)) => {
                    calling.ends(CallEnd::Rejected);
                    return Err(plugin.rejection(&reason));
                }
                Ok(Answer::Changed(Some(by))) => {
                    changed = true;
                    end = CallEnd::Changed;
                    by.replace(content).map_err(NoAnswer::Json)
                }
                // frp takes it for an empty message. It does not look at one of a user, and of these two
                // only at what the credentials are for, which are checked all the same.
                Ok(Answer::Changed(None)) => match C::OP {
                    PluginOp::Login | PluginOp::NewProxy => Err(NoAnswer::NoContent),
                    PluginOp::Ping | PluginOp::NewWorkConn => Ok(()),
                    PluginOp::NewUserConn | PluginOp::CloseProxy => Ok(()),
                },
                Err(why) => Err(why),
            };
            calling.ends(if decided.is_ok() {
                end
            } else {
                CallEnd::Failed
            });
            decided.map_err(|why| plugin.failure(C::OP, why))?;
        }
        Ok(changed)
    }

    /// Tells them, whatever they say; those that could not be told.
    pub(crate) async fn tell<C: Content>(&self, content: &C) -> Vec<PluginError> {
        let id = naming::run_id(random_bytes());
        let mut failed = Vec::new();
        for plugin in &self.all {
            let Some(asked) = plugin.asked(C::OP) else {
                continue;
            };
            let until = Instant::now() + PLUGINS_WAIT;
            let calling = asked.counts.begin();
            match plugin.ask(content, asked, &id, until).await {
                Ok(_) => calling.ends(CallEnd::Accepted),
                Err(why) => {
                    calling.ends(CallEnd::Failed);
                    failed.push(plugin.failure(C::OP, why));
                }
            }
        }
        failed
    }
}

impl Plugin {
    fn new(
        settings: HttpPlugin,
        count: &mut impl FnMut(&str, PluginOp) -> Arc<CallCounts>,
    ) -> Result<Self, PluginSetupError> {
        let HttpPlugin {
            name,
            addr,
            path,
            ops,
            tls_verify,
        } = settings;
        // As in frp, where the client for https is one of its own, without the environment's proxy.
        let is_https = addr.starts_with("https://");
        let via = match is_https {
            true => Via::Nothing,
            false => Via::Environment(EnvProxies::of_process()),
        };
        let trust = match tls_verify {
            true => Trust::System,
            false => Trust::Anybody,
        };
        let scheme = match is_https || addr.starts_with("http://") {
            true => "",
            false => "http://",
        };
        let mut request = |op| {
            // Go sorts a query by name.
            let url = format!("{scheme}{addr}{path}?op={op}&version={API_VERSION}");
            Ok(Asked {
                op,
                request: Outgoing::get(&url)?,
                places: Semaphore::new(MAX_PLUGIN_QUESTIONS),
                counts: count(&name, op),
            })
        };
        let ops = ops.into_iter().map(&mut request);
        let ops = match ops.collect::<Result<_, UrlError>>() {
            Ok(ops) => ops,
            Err(why) => return Err(PluginSetupError::Url(name, why)),
        };
        let client = match HttpClient::new(trust, via) {
            Ok(client) => client,
            Err(why) => return Err(PluginSetupError::Tls(name, why)),
        };
        let limits = Limits {
            time: PLUGINS_WAIT,
            bytes: MAX_PLUGIN_ANSWER,
        };
        Ok(Self {
            name,
            ops,
            client: client.within(limits).keeping(MAX_PLUGIN_CONNECTIONS_KEPT),
        })
    }

    fn asked(&self, op: PluginOp) -> Option<&Asked> {
        self.ops.iter().find(|asked| asked.op == op)
    }

    async fn ask<C: Content>(
        &self,
        content: &C,
        asked: &Asked,
        id: &str,
        until: Instant,
    ) -> Result<Answer, NoAnswer> {
        // A number in hexadecimal digits.
        let id = HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""));
        let request = asked.request.clone().post_json(plugin::request(content)?);
        let request = request.header(HeaderName::from_static(REQUEST_ID), id);
        let answer = timeout_at(until, async {
            // Never closed.
            let _place = asked.places.acquire().await;
            self.client.send(request).await
        });
        let answer = answer.await.map_err(|_| NoAnswer::Late)??;
        match answer.status {
            StatusCode::OK => Ok(plugin::answer(&answer.body)?),
            status => Err(NoAnswer::Status(status)),
        }
    }

    fn rejection(&self, reason: &str) -> PluginError {
        PluginError::Rejected {
            plugin: self.name.clone(),
            reason: match reason {
                "" => NO_REASON.to_owned(),
                // It has to fit the answer, which has 10 kB in protocol v1.
                reason => shown_error(reason).into_owned(),
            },
        }
    }

    fn failure(&self, op: PluginOp, why: NoAnswer) -> PluginError {
        PluginError::Failed {
            plugin: self.name.clone(),
            op,
            why,
        }
    }
}

impl PluginError {
    /// What the peer reads: nothing of what lies behind the server.
    pub(crate) fn for_peer(&self) -> String {
        match self {
            Self::Rejected { reason, .. } => reason.clone(),
            Self::Failed { op, .. } => format!("send {op} request to plugin error"),
        }
    }
}
