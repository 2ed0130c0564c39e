//! Where commands that ask a running frps find it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use frp_config::cli::{self, AdminCall, AdminRequest, ServerTask};
use frp_config::{Build, Environment};

fn call(line: &str) -> AdminCall {
    let words = line.split_whitespace().map(str::to_owned).collect();
    match cli::server(words, Environment::default(), "0.70.1", Build::COMPLETE) {
        Ok(ServerTask::Admin(call)) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_where_its_file_or_its_flags_say() {
    let file = std::env::temp_dir().join(format!("frp-asking-{}.toml", std::process::id()));
    let text = "webServer.addr = '0.0.0.0'\nwebServer.port = 7500\nwebServer.user = 'u'\n\
                webServer.password = 'p'\nwebServer.tls.certFile = 'c'\n\
                webServer.tls.keyFile = 'k'\n";
    std::fs::write(&file, text).unwrap();
    let kick = call(&format!("kick office --json -c {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(kick.request, AdminRequest::Kick("office".to_owned()));
    assert_eq!((kick.program, kick.json), ("frps", true));
    assert_eq!((kick.addr.as_str(), kick.port), ("0.0.0.0", 7500));
    assert_eq!(kick.certificate.as_deref(), Some(Path::new("c")));
    let clients = call("clients --dashboard-port 7501 --dashboard-user v --api-timeout 5s");
    assert_eq!(clients.request, AdminRequest::Clients);
    assert_eq!((clients.port, clients.user.as_str()), (7501, "v"));
    assert_eq!((clients.certificate, clients.json), (None, false));
    assert_eq!(clients.timeout, Duration::from_secs(5));
}
