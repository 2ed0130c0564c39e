//! Why there is no direct path: which step failed, and what that means. The first half of each text is
//! frp's.

use frp_proto::nathole::feature::NatFeature;

use super::exchange::AskError;
use super::orders::{Orders, OrdersError};
use super::prepare::PrepareError;
use super::punch::PunchError;
use super::tunnel::TunnelError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoleError {
    #[error("nathole precheck error: {error}: {}", advice(.error))]
    PreCheck { error: AskError },
    #[error("nathole prepare error: {0}")]
    Prepare(#[from] PrepareError),
    #[error("nathole exchange info error: {error}: {}", advice(.error))]
    Exchange { error: AskError },
    #[error("nathole exchange info error: {0}")]
    Orders(#[from] OrdersError),
    #[error("make hole error: {error}: {meaning}")]
    Punch {
        error: PunchError,
        meaning: &'static str,
    },
    #[error(
        "init tunnel session error: {0}: datagrams of the peer came through, and now they do not"
    )]
    Tunnel(#[from] TunnelError),
    #[error(
        "too many direct paths are being tried at once; {} may be",
        crate::limits::MAX_HOLES
    )]
    TooMany,
}

impl HoleError {
    pub(crate) fn unchecked(error: AskError) -> Self {
        Self::PreCheck { error }
    }

    pub(crate) fn unanswered(error: AskError) -> Self {
        Self::Exchange { error }
    }

    /// Nothing came through; `us` is what is known of the NAT of this side.
    pub(crate) fn unheard(error: PunchError, orders: &Orders, us: Option<&NatFeature>) -> Self {
        Self::Punch {
            error,
            meaning: orders.meaning(us),
        }
    }
}

/// What to do about an answer of the server, or none.
fn advice(error: &AskError) -> &'static str {
    const KNOWN: [(&str, &str); 4] = [
        (
            "doesn't exist",
            "no such proxy runs on the server now; check serverName and serverUser, and that the frpc of \
             the proxy is connected",
        ),
        (
            "not allowed",
            "add this user to allowUsers of the proxy, or \"*\" for everybody",
        ),
        (
            "auth failed",
            "secretKey is not that of the proxy; give both the same",
        ),
        (
            "not supported",
            "this server has no xtcp; only its own version can tell",
        ),
    ];
    match error {
        AskError::TimedOut(_) => {
            "the frpc of the proxy did not say in time how it can be reached; its log may say why"
        }
        AskError::Gone => "this passes with the next login",
        AskError::Refused(text) => {
            let known = KNOWN.iter().find(|(part, _)| text.contains(part));
            known.map_or("the server's log may say more", |(_, advice)| advice)
        }
    }
}
