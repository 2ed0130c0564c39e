//! Direct paths between visitors and proxies, where the build lacks them.

use std::sync::Arc;

use frp_config::Feature;
use frp_proto::msg::{Message, NatHoleResp};

use crate::BUILD;
use crate::client::handle::SessionHandle;
use crate::shared::Shared;

pub(crate) mod table {
    #[derive(Debug, Default)]
    pub(crate) struct Nathole {}
}

pub(crate) mod holes {
    #[derive(Debug, Default)]
    pub(crate) struct Holes {}
}

/// Says so to whoever asks.
pub(crate) fn take(_: &Arc<Shared>, client: &Arc<SessionHandle>, message: Message) {
    let transaction_id = match message {
        Message::NatHoleVisitor(visitor) => visitor.transaction_id,
        Message::NatHoleClient(answer) => answer.transaction_id,
        _ => return,
    };
    let answer = NatHoleResp {
        transaction_id,
        error: BUILD.lacking(Feature::Xtcp).to_string(),
        ..NatHoleResp::default()
    };
    client.outbox.put(&client.log, answer.into());
}
