//! Which settings about the identity of frps go together.

use crate::keys::{At, Setting};
use crate::report::Report;
use crate::way::Transport;
use crate::{ClientTls, ClientTransport, ServerTls, ServerTrust, TransportProtocol};

/// What is asked for must be checked, on every way.
pub(super) fn check_client(
    at: &At<'_, ClientTransport>,
    transport: &ClientTransport,
    report: &mut Report<'_>,
) {
    let tls = at.of(ClientTransport::tls);
    let settings = &transport.tls;
    let trust = tls.of(ClientTls::trust);
    let pin = tls.of(ClientTls::pins);
    if settings.trust.is_some() && settings.trusted_ca_file.is_some() {
        report.error(
            trust.value_at(),
            format!(
                "{} and {} both say whom to trust",
                trust.path(),
                tls.of(ClientTls::trusted_ca_file).path()
            ),
            "keep one of them; a pin may stand beside either",
        );
    }
    if settings.trust == Some(ServerTrust::FirstUse) && pin.filled().is_some() {
        report.error(
            trust.value_at(),
            format!(
                "{} = \"first-use\" learns what {} says already",
                trust.path(),
                pin.path()
            ),
            "keep the pin, which is the stronger of the two",
        );
    }
    if let Some(known) = tls.of(ClientTls::known_servers).filled()
        && settings.trust != Some(ServerTrust::FirstUse)
    {
        report.warn(
            known.at,
            format!(
                "{} has no effect without {} = \"first-use\"",
                known.written,
                trust.path()
            ),
            "set that, or remove the key",
        );
    }
    let Some(asked) = trust.filled().or_else(|| pin.filled()) else {
        return;
    };
    match &transport.protocol {
        Transport::One(
            TransportProtocol::Tcp | TransportProtocol::Kcp | TransportProtocol::Websocket,
        ) if !settings.enable => report.error(
            asked.at,
            format!(
                "{} cannot be checked: without TLS frps shows no key",
                asked.written
            ),
            "remove transport.tls.enable = false",
        ),
        Transport::Auto(order) if order.iter().any(|way| way.plain) => report.error(
            asked.at,
            format!(
                "{} cannot be checked by tcp-plain: without TLS frps shows no key",
                asked.written
            ),
            "take tcp-plain out of transport.order, where transport.tls.enable = false puts it",
        ),
        _ => {}
    }
}

/// There is one key.
pub(super) fn check_server(at: &At<'_, ServerTls>, report: &mut Report<'_>) {
    let store = at.of(ServerTls::key_store);
    let files = [ServerTls::cert_file, ServerTls::key_file];
    let file = files.into_iter().find(|file| is_filled(&at.of(*file)));
    if let (Some(field), Some(file)) = (store.filled(), file) {
        report.error(
            field.at,
            format!(
                "{} and {} both name the key of frps",
                field.written,
                at.of(file).path()
            ),
            "keep certFile and keyFile for a certificate that others vouch for, or keyStore for one that frps \
             makes itself",
        );
    }
}

fn is_filled<T: Setting>(at: &At<'_, T>) -> bool {
    at.filled().is_some()
}
