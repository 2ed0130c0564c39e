//! Services of a router that lends ports: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP (WANIPConnection:1).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::nat::{End, Mapper, NatNetwork};
use crate::service::Service;

/// What a router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// PCP, and nothing older.
    Pcp,
    /// NAT-PMP, and nothing newer.
    NatPmp,
    /// UPnP.
    Upnp,
    /// What looks like none of them.
    Garbage,
}

/// How a router behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// What it speaks.
    pub speaks: Speaks,
    /// Seconds for which it lends at most (PCP and NAT-PMP).
    pub lends_for: u32,
    /// What it says that its address is; None for the truth.
    pub claims: Option<Ipv4Addr>,
    /// It lends for ever only (UPnP).
    pub for_ever: bool,
}

/// The services, while they run.
pub struct Router {
    state: Arc<State>,
    _upnp: Option<Service>,
    _tasks: JoinSet<()>,
}

struct State {
    mapper: Mapper,
    manners: Manners,
    /// Ports, for whom, and until when.
    lent: Mutex<Vec<(u16, SocketAddrV4, Instant)>>,
    requests: Mutex<Vec<String>>,
}

const PORT: u16 = 5351;
const SSDP: u16 = 1900;
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

impl Manners {
    /// One that lends for an hour and says the truth.
    #[must_use]
    pub fn of(speaks: Speaks) -> Self {
        Self {
            speaks,
            lends_for: 3600,
            claims: None,
            for_ever: false,
        }
    }
}

impl Router {
    /// The services of the box of this end, which there is.
    #[must_use]
    pub fn start(net: &NatNetwork, end: End, manners: Manners) -> Self {
        let (host, mapper) = (net.gateway(end).unwrap(), net.mapper(end).unwrap());
        let state = Arc::new(State {
            mapper,
            manners,
            lent: Mutex::default(),
            requests: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let here = state.clone();
        tasks.spawn(async move {
            loop {
                sleep(Duration::from_millis(50)).await;
                here.expire();
            }
        });
        let mut upnp = None;
        if manners.speaks != Speaks::Upnp {
            let (socket, here) = (host.udp_socket(PORT), state.clone());
            tasks.spawn(async move {
                let mut buffer = [0; 1500];
                loop {
                    let Ok((n, from)) = socket.recv_from(&mut buffer).await else {
                        continue;
                    };
                    if let Some(answer) = here.answer(&buffer[..n], from) {
                        let _ = socket.send_to(&answer, from).await;
                    }
                }
            });
        }
        if matches!(manners.speaks, Speaks::Upnp | Speaks::Garbage) {
            let here = state.clone();
            let service = host.service(0, move |stream| {
                let here = here.clone();
                async move {
                    let _ = here.serve_http(stream).await;
                }
            });
            let location = format!("http://{}:{}/root.xml", host.ip, service.port);
            let socket = host.udp_socket(SSDP);
            socket.join_multicast_v4(SSDP_GROUP, host.ip).unwrap();
            tasks.spawn(async move {
                let mut buffer = [0; 1500];
                loop {
                    let Ok((n, from)) = socket.recv_from(&mut buffer).await else {
                        continue;
                    };
                    if buffer[..n].starts_with(b"M-SEARCH") {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nEXT:\r\n\
                             ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                             USN: uuid:1\r\nLOCATION: {location}\r\n\r\n"
                        );
                        let _ = socket.send_to(answer.as_bytes(), from).await;
                    }
                }
            });
            upnp = Some(service);
        }
        Self {
            state,
            _upnp: upnp,
            _tasks: tasks,
        }
    }

    /// What it was asked for, in its order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl State {
    fn expire(&self) {
        let now = Instant::now();
        self.lent.lock().unwrap().retain(|(port, _, until)| {
            let is_lent = now < *until;
            if !is_lent {
                self.mapper.withdraw(*port);
            }
            is_lent
        });
    }

    fn asked(&self, what: &str) {
        self.requests.lock().unwrap().push(what.to_owned());
    }

    fn outside(&self) -> Ipv4Addr {
        self.manners.claims.unwrap_or_else(|| self.mapper.outside())
    }

    /// Lends a port near `wanted`, or renews it.
    fn lend(&self, wanted: u16, inside: SocketAddrV4, seconds: u32) -> Option<u16> {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let mut lent = self.lent.lock().unwrap();
        if let Some(known) = lent.iter_mut().find(|(_, to, _)| *to == inside) {
            known.2 = until;
            return Some(known.0);
        }
        let mut ports = (0..100).map(|more| wanted.wrapping_add(more).max(1024));
        let port = ports.find(|port| self.mapper.map(*port, inside))?;
        lent.push((port, inside, until));
        Some(port)
    }

    fn take_back(&self, is_it: impl Fn(u16, SocketAddrV4) -> bool) {
        self.lent.lock().unwrap().retain(|(port, inside, _)| {
            let goes = is_it(*port, *inside);
            if goes {
                self.mapper.withdraw(*port);
            }
            !goes
        });
    }

    /// The answer to what came to port 5351.
    fn answer(&self, request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let SocketAddr::V4(from) = from else {
            return None;
        };
        let (version, operation) = (*request.first()?, *request.get(1)?);
        // Version 0, "unsupported version".
        let other_version = || vec![0, operation | 0x80, 0, 1, 0, 0, 0, 9];
        match (self.manners.speaks, version) {
            (Speaks::Pcp, 2) => self.pcp(request, *from.ip()),
            (Speaks::NatPmp, 0) => self.nat_pmp(request, *from.ip()),
            (Speaks::Garbage, _) => Some(vec![0xEE; 1400]),
            _ => Some(other_version()),
        }
    }

    fn pcp(&self, request: &[u8], from: Ipv4Addr) -> Option<Vec<u8>> {
        let (seconds, map) = (number(request.get(4..8)?), request.get(24..60)?);
        let inside = SocketAddrV4::new(from, port(&map[16..18]));
        let seconds = seconds.min(self.manners.lends_for);
        let external = if seconds == 0 {
            self.asked("give back");
            self.take_back(|_, to| to == inside);
            0
        } else {
            self.asked("lend");
            self.lend(port(&map[18..20]), inside, seconds)?
        };
        let mut answer = vec![2, 0x81, 0, 0];
        answer.extend(seconds.to_be_bytes());
        answer.extend([0; 16]);
        answer.extend(&map[..18]);
        answer.extend(external.to_be_bytes());
        answer.extend(self.outside().to_ipv6_mapped().octets());
        Some(answer)
    }

    fn nat_pmp(&self, request: &[u8], from: Ipv4Addr) -> Option<Vec<u8>> {
        let operation = request[1];
        let mut answer = vec![0, operation | 0x80, 0, 0, 0, 0, 0, 9];
        if operation == 0 {
            self.asked("address");
            answer.extend(self.outside().octets());
            return Some(answer);
        }
        let inside = SocketAddrV4::new(from, port(request.get(4..6)?));
        let seconds = number(request.get(8..12)?).min(self.manners.lends_for);
        let external = if seconds == 0 {
            self.asked("give back");
            self.take_back(|_, to| to == inside);
            0
        } else {
            self.asked("lend");
            self.lend(port(&request[6..8]), inside, seconds)?
        };
        answer.extend(inside.port().to_be_bytes());
        answer.extend(external.to_be_bytes());
        answer.extend(seconds.to_be_bytes());
        Some(answer)
    }

    async fn serve_http(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        let len = field("content-length").and_then(|len| len.parse().ok());
        let mut body = vec![0; len.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let body = String::from_utf8_lossy(&body);
        let path = head.split(' ').nth(1).unwrap_or_default();
        if self.manners.speaks == Speaks::Garbage {
            self.asked(path);
            // An element in another, without end.
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<?xml version=\"1.0\"?>";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&b"<a>".repeat(1000)).await?;
            }
        }
        let (status, answer) = match path {
            "/root.xml" => ("200 OK", ROOT.to_owned()),
            "/scpd.xml" => ("200 OK", scpd()),
            _ => {
                let action = field("soapaction").unwrap_or_default();
                let action = action.rsplit('#').next().unwrap_or_default().to_owned();
                let from = stream.get_ref().peer_addr()?;
                match self.soap(&action, &body, from) {
                    Ok(values) => ("200 OK", soap_answer(&action, &values)),
                    Err(code) => ("500 Internal Server Error", soap_fault(code)),
                }
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await?;
        stream.shutdown().await
    }

    /// Error numbers are those of WANIPConnection:1.
    fn soap(&self, action: &str, body: &str, from: SocketAddr) -> Result<String, u16> {
        let value = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            Some(rest.split('<').next()?.to_owned())
        };
        let number = |name: &str| value(name).and_then(|value| value.parse::<u32>().ok());
        match action {
            "GetExternalIPAddress" => {
                self.asked("address");
                let ip = self.outside();
                Ok(format!("<NewExternalIPAddress>{ip}</NewExternalIPAddress>"))
            }
            "AddPortMapping" => {
                self.asked("lend");
                let seconds = number("NewLeaseDuration").ok_or(402_u16)?;
                if self.manners.for_ever && seconds != 0 {
                    return Err(725);
                }
                let outer = number("NewExternalPort").ok_or(402_u16)? as u16;
                let inner = number("NewInternalPort").ok_or(402_u16)? as u16;
                let client: Ipv4Addr = value("NewInternalClient")
                    .and_then(|ip| ip.parse().ok())
                    .ok_or(402_u16)?;
                if SocketAddr::from((client, 0)).ip() != from.ip() {
                    return Err(606);
                }
                let lent = self.lend(outer, SocketAddrV4::new(client, inner), seconds);
                (lent == Some(outer)).then(String::new).ok_or(718)
            }
            "DeletePortMapping" => {
                self.asked("give back");
                let outer = number("NewExternalPort").ok_or(402_u16)? as u16;
                self.take_back(|port, _| port == outer);
                Ok(String::new())
            }
            _ => Err(401),
        }
    }
}

fn port(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn soap_answer(action: &str, values: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <s:Body><u:{action}Response xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">{values}\
         </u:{action}Response></s:Body></s:Envelope>"
    )
}

fn soap_fault(code: u16) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
         <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode>\
         <errorDescription>no</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>"
    )
}

const ROOT: &str = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">\
    <device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList>\
    <device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList>\
    <device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList>\
    <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
    <serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><controlURL>/control</controlURL>\
    <eventSubURL>/events</eventSubURL><SCPDURL>/scpd.xml</SCPDURL></service>\
    </serviceList></device></deviceList></device></deviceList></device></root>";

fn scpd() -> String {
    let actions: [(&str, &[&str]); 3] = [
        ("GetExternalIPAddress", &[]),
        (
            "AddPortMapping",
            &[
                "NewRemoteHost",
                "NewExternalPort",
                "NewProtocol",
                "NewInternalPort",
                "NewInternalClient",
                "NewEnabled",
                "NewPortMappingDescription",
                "NewLeaseDuration",
            ],
        ),
        (
            "DeletePortMapping",
            &["NewRemoteHost", "NewExternalPort", "NewProtocol"],
        ),
    ];
    let actions = actions.map(|(name, arguments)| {
        let arguments: String = arguments
            .iter()
            .map(|name| {
                format!("<argument><name>{name}</name><direction>in</direction></argument>")
            })
            .collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    });
    format!(
        "<?xml version=\"1.0\"?><scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><actionList>{}\
         </actionList></scpd>",
        actions.concat()
    )
}
