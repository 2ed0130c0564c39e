//! What does a client's service make of a user, as the client says?

use std::sync::Arc;

use frp_log::{debug, shown_name};
use frp_proto::msg::UserReport;

use crate::client::handle::SessionHandle;
use crate::shared::Shared;

/// Failures that one report can have: OpenSSH's MaxAuthTries is 6.
const MAX_FAILURES: u16 = 32;

/// Counts what `report` says, if it is of a user that has been there.
pub(super) fn take(shared: &Shared, client: &Arc<SessionHandle>, report: &UserReport) {
    let Some((proxy, ip)) = client.visits.told(report) else {
        return debug!(
            client.log,
            "report of a user that has not come to [{}] lately, ignored",
            shown_name(&report.proxy_name)
        );
    };
    let whose = client.whose();
    for _ in 0..report.failures.min(MAX_FAILURES) {
        if shared.bans.reported(whose, ip, &proxy) {
            client.visits.end_those_at(ip);
        }
    }
    if report.accepted {
        shared.bans.let_in(whose, ip);
    }
}
