//! `socks5`: a SOCKS5 server (RFC 1928, RFC 1929; frp `pkg/plugin/client/socks5.go`).
//!
//! CONNECT is what frp has. UDP comes in two ways, both in [`udp`]: UDP ASSOCIATE, whose datagrams
//! travel beside the tunnel, for users that reach the machine of frpc by themselves; and sing-box's
//! UDP over TCP, whose datagrams travel through the tunnel, for all others.

pub(crate) mod address;
pub(crate) mod udp;
mod wire;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use frp_config::PluginLogin;
use frp_log::debug;
use frp_net::dial::{DialError, dial};
use frp_net::limits::WRONG_PASSWORD;
use frp_proto::auth::UserPassword;
use frp_relay::layers::Carried;
use frp_relay::relay;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use self::address::Address;
use self::wire::{HANDSHAKE, SocksError, bytes, some_bytes, write};
use crate::dial::ANYWHERE;
use crate::user::User;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;

/// Ways to log in (RFC 1928, section 3).
const NO_METHOD: u8 = 0xff;
const METHOD_OPEN: u8 = 0;
const METHOD_LOGIN: u8 = 2;

const COMMAND_CONNECT: u8 = 1;
const COMMAND_ASSOCIATE: u8 = 3;

#[derive(Debug)]
pub(crate) struct Socks5 {
    login: UserPassword,
}

/// The answers to a request (RFC 1928, section 6).
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Reply {
    Succeeded = 0,
    Failure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    NoSuchCommand = 7,
    NoSuchAddress = 8,
}

/// What a user asks for.
#[derive(Debug)]
struct Request {
    command: u8,
    address: Address,
}

impl Socks5 {
    pub(super) fn new(cfg: &PluginLogin) -> Self {
        let login = UserPassword {
            user: cfg.user.clone(),
            password: cfg.password.expose().to_owned(),
        };
        Self { login }
    }

    /// Serves the one request of a user.
    pub(super) async fn serve(&self, mut carried: Carried, user: &User) {
        let log = &user.log;
        let served = match self.request(&mut carried).await {
            Ok(request) => act(request, carried, user).await,
            Err(e) => {
                answer_failure(&mut carried, &e).await;
                Err(e)
            }
        };
        if let Err(e) = served {
            debug!(log, "socks5: {e}");
        }
    }

    async fn request(&self, user: &mut Carried) -> Result<Request, SocksError> {
        match timeout(HANDSHAKE, self.handshake(user)).await {
            Ok(request) => request,
            Err(_) => Err(SocksError::TooSlow),
        }
    }

    /// Greeting, login, request. Reads not one byte too many.
    async fn handshake(&self, user: &mut Carried) -> Result<Request, SocksError> {
        let [version, methods] = bytes(user).await?;
        expect_version(version)?;
        let methods = some_bytes(user, methods).await?;
        let wanted = if self.login.is_open() {
            METHOD_OPEN
        } else {
            METHOD_LOGIN
        };
        if !methods.contains(&wanted) {
            return Err(SocksError::NoMethod);
        }
        write(user, &[VERSION, wanted]).await?;
        if wanted == METHOD_LOGIN {
            self.log_in(user).await?;
        }
        let [version, command, _reserved] = bytes(user).await?;
        expect_version(version)?;
        let address = Address::read(user).await?;
        Ok(Request { command, address })
    }

    async fn log_in(&self, user: &mut Carried) -> Result<(), SocksError> {
        let [version, len] = bytes(user).await?;
        if version != LOGIN_VERSION {
            return Err(SocksError::Login);
        }
        let name = some_bytes(user, len).await?;
        let [len] = bytes(user).await?;
        let password = some_bytes(user, len).await?;
        if !self.login.accepts(&name, &password) {
            sleep(WRONG_PASSWORD).await;
            write(user, &[LOGIN_VERSION, 1]).await?;
            return Err(SocksError::Login);
        }
        Ok(write(user, &[LOGIN_VERSION, 0]).await?)
    }
}

async fn act(request: Request, mut carried: Carried, user: &User) -> Result<(), SocksError> {
    let Request { command, address } = request;
    match command {
        COMMAND_CONNECT => {
            if let Some(version) = udp::over_tcp_version(&address) {
                reply(&mut carried, Reply::Succeeded, None).await?;
                return udp::over_tcp(carried, version, user).await;
            }
            let target = match dial(&address.host.to_string(), address.port, &ANYWHERE).await {
                Ok(target) => target,
                Err(e) => {
                    let e = e.into();
                    answer_failure(&mut carried, &e).await;
                    return Err(e);
                }
            };
            let bound = target.local_addr().ok();
            reply(&mut carried, Reply::Succeeded, bound).await?;
            user.log_end(&relay::serve(target, carried, user.traffic.tally()).await);
            Ok(())
        }
        COMMAND_ASSOCIATE => {
            let from = user.addresses.map(|(from, _)| from);
            match udp::Association::open(&address, from).await {
                Ok(association) => {
                    reply(&mut carried, Reply::Succeeded, Some(association.near)).await?;
                    Ok(association.run(carried).await?)
                }
                Err(e) => {
                    answer_failure(&mut carried, &e).await;
                    Err(e)
                }
            }
        }
        command => {
            let e = SocksError::Command(command);
            answer_failure(&mut carried, &e).await;
            Err(e)
        }
    }
}

impl SocksError {
    /// What the user is told. `None`: nothing can be said at this point, or it has been said.
    fn reply(&self) -> Option<Reply> {
        Some(match self {
            Self::Io(_) | Self::Version(_) | Self::NoMethod | Self::Login | Self::TooSlow => {
                return None;
            }
            Self::AddressType(_) => Reply::NoSuchAddress,
            Self::Name => Reply::Failure,
            Self::Command(_) => Reply::NoSuchCommand,
            Self::Anonymous => Reply::NotAllowed,
            Self::Dial(DialError::Connect { source, .. }) => match source.kind() {
                ErrorKind::ConnectionRefused => Reply::Refused,
                ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
                _ => Reply::HostUnreachable,
            },
            Self::Dial(_) => Reply::HostUnreachable,
        })
    }
}

async fn answer_failure(user: &mut Carried, e: &SocksError) {
    // A user that cannot be told has left.
    let _ = match (e, e.reply()) {
        (SocksError::NoMethod, _) => write(user, &[VERSION, NO_METHOD]).await,
        (_, Some(code)) => reply(user, code, None).await,
        _ => return,
    };
    let _ = timeout(HANDSHAKE, user.shutdown()).await;
}

async fn reply(user: &mut Carried, code: Reply, bound: Option<SocketAddr>) -> io::Result<()> {
    let mut answer = vec![VERSION, code as u8, 0];
    match bound {
        Some(bound) => Address::from(bound).write(&mut answer),
        None => answer.extend([1, 0, 0, 0, 0, 0, 0]),
    }
    write(user, &answer).await
}

fn expect_version(version: u8) -> Result<(), SocksError> {
    match version {
        VERSION => Ok(()),
        other => Err(SocksError::Version(other)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_user_who_takes_too_long_is_given_up_at_every_stage() {
        let socks = Socks5::new(&PluginLogin {
            user: "abc".to_owned(),
            password: "123".into(),
        });
        let whole = b"\x05\x01\x02\x01\x03abc\x03123\x05\x01\0\x03\x04host\0\x50";
        for len in 0..=whole.len() {
            let (mut user, carried) = tokio::io::duplex(64);
            user.write_all(&whole[..len]).await.unwrap();
            let request = socks.request(&mut Carried::other(carried)).await;
            match request {
                Ok(request) if len == whole.len() => assert_eq!(request.address.port, 80),
                Err(SocksError::TooSlow) if len < whole.len() => {}
                other => panic!("{len} bytes: {other:?}"),
            }
        }
    }
}
