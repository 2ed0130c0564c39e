//! A real nginx, with `server` blocks of a test.

use std::path::{Path, PathBuf};

use crate::program::{Program, skipped};
use crate::wait::eventually;

/// Starts nginx with `servers` inside its `http` block, in `directory`, and waits until `port`
/// listens. `None`, said as SKIPPED, where there is no nginx.
pub async fn start(directory: &Path, servers: &str, port: u16) -> Option<Program> {
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path temp_{kind};\n"))
        .collect();
    let http = format!("http {{\n    access_log off;\n{temps}{servers}\n}}\n");
    start_with(directory, "", &http, port).await
}

/// The same with a `stream` block, by nginx's `module` for that.
pub async fn start_stream(
    directory: &Path,
    module: &Path,
    stream: &str,
    port: u16,
) -> Option<Program> {
    let load = format!("load_module {};\n", module.display());
    start_with(directory, &load, stream, port).await
}

async fn start_with(directory: &Path, load: &str, blocks: &str, port: u16) -> Option<Program> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let Some(nginx) = places.iter().map(PathBuf::from).find(|path| path.is_file()) else {
        skipped("nginx");
        return None;
    };
    // Its worker would otherwise be a user who may not enter the directory.
    let user = if is_root() { "user root;\n" } else { "" };
    let text = format!(
        "{load}{user}daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n\
         events {{}}\n{blocks}"
    );
    let config = directory.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let args = ["-p".into(), directory.to_owned(), "-c".into(), config];
    let program = Program::spawn(&nginx, args.map(PathBuf::into_os_string), directory);
    eventually("nginx listens", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    })
    .await;
    Some(program)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
