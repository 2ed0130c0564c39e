//! A host: a network namespace with one device, and what runs in it.

use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Once};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::tun;
use crate::program::{Program, Side};
use crate::rig::Rig;
use crate::service::Service;

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";

/// Where `ip netns exec` finds files that take the place of those in `/etc`.
const FILES: &str = "/etc/netns";

/// What the names begin with; the process that made them follows.
const PREFIX: &str = "frp-tests-";

/// A host of a [`super::Network`].
#[derive(Clone, Debug)]
pub struct Host {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The one of IPv6, if it has one.
    pub ipv6: Option<Ipv6Addr>,
    namespace: Arc<Namespace>,
}

/// The addresses of a host, and its way to all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) ip: Ipv4Addr,
    /// A second address.
    pub(super) second: Option<Ipv4Addr>,
    /// The router that it sends to; without one, all others are neighbours.
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
}

/// A network namespace, by its name. It goes away with the last user.
#[derive(Debug)]
struct Namespace(String);

impl Host {
    /// The host, and the far end of its device.
    pub(super) fn new(number: u32, name: &str, place: &Place) -> Result<(Self, File), String> {
        static LEFT_BEHIND: Once = Once::new();
        LEFT_BEHIND.call_once(remove_left_behind);
        let namespace = format!("{PREFIX}{}-{number}-{name}", std::process::id());
        run_ip(&["netns", "add", &namespace], "")?;
        let namespace = Arc::new(Namespace(namespace));
        let (ip, ipv6) = (place.ip, place.ipv6);
        let host = Self {
            ip,
            ipv6,
            namespace,
        };
        let device = host
            .within(|| tun::open("path"))
            .map_err(|e| format!("/dev/net/tun: {e}"))?;
        run_ip(&["-n", &host.namespace.0, "-batch", "-"], &place.commands())?;
        Ok((host, device))
    }

    /// What `ip netns` calls it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace.0
    }

    /// Gives it an address of IPv6 whose way leads to the path, which carries none.
    pub fn add_dead_ipv6(&self) {
        let lines = "addr add 2001:db8:77::2/128 dev path nodad\nroute add ::/0 dev path\n";
        run_ip(&["-n", &self.namespace.0, "-batch", "-"], lines).unwrap();
    }

    /// From now on programs that are started here have this for the file of that name in `/etc`.
    pub fn set_file(&self, name: &str, content: &str) {
        let folder = Path::new(FILES).join(&self.namespace.0);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }

    /// Runs `what` on a thread of this host. Sockets that it makes stay there.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let file = File::open(Path::new(NAMESPACES).join(&self.namespace.0)).unwrap();
        let on_thread = || {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            what()
        };
        std::thread::scope(|scope| scope.spawn(on_thread).join())
            .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    }

    /// A listener on all its addresses; 0 for any port.
    #[must_use]
    pub fn listener(&self, port: u16) -> TcpListener {
        let listener = self.within(|| {
            let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        });
        TcpListener::from_std(listener.unwrap()).unwrap()
    }

    /// A UDP socket on all its addresses; 0 for any port.
    #[must_use]
    pub fn udp_socket(&self, port: u16) -> UdpSocket {
        let socket = self.within(|| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        });
        UdpSocket::from_std(socket.unwrap()).unwrap()
    }

    /// A UDP socket at this very address of its own; port 0 for any.
    #[must_use]
    pub fn udp_socket_at(&self, addr: SocketAddr) -> UdpSocket {
        let socket = self.within(|| {
            let socket = std::net::UdpSocket::bind(addr)?;
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        });
        UdpSocket::from_std(socket.unwrap()).unwrap()
    }

    /// Connects from here.
    pub async fn connect(&self, to: SocketAddrV4) -> std::io::Result<TcpStream> {
        // A socket belongs to the namespace that it was made in.
        let socket = self.within(TcpSocket::new_v4)?;
        socket.connect(to.into()).await
    }

    /// A service here, which serves each connection with `serve`.
    pub fn service<F, Fut>(&self, port: u16, serve: F) -> Service
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Service::on(self.listener(port), move |stream, _| serve(stream))
    }

    /// A service here that sends back what it gets.
    #[must_use]
    pub fn echo(&self) -> Service {
        self.service(0, |mut stream| async move {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        })
    }

    /// A service here that carries each connection on to `to`.
    pub fn relay(&self, port: u16, to: SocketAddrV4) -> Service {
        let here = self.clone();
        self.service(port, move |mut stream| {
            let here = here.clone();
            async move {
                if let Ok(mut onward) = here.connect(to).await {
                    let _ = onward.set_nodelay(true);
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                }
            }
        })
    }

    /// What runs `binary` here, as a process of that very program.
    #[must_use]
    pub fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace.0])
            .arg(binary);
        command
    }

    /// Starts `binary` here, as [`Program::spawn`].
    #[must_use]
    pub fn spawn(
        &self,
        binary: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        directory: &Path,
    ) -> Program {
        let inside = ["netns", "exec", &self.namespace.0].map(OsString::from);
        let args = args.into_iter().map(Into::into);
        let args = inside.into_iter().chain([binary.into()]).chain(args);
        Program::spawn(Path::new("ip"), args, directory)
    }

    /// A frps or frpc of `side` here with a configuration of exactly this text.
    #[must_use]
    pub fn start(&self, rig: &Rig, side: &Side, name: &str, config: &str) -> Program {
        let file = rig.config(name, config);
        let args = [OsString::from("-c"), file.into_os_string()];
        self.spawn(&side.program(name), args, rig.path())
    }
}

impl Place {
    /// For `ip -batch`: the device gets the addresses, and all leads there.
    fn commands(&self) -> String {
        let ip = self.ip;
        let mut lines = format!("link set lo up\naddr add {ip}/32 dev path\n");
        if let Some(second) = self.second {
            lines += &format!("addr add {second}/32 dev path\n");
        }
        lines += "link set path mtu 1500 up\n";
        let via = self.gateway.map(|gateway| format!("via {gateway} onlink "));
        let via = via.unwrap_or_default();
        lines += &format!("route add default {via}dev path src {ip}\n");
        if let Some(ipv6) = self.ipv6 {
            lines += &format!("addr add {ipv6}/128 dev path nodad\nroute add ::/0 dev path\n");
        }
        lines
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(namespace: &str) {
    let _ = run_ip(&["netns", "del", namespace], "");
    let _ = std::fs::remove_dir_all(Path::new(FILES).join(namespace));
}

/// Those of test runs that were killed.
fn remove_left_behind() {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if let Some(pid) = pid
            && !Path::new("/proc").join(pid).exists()
        {
            remove(&name);
        }
    }
}

/// Runs `ip` with these arguments and lines of input.
fn run_ip(args: &[&str], input: &str) -> Result<(), String> {
    let mut child = Command::new("ip")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ip (of iproute2): {e}"))?;
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", args.join(" "), said.trim()))
}
