//! nginx in front of frps: ends TLS and passes websockets on, as guides for wss tell users to.

use std::net::SocketAddr;
use std::process::Command;

use crate::error::Error;
use crate::process::{Process, TempDir};

/// Starts one that listens on `addr` and leads to `bind` of the same address.
pub(crate) fn start(addr: SocketAddr, bind: u16, dir: &TempDir) -> Result<Process, Error> {
    let pair = rcgen::generate_simple_self_signed([addr.ip().to_string()])
        .map_err(|e| Error::Certificate(e.to_string()))?;
    let certificate = dir.write("front.crt", &pair.cert.pem())?;
    let key = dir.write("front.key", &pair.signing_key.serialize_pem())?;
    // One process, so that its CPU clock tells all.
    let config = format!(
        "daemon off; master_process off; pid front.pid; error_log stderr;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n\
             access_log off;\n\
             client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
             uwsgi_temp_path d; scgi_temp_path e;\n\
             server {{\n\
                 listen {addr} ssl;\n\
                 ssl_certificate {};\n\
                 ssl_certificate_key {};\n\
                 location / {{\n\
                     proxy_pass http://{}:{bind};\n\
                     proxy_http_version 1.1;\n\
                     proxy_set_header Upgrade $http_upgrade;\n\
                     proxy_set_header Connection \"upgrade\";\n\
                     proxy_read_timeout 1h;\n\
                 }}\n\
             }}\n\
         }}\n",
        certificate.display(),
        key.display(),
        addr.ip()
    );
    let config = dir.write("front.conf", &config)?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(dir.path()).arg("-c").arg(config);
    // Its word before it has read where errors go.
    nginx.args(["-e", "stderr"]);
    let mut nginx = Process::spawn("nginx", nginx, dir)?;
    nginx.wait_for_port(addr)?;
    Ok(nginx)
}
