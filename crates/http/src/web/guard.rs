//! Whom a web server answers: by password, by the name that it is asked for, by the page that asks.

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::answer::ApiError;
use super::origin::{asks_for_us, may_change};
use crate::basic::Login;

/// Of one web server.
#[derive(Debug)]
pub(super) struct Guard {
    login: Login,
    /// `webServer.addr`
    addr: String,
    /// `webServer.allowedHosts`
    allowed: Vec<String>,
}

/// Why a request is not answered.
#[derive(Debug)]
pub(super) enum Denied {
    /// It has to show user and password: 401.
    Unauthorized,
    /// It is none of ours: 403, with the reason.
    Refused(ApiError),
}

impl Guard {
    /// Of the keys of `webServer`.
    pub(super) fn new(login: Login, addr: &str, allowed: &[String]) -> Self {
        Self {
            login,
            addr: addr.to_owned(),
            allowed: allowed.to_owned(),
        }
    }

    /// Whether a request with these headers is answered; `changes`: it is for more than to look.
    ///
    /// Without a password, only those who ask for us by a name that is ours: a page that has its
    /// own name point here can do all that a program can, for the browser takes us for its site.
    /// A password it doesn't know.
    ///
    /// # Errors
    /// What it is answered instead.
    pub(super) fn admit(&self, headers: &HeaderMap, changes: bool) -> Result<(), Denied> {
        if !self.login.admits_header(headers.get(AUTHORIZATION)) {
            return Err(Denied::Unauthorized);
        }
        if self.login.is_open() && !asks_for_us(headers, &self.addr, &self.allowed) {
            return Err(Denied::Refused(ApiError::forbidden(NOT_OURS)));
        }
        if changes && !may_change(headers, &self.allowed) {
            return Err(Denied::Refused(ApiError::forbidden(CROSS_SITE)));
        }
        Ok(())
    }
}

const NOT_OURS: &str = "\
refused: without a password this server answers only if it is asked for by address, by a name \
without a dot or a private one (*.localhost, *.local, *.internal, *.lan, *.home.arpa), or by \
webServer.addr; add the name to webServer.allowedHosts, or set webServer.user and \
webServer.password";

const CROSS_SITE: &str = "\
refused: the request comes from a page of another site, or from a browser that does not say which \
page it comes from; programs should name themselves in User-Agent";
