//! What do the server plugins say ([`crate::plugins`])? Those of the policy in force are asked. What they
//! change is checked like what a client sends, by the checks that follow.

use frp_proto::msg::NewProxy;
use frp_proto::plugin::{LoginContent, OfUser, PluginOp, UserConn};

use super::check::{Check, LoginAsk, NewProxyAsk, PingAsk, Refusal, UserAsk, Verdict, WorkConnAsk};
use crate::plugins::PluginError;
use crate::proxy::spec::Kind;

#[derive(Debug)]
pub(super) struct Plugins;

impl Check for Plugins {
    fn login<'a>(&'a self, ask: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        let plugins = &ask.policy.plugins;
        if !plugins.want(PluginOp::Login) {
            return Verdict::pass();
        }
        Verdict::later(async {
            let mut login = ask.login.clone();
            // What frp does not know is none of theirs: they would leave it out.
            let features = std::mem::take(&mut login.features);
            let mut content = LoginContent {
                login,
                client_address: ask.peer.to_string(),
            };
            if plugins.decide(&mut content).await? {
                ask.login = content.login;
                ask.login.features = features;
            }
            Ok(None)
        })
    }

    fn new_proxy<'a>(&'a self, ask: &'a mut NewProxyAsk<'_>) -> Verdict<'a> {
        let plugins = &ask.policy.plugins;
        if !plugins.want(PluginOp::NewProxy) {
            return Verdict::pass();
        }
        Verdict::later(async {
            let mut content = OfUser {
                user: &ask.client.info,
                message: ask.message().clone(),
            };
            if plugins.decide(&mut content).await? {
                let mut new = content.message;
                keep_guards(&mut new, ask.message());
                ask.rewrite(new);
            }
            Ok(None)
        })
    }

    fn ping<'a>(&'a self, ask: &'a mut PingAsk<'_>) -> Verdict<'a> {
        let plugins = &ask.policy.plugins;
        if !plugins.want(PluginOp::Ping) {
            return Verdict::pass();
        }
        Verdict::later(async {
            let mut content = OfUser {
                user: &ask.client.info,
                message: ask.ping.clone(),
            };
            plugins.decide(&mut content).await?;
            ask.ping = content.message;
            Ok(None)
        })
    }

    fn work_conn<'a>(&'a self, ask: &'a mut WorkConnAsk<'_>) -> Verdict<'a> {
        let plugins = &ask.policy.plugins;
        if !plugins.want(PluginOp::NewWorkConn) {
            return Verdict::pass();
        }
        Verdict::later(async {
            let mut content = OfUser {
                user: &ask.client.info,
                message: ask.conn.clone(),
            };
            plugins.decide(&mut content).await?;
            ask.conn = content.message;
            Ok(None)
        })
    }

    /// Of the types that frp asks them about (frp `server/proxy/proxy.go`: handleUserTCPConnection).
    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        let plugins = &ask.policy.plugins;
        let is_asked = match &ask.proxy.kind {
            Kind::Tcp { .. } | Kind::Https(_) | Kind::Tcpmux(_) => true,
            Kind::Stcp(_) | Kind::Sudp(_) => true,
            Kind::Udp { .. } | Kind::Http(_) | Kind::Xtcp(_) => false,
        };
        if !is_asked || !plugins.want(PluginOp::NewUserConn) {
            return Verdict::pass();
        }
        Verdict::later(async {
            // The users of one client leave room for those of others. Never closed.
            let _turn = ask.client.user_questions.acquire().await;
            let conn = UserConn {
                proxy_name: &ask.proxy.name,
                proxy_type: ask.proxy.proxy_type().as_str(),
                remote_addr: ask.src.map(|src| src.to_string()).unwrap_or_default(),
            };
            let mut content = OfUser {
                user: &ask.client.info,
                message: conn,
            };
            plugins.decide(&mut content).await?;
            Ok(None)
        })
    }
}

/// A plugin that was made for frp leaves out the guards that `asked` asks for, and must not open the proxy by that.
fn keep_guards(new: &mut NewProxy, asked: &NewProxy) {
    new.guard_reports |= asked.guard_reports;
    let has_lists = !new.guard_allow_ips.is_empty() || !new.guard_deny_ips.is_empty();
    let limits = [
        new.guard_max_conns_per_minute,
        new.guard_max_conns_per_source,
        new.guard_max_conns,
    ];
    if has_lists || limits != [0; 3] {
        return;
    }
    new.guard_allow_ips.clone_from(&asked.guard_allow_ips);
    new.guard_deny_ips.clone_from(&asked.guard_deny_ips);
    new.guard_max_conns_per_minute = asked.guard_max_conns_per_minute;
    new.guard_max_conns_per_source = asked.guard_max_conns_per_source;
    new.guard_max_conns = asked.guard_max_conns;
}

impl From<PluginError> for Refusal {
    fn from(why: PluginError) -> Self {
        Self {
            peer: why.for_peer(),
            log: why.to_string(),
        }
    }
}
