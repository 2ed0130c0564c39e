//! Does frps run, and is it the one of this configuration? A client without proxies logs in by the token of the file.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use bytes::BytesMut;
use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{AuthMethod, ServerConfig};
use frp_net::listen::Host;
use frp_net::mux;
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::stream::Stream;
use frp_net::tls::{self, TlsFiles};
use frp_process::clock::now;
use frp_proto::auth::token_key;
use frp_proto::msg::{Login, LoginResp, Message};
use frp_proto::scram::{Binding, Client, Salted};
use frp_proto::wire::WireProtocol;
use frp_proto::{VERSION, features};
use frp_relay::msg_stream::MsgStream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::DOCTOR_STEP;
use crate::random::random_bytes;

/// What is at `bindPort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// Nothing.
    Nothing,
    /// frps, as far as it can be told.
    Frps,
    /// Something that is no frps of this configuration.
    Another,
}

/// Logs in, where something runs.
pub(super) async fn log_in(cfg: &ServerConfig, report: &Report) -> Runs {
    let ip = match Host::literal(&cfg.bind_addr) {
        Some(Host::At(addr)) => addr.ip(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let about = format!("{ip}:{}", cfg.bind_port);
    let step = |mark, found: String| Step::new("login", about.clone(), mark, found);
    let Ok(Ok(conn)) = timeout(DOCTOR_STEP, TcpStream::connect((ip, cfg.bind_port))).await else {
        report.add(step(Mark::NotChecked, "frps does not run".to_owned()));
        return Runs::Nothing;
    };
    let (token, user) = match credentials(cfg, ip.is_loopback()) {
        Ok(known) => known,
        Err(why) => {
            report.add(step(
                Mark::NotChecked,
                format!("something runs there; {why}"),
            ));
            return Runs::Frps;
        }
    };
    let answer = timeout(DOCTOR_STEP, exchange(cfg, token, user, conn)).await;
    let (runs, step) = match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
        Ok(Ok(version)) if version == VERSION => (
            Runs::Frps,
            step(
                Mark::Ok,
                format!("frps {version} runs, and its token is that of the file"),
            ),
        ),
        Ok(Ok(version)) => (
            Runs::Frps,
            step(Mark::Warning, format!("frps {version} runs")).because(
                format!("this program is {VERSION}: it was replaced while frps ran"),
                "restart frps",
            ),
        ),
        Ok(Err(refused)) => (
            Runs::Frps,
            step(Mark::Failed, refused).because(
                "the frps that runs does not let the token of this file in",
                "frps reload or restart it, so that it goes by this file; or name its own file by -c",
            ),
        ),
        Err(error) => (
            Runs::Another,
            step(Mark::Failed, error).because(
                "what listens at bindPort is no frps of this configuration",
                "restart frps, so that it goes by this file; or see below who holds bindPort",
            ),
        ),
    };
    report.add(step);
    runs
}

/// Token and user of a client, or why nobody can log in from here.
fn credentials(cfg: &ServerConfig, is_loopback: bool) -> Result<(&str, &str), &'static str> {
    if cfg.auth.method != AuthMethod::Token {
        return Err("a login needs a token of the issuer");
    }
    if cfg.transport.tls.trusted_ca_file.is_some() {
        return Err("a login needs a certificate (transport.tls.trustedCaFile)");
    }
    let is_us =
        |network: &frp_proto::network::Network| network.contains(Ipv4Addr::LOCALHOST.into());
    if is_loopback && cfg.accept_proxy_protocol.iter().any(is_us) {
        return Err("what comes from this machine comes by a proxy (acceptProxyProtocol)");
    }
    let main = cfg.auth.token.expose();
    if !main.is_empty() || cfg.tokens.is_empty() {
        return Ok((main, ""));
    }
    let mut known = cfg.tokens.iter();
    let known = known.find(|token| !token.token.expose().is_empty());
    let known = known.map(|token| (token.token.expose(), token.user.as_str()));
    known.ok_or("of its tokens the file has the hashes only")
}

/// The version, or why it refuses; an error where it does not speak frp.
async fn exchange(
    cfg: &ServerConfig,
    token: &str,
    user: &str,
    mut conn: TcpStream,
) -> Result<Result<String, String>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let client = tls::client_config(&TlsFiles::default()).map_err(|e| text(&e))?;
    conn.write_all(&[FRP_TLS_FIRST_BYTE])
        .await
        .map_err(|e| text(&e))?;
    let pipe = tls::connect(client, "localhost", Stream::Tcp(conn), DOCTOR_STEP).await;
    let pipe = Stream::Tls(Box::new(pipe.map_err(|e| text(&e))?));
    let channel = pipe.channel();
    let config = mux::Config {
        keepalive_interval: None,
        stranger: false,
    };
    let mut driving = None;
    let stream = match cfg.transport.tcp_mux {
        false => pipe,
        true => {
            let (mux, _incoming, driver) = mux::session(pipe, mux::Role::Client, config);
            driving = Some(tokio::spawn(driver));
            Stream::Mux(mux.open().await.map_err(|e| text(&e))?)
        }
    };
    let mut stream = MsgStream::new(stream, WireProtocol::V1, BytesMut::new());
    let mut login = Login {
        version: VERSION.to_owned(),
        user: user.to_owned(),
        features: vec![features::SCRAM.to_owned()],
        timestamp: now(),
        ..Login::default()
    };
    // A server that does not say that it is ours goes by what frp shows.
    let mut proving = None;
    match channel.filter(|channel| channel.is_marked) {
        Some(channel) => {
            let binding = Binding::Exporter(channel.key);
            let client = Client::new(binding, user, random_bytes(), &login.digest());
            login.scram = client.first();
            proving = Some(client);
        }
        None => login.privilege_key = token_key(token, login.timestamp),
    }
    let mut answer = ask(&mut stream, login).await?;
    if let Some(client) = proving
        && answer.error.is_empty()
        && answer.run_id.is_empty()
    {
        let asked = client.challenged(&answer.scram).map_err(|e| text(&e))?;
        let salted = salted(token, asked.salt(), asked.iterations()).await?;
        let login = Login {
            scram: asked.answer(&salted).message,
            ..Login::default()
        };
        answer = ask(&mut stream, login).await?;
    }
    if let Some(driving) = driving {
        driving.abort();
    }
    Ok(match answer.error.is_empty() {
        true => Ok(answer.version),
        false => Err(answer.error),
    })
}

async fn ask(stream: &mut MsgStream<Stream>, login: Login) -> Result<LoginResp, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    stream.queue(&login.into()).map_err(|e| text(&e))?;
    stream
        .flush_within(DOCTOR_STEP)
        .await
        .map_err(|e| text(&e))?;
    match stream.recv().await.map_err(|e| text(&e))? {
        Message::LoginResp(answer) => Ok(answer),
        other => Err(format!("it answers with {}", other.name())),
    }
}

async fn salted(token: &str, salt: &[u8], rounds: NonZeroU32) -> Result<Salted, String> {
    let (token, salt) = (token.as_bytes().to_vec(), salt.to_vec());
    let computing = tokio::task::spawn_blocking(move || Salted::of(&token, &salt, rounds));
    computing.await.map_err(|e| e.to_string())
}
