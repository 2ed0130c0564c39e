//! Which files keep frps from starting, or from what it should do: certificates, its key, lists of addresses, the log and
//! what survives a restart.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{LogTarget, ServerConfig};
use frp_net::go_text::go_text;
use frp_net::tls;
use frp_net::tls::shown::{Shown, shown};
use frp_process::file;
use frp_proto::fingerprint::Fingerprint;

use crate::key_store::{self, NoFingerprint};
use crate::policy::{self, PolicyError};

const DAY: Duration = Duration::from_secs(86_400);

/// When the end of a certificate is near: those that renew themselves have done so by then.
const SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn look(cfg: &ServerConfig, report: &Report) {
    let known = key_store::fingerprint(&cfg.transport.tls);
    if let Err(error) = settings(cfg, &known) {
        let step = match error {
            PolicyError::Guard(_) => "guard",
            PolicyError::Plugin(_) => "httpPlugins",
            PolicyError::Web(_) => "webServer",
            _ => "tls",
        };
        let step = Step::new(step, "", Mark::Failed, error.to_string());
        report.add(step.because(
            "frps does not start with that",
            "correct what is named there",
        ));
    } else {
        report.add(key(known));
    }
    let web = cfg.web_server.as_ref().and_then(|web| web.tls.as_ref());
    let certificates = [
        (
            "transport.tls.certFile",
            cfg.transport.tls.cert_file.as_deref(),
        ),
        (
            "webServer.tls.certFile",
            web.map(|tls| tls.cert_file.as_path()),
        ),
    ];
    for (key, path) in certificates {
        let der = path.and_then(|path| tls::first_certificate(path).ok());
        if let (Some(path), Some(found)) = (path, der.as_deref().and_then(shown)) {
            report.add(certificate(key, path, &found));
        }
    }
    let gateway = cfg.ssh_tunnel_gateway.as_ref();
    if let Some(path) = gateway.and_then(|gateway| gateway.private_key_file.as_ref())
        && let Err(error) = file::read(path)
    {
        let about = format!("sshTunnelGateway.privateKeyFile ({})", path.display());
        let step = Step::new("file", about, Mark::Failed, go_text(&error).to_string());
        report.add(step.because(
            "frps does not start without the host key",
            "let the user that frps runs as read it, or set sshTunnelGateway.privateKeyFile to another file",
        ));
    }
    let log = match &cfg.log.to {
        LogTarget::File(path) => Some(path),
        LogTarget::Console => None,
    };
    let written = [
        ("log.to", log),
        ("log.access", cfg.log.access.as_ref()),
        ("store.path", cfg.store_path.as_ref()),
        (
            "transport.tls.keyStore",
            cfg.transport.tls.key_store.as_ref(),
        ),
    ];
    for (key, path) in written {
        if let Some(path) = path {
            report.add(writable(key, path));
        }
    }
}

/// What frps would refuse at its start, its ports aside. A key that is not there yet is not made for that.
fn settings(
    cfg: &ServerConfig,
    known: &Result<Fingerprint, NoFingerprint>,
) -> Result<(), PolicyError> {
    let mut cfg = cfg.clone();
    if matches!(known, Err(NoFingerprint::NotYet { .. })) {
        cfg.transport.tls.key_store = None;
    }
    policy::divide(cfg, None).map(drop)
}

fn key(known: Result<Fingerprint, NoFingerprint>) -> Step {
    match known {
        Ok(fingerprint) => Step::new("tls", "", Mark::Ok, format!("its key is {fingerprint}")),
        Err(NoFingerprint::NotYet { .. }) => {
            Step::new("tls", "", Mark::Ok, "its key is made at the next start")
        }
        Err(NoFingerprint::Fleeting) => Step::new(
            "tls",
            "",
            Mark::Ok,
            "its key is in memory only, so that clients cannot know it again (transport.tls.keyStore)",
        ),
        Err(error) => Step::new("tls", "", Mark::Failed, error.to_string()).because(
            "frps does not start with that",
            "correct what is named there",
        ),
    }
}

fn certificate(key: &'static str, path: &Path, found: &Shown) -> Step {
    let about = format!("{key} ({})", path.display());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let Some((from, until)) = found.validity else {
        let found = "it does not say how long it is good";
        return Step::new("certificate", about, Mark::NotChecked, found);
    };
    if now < from {
        return Step::new("certificate", about, Mark::Failed, "not valid yet").because(
            "the certificate begins later than the clock of this machine says",
            "check the clock; if it is right, wait or have another certificate made",
        );
    }
    let renew = "renew it; frps takes the new file up by itself";
    let Some(left) = until.checked_sub(now) else {
        let ago = (now.saturating_sub(until)).as_secs() / DAY.as_secs();
        let found = format!("expired {ago} days ago");
        return Step::new("certificate", about, Mark::Failed, found)
            .because("who checks it refuses this certificate", renew);
    };
    let days = left.as_secs() / DAY.as_secs();
    let whose = match found.by_itself {
        true => "made by itself".to_owned(),
        false => format!("issued by \"{}\"", found.issuer),
    };
    let good = format!("{whose}, good for {days} days");
    match left < SOON {
        true => Step::new("certificate", about, Mark::Warning, good)
            .because("it ends soon, and nobody has renewed it", renew),
        false => Step::new("certificate", about, Mark::Ok, good),
    }
}

/// Whether frps can write the file, or make it.
fn writable(key: &'static str, path: &Path) -> Step {
    let about = format!("{key} ({})", path.display());
    let tried = match fs::metadata(path) {
        // To open a pipe would wait for who reads it.
        Ok(meta) if !meta.is_file() && !meta.is_dir() => Ok(()),
        Ok(_) => OpenOptions::new().append(true).open(path).map(drop),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fits_into(path),
        Err(e) => Err(e),
    };
    match tried {
        Ok(()) => Step::new("file", about, Mark::Ok, "can be written"),
        Err(error) => Step::new("file", about, Mark::Failed, go_text(&error).to_string()).because(
            "frps cannot write it, if it runs as who runs this",
            format!("let the user that frps runs as write it, or set {key} to another file"),
        ),
    }
}

/// Whether a file can be made there, by making another one beside it.
fn fits_into(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // What is missing of the folders is made.
    let there = folder.ancestors().find(|folder| folder.exists());
    let name = format!(".frps-doctor-{}", std::process::id());
    let trial = there.unwrap_or_else(|| Path::new(".")).join(name);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&trial)?;
    fs::remove_file(&trial)
}
