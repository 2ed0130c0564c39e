//! Ports that proxies share by host, where the build lacks them: no user comes to one.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

pub(crate) mod tables {
    use frp_net::sniff::Users;

    use crate::policy::Bound;

    #[derive(Debug)]
    pub(crate) struct Vhosts {
        pub(crate) at_bind_port: Users,
    }

    impl Vhosts {
        pub(crate) fn new(_: &Bound) -> Self {
            Self {
                at_bind_port: Users::default(),
            }
        }
    }
}

pub(crate) mod listeners {
    use std::sync::Arc;

    use frp_config::Feature;
    use frp_net::listen::Host;

    use super::tables::Vhosts;
    use crate::BUILD;
    use crate::bind_error::BindError;
    use crate::policy::Bound;
    use crate::shared::Shared;

    #[derive(Debug)]
    pub(crate) struct Listeners;

    impl Listeners {
        /// The programs refuse settings that ask for one; this is for who uses the library.
        pub(crate) fn bind(bound: &Bound, _: &Vhosts, _: Host) -> Result<Self, BindError> {
            let ports = [
                bound.vhost_http_port,
                bound.vhost_https_port,
                bound.tcpmux_port,
            ];
            match ports.iter().any(Option::is_some) {
                true => Err(BindError::Lacking(BUILD.lacking(Feature::Http))),
                false => Ok(Self),
            }
        }

        pub(crate) fn run(self, _: &Arc<Shared>) {}
    }
}

pub(crate) mod domains {
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum DomainError {}
}

pub(crate) mod groups {
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum GroupError {}
}

pub(crate) mod https {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::net::TcpStream;

    use crate::proxied::Ends;
    use crate::shared::Shared;

    pub(crate) async fn serve(_: Arc<Shared>, _: TcpStream, _: Bytes, _: Ends) {}
}

pub(crate) mod http {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use frp_net::rewind::Rewind;
    use tokio::net::TcpStream;

    use crate::shared::Shared;

    pub(crate) async fn serve(_: Arc<Shared>, _: Rewind<TcpStream>, _: SocketAddr) {}

    pub(crate) mod head {
        #[derive(Debug, thiserror::Error)]
        pub(crate) enum BadHeader {}
    }

    pub(crate) mod idle {
        use frp_process::threads::Thread;
        use tokio_util::sync::CancellationToken;
        use tokio_util::task::TaskTracker;

        #[derive(Debug)]
        pub(crate) struct Idle;

        impl Idle {
            pub(crate) fn new(_: TaskTracker, _: CancellationToken, _: Thread) -> Self {
                Self
            }
        }
    }
}
