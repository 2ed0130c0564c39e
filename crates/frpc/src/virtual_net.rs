//! The virtual network of a client (frp `pkg/vnet`): its device is there from the start to the end, whatever
//! sessions come and go. Who is reached by it: `plugin/virtual_net.rs` and `visitors/virtual_net.rs`.

use std::sync::OnceLock;

use frp_config::ClientConfig;
use frp_log::{Log, error, info};
use frp_vnet::Address;

use crate::tasks::Tasks;

pub(crate) use frp_vnet::{Net, Visit};

/// Why there is no device.
pub(crate) type VirtualNetError = frp_vnet::OpenError;

/// The network, once it is started.
#[derive(Debug, Default)]
pub(crate) struct VirtualNet(OnceLock<Net>);

impl VirtualNet {
    /// Makes the device, where the settings want one.
    pub(crate) async fn start(
        &self,
        cfg: &ClientConfig,
        tasks: &Tasks,
    ) -> Result<(), VirtualNetError> {
        let Some(address) = &cfg.virtual_net_address else {
            return Ok(());
        };
        let (ip, prefix) = (address.ip, address.prefix);
        let net = Net::open(Address { ip, prefix }).await?;
        let log = Log::root();
        info!(log, "virtual network controller start...");
        info!(
            log,
            "this machine is {} in the virtual network, by {}",
            net.address(),
            net.device()
        );
        let (running, stop) = (net.clone(), tasks.stop.clone());
        tasks.tracker.spawn(async move {
            tokio::select! {
                e = running.run() => error!(
                    Log::root(),
                    "virtual network controller exit with error: {e}; {} is gone, start frpc again to get it back",
                    running.device()
                ),
                () = stop.cancelled() => {}
            }
        });
        let _ = self.0.set(net);
        Ok(())
    }

    /// `None`: the settings want none.
    pub(crate) fn net(&self) -> Option<&Net> {
        self.0.get()
    }
}
