//! The groups of tcp proxies: one port whose users go to the members in turn
//! (frp `server/group/tcp.go`).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use frp_config::Secret;
use frp_net::listen::accept_loop_polled;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::DropGuard;

use crate::ports::{AllowedPorts, Lease, PortError, PortGuard};
use crate::proxied;
use crate::proxy::members::{Members, Membership};
use crate::proxy::{Proxy, spec};

/// The groups that have members, by name.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_name: Mutex<HashMap<String, Group>>,
}

/// Why a proxy may not join; the texts are frp's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("group auth failed")]
    AuthFailed,
    #[error("group should have same remote port")]
    DifferentPort,
    #[error("{0}")]
    Port(#[from] PortError),
}

/// A proxy's place in its group, until dropped. With the last one the port is closed and free.
#[derive(Debug)]
pub(crate) struct GroupMember {
    group: String,
    port: u16,
    membership: Option<Membership>,
    groups: Arc<Groups>,
}

#[derive(Debug)]
struct Group {
    key: Secret,
    /// The port that the members ask for; all of them 0 for a random one.
    wanted: u16,
    port: u16,
    members: Arc<Members>,
    listener: Arc<SharedListener>,
    /// Ends the accept loop.
    _stop: DropGuard,
}

/// The open port. The loop that accepts has it only while it polls, so that whoever closes it need
/// not wait for the loop.
#[derive(Debug)]
struct SharedListener(Mutex<Option<(TcpListener, PortGuard)>>);

impl Groups {
    /// Makes `proxy` a member of its group, the first of which opens `wanted`.
    pub(crate) fn join(
        self: &Arc<Self>,
        proxy: &Arc<Proxy>,
        wanted: u16,
        allowed: &AllowedPorts,
    ) -> Result<GroupMember, GroupError> {
        let spec::Group { name, key } = &proxy.spec.group;
        let mut groups = self.lock();
        let place = |group: &Group| GroupMember {
            group: name.clone(),
            port: group.port,
            membership: Some(group.members.join(proxy)),
            groups: self.clone(),
        };
        if let Some(group) = groups.get(name) {
            if group.wanted != wanted {
                return Err(GroupError::DifferentPort);
            }
            let (known, given) = (group.key.expose().as_bytes(), key.expose().as_bytes());
            verify_slices_are_equal(known, given).map_err(|_| GroupError::AuthFailed)?;
            // Whichever it got by the first member, others may not have it.
            if wanted == 0 && !allowed.contains(group.port) {
                return Err(PortError::NotAllowed.into());
            }
            return Ok(place(group));
        }
        let lease = proxy.base.ports.acquire(&proxy.name, wanted, allowed)?;
        let group = Group::open(proxy, lease, key.clone(), wanted);
        let place = place(&group);
        groups.insert(name.clone(), group);
        Ok(place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupMember {
    /// The group's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        // One lock for both steps: nobody joins a group that is about to close.
        let mut groups = self.groups.lock();
        self.membership = None;
        if groups.get(&self.group).is_some_and(Group::is_empty) {
            groups.remove(&self.group);
        }
    }
}

impl Group {
    fn open(proxy: &Proxy, lease: Lease, key: Secret, wanted: u16) -> Self {
        let base = &proxy.base;
        let members = Arc::new(Members::default());
        let port = lease.port();
        let listener = Arc::new(SharedListener(Mutex::new(Some(lease.into_listener()))));
        let stop = base.drain.child_token();
        let (polled, to, until) = (listener.clone(), members.clone(), stop.clone());
        let its = base.clone();
        base.tasks.spawn(async move {
            let accept = |cx: &mut Context<'_>| polled.poll_accept(cx);
            accept_loop_polled(accept, until, |user, peer| {
                let to = to.clone();
                proxied::arrive(&its, user, peer, move |user, ends| to.receive(user, ends));
            })
            .await;
            drop(polled.lock().take());
        });
        Self {
            key,
            wanted,
            port,
            members,
            listener,
            _stop: stop.drop_guard(),
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.listener.lock().take());
    }
}

impl SharedListener {
    /// Pending for ever once the port is closed.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &*self.lock() {
            Some((listener, _)) => listener.poll_accept(cx),
            None => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(TcpListener, PortGuard)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
