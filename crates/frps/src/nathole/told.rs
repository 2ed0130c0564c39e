//! What a client is told of a hole.

use frp_proto::msg::NatHoleResp;

use crate::client::handle::SessionHandle;
use crate::policy::Policy;

/// Why there is no hole, as far as a client may know.
pub(super) fn refusal(policy: &Policy, transaction_id: String, why: &str) -> NatHoleResp {
    NatHoleResp {
        transaction_id,
        error: policy.text_for_peer("xtcp error", why),
        ..NatHoleResp::default()
    }
}

pub(super) fn tell(client: &SessionHandle, answer: NatHoleResp) {
    client.outbox.put(&client.log, answer.into());
}
