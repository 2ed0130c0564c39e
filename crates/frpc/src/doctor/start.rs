//! Would frpc start at all? What it opens before it logs in: its log and the device of the virtual network.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{ClientConfig, LogTarget};
use frp_net::go_text::go_text;
use rustix::fs::{Access, access};

use crate::client::Client;

/// Whether the files of the log can be written; nothing is.
pub(super) fn log(cfg: &ClientConfig, report: &Report) {
    let to = match &cfg.log.to {
        LogTarget::File(path) => Some(("log.to", path)),
        LogTarget::Console => None,
    };
    let access = cfg.log.access.as_ref().map(|path| ("log.access", path));
    for (key, path) in to.into_iter().chain(access) {
        let about = path.display().to_string();
        report.add(match may_append(path) {
            Ok(()) => Step::new("log", about, Mark::Ok, format!("{key} can be written")),
            Err(error) => {
                let found = go_text(&error).to_string();
                Step::new("log", about, Mark::Failed, found).because(
                    "frpc cannot write its log, and does not start",
                    format!("let the user that frpc runs as write there, or set another {key}"),
                )
            }
        });
    }
}

/// Folders that are not there yet will be made.
fn may_append(path: &Path) -> io::Result<()> {
    if path.exists() {
        return OpenOptions::new().append(true).open(path).map(drop);
    }
    let mut folders = path.ancestors().skip(1).map(|folder| match folder {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    });
    let root = Path::new("/");
    let folder = folders.find(|folder| folder.exists());
    Ok(access(folder.unwrap_or(root), Access::WRITE_OK)?)
}

/// Makes the device of the virtual network, for as long as the doctor looks, where there is to be one.
pub(super) async fn device(client: &Client, report: &Report) {
    let Some(address) = &client.cfg.virtual_net_address else {
        return;
    };
    let about = format!("{}/{}", address.ip, address.prefix);
    let made = client.virtual_net.start(&client.cfg, &client.tasks).await;
    report.add(match made {
        Ok(()) => Step::new("virtualNet", about, Mark::Ok, "the device can be made"),
        Err(error) => {
            let step = Step::new("virtualNet", about, Mark::Failed, error.to_string());
            step.because(
                "frpc cannot make the device of the virtual network, and does not start",
                "give frpc what it takes (CAP_NET_ADMIN, /dev/net/tun), or remove virtualNet.address",
            )
        }
    });
}
