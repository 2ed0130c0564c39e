//! `./demo`: ssh into an office behind a tunnel, all on this machine.
//!
//! Starts frps, frpc with TLS and an SSH server that stands for the office box, prints the two
//! configuration files and the `ssh` line, and runs a session through the tunnel. It leaves no
//! process and no file behind, however it ends. `--stay` keeps the tunnel up until Ctrl-C.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod home;
mod office;

use std::path::Path;
use std::process::ExitCode;

use frp_tests::{Program, Rig, Side, free_port};
use tokio::signal::unix::{SignalKind, signal};

use crate::office::Office;

#[tokio::main]
async fn main() -> ExitCode {
    let stay = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--stay") => true,
        Some(other) => {
            eprintln!("unknown argument: {other}\nusage: demo [--stay]");
            return ExitCode::FAILURE;
        }
    };
    // Dropping the story ends its programs and removes its files.
    tokio::select! {
        passed = story(stay) => if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        () = asked_to_end() => {
            println!("\nEnded; nothing is left behind.");
            ExitCode::SUCCESS
        }
    }
}

async fn story(stay: bool) -> bool {
    let rig = Rig::new();
    let office = Office::open().await;
    let (server_port, ssh_port) = (free_port(), free_port());
    let token = office::random_word();

    let frps_toml = format!(
        "bindAddr = \"127.0.0.1\"     # only for this demo: leave it out on a real server\n\
         bindPort = {server_port}\n\
         auth.token = \"{token}\"\n"
    );
    let frpc_toml = format!(
        "serverAddr = \"127.0.0.1\"   # the server's address or name\n\
         serverPort = {server_port}\n\
         auth.token = \"{token}\"\n\
         transport.tls.enable = true  # the default, too\n\
         \n\
         [[proxies]]\n\
         name = \"ssh\"\n\
         type = \"tcp\"\n\
         localIP = \"127.0.0.1\"\n\
         localPort = {}\n\
         remotePort = {ssh_port}\n",
        office.port()
    );
    show(
        "On the server, frps.toml (run as `frps -c frps.toml`):",
        &frps_toml,
    );
    show(
        "In the office, frpc.toml (run as `frpc -c frpc.toml`):",
        &frpc_toml,
    );

    let frps = rig.start(&Side::Ours, "frps", &quiet(&frps_toml));
    frps.expect("frps started successfully").await;
    let frpc = rig.start(&Side::Ours, "frpc", &quiet(&frpc_toml));
    frpc.expect("[ssh] start proxy success").await;
    show("frps says:", &tail(&frps));
    show("frpc says:", &tail(&frpc));

    let line = format!("ssh -p {ssh_port} {}@127.0.0.1", office::USER);
    show(
        "From home:",
        &format!("{line}\n(password: {})\n", office.password()),
    );
    let passed = session(rig.path(), &office, ssh_port).await;
    if !passed {
        eprintln!(
            "The session failed.\n{}\n{}",
            frps.log().text(),
            frpc.log().text()
        );
        return false;
    }
    if stay {
        println!("The tunnel stays up: type the line above in another terminal. Ctrl-C ends it.");
        std::future::pending::<()>().await;
    }
    println!("Done; nothing is left behind. `./demo --stay` keeps the tunnel up for your own ssh.");
    true
}

/// One command and one interactive session, by OpenSSH where it is installed.
async fn session(directory: &Path, office: &Office, port: u16) -> bool {
    let command = "hostname; whoami; echo hello from home";
    let typed = ["hostname", "echo this line went through the tunnel", "exit"];
    let (client, outputs) = match home::openssh() {
        Some(ssh) => {
            let key = office.key_file(directory);
            (
                "OpenSSH",
                home::by_openssh(&ssh, &key, port, command, &typed).await,
            )
        }
        None => (
            "the built-in client",
            home::by_russh(office.key(), port, command, &typed).await,
        ),
    };
    show(
        &format!("`{command}`, run by {client}, answers:"),
        &outputs.command,
    );
    show(
        &format!("A shell, typed into by {client}, answers:"),
        &outputs.shell,
    );
    outputs.command.contains("hello from home")
        && outputs.command.contains(office::HOST)
        && outputs.shell.contains("this line went through the tunnel")
}

/// The configuration as it is run: what we print of its log should be plain.
fn quiet(config: &str) -> String {
    format!("log.disablePrintColor = true\n{config}")
}

/// The last log lines, without their date.
fn tail(program: &Program) -> String {
    let lines = program.log().lines();
    let from = lines.len().saturating_sub(4);
    lines[from..]
        .iter()
        .map(|line| format!("{}\n", line.get(11..).unwrap_or(line)))
        .collect()
}

fn show(title: &str, text: &str) {
    println!("{title}\n");
    for line in text.lines() {
        println!("    {line}");
    }
    println!();
}

async fn asked_to_end() {
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut hangup = signal(SignalKind::hangup()).unwrap();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
