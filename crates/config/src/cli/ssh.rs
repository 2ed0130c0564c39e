//! What does an ssh client ask frps for, by the command behind `ssh -R :80:127.0.0.1:8080 v0@HOST`? A type of proxy
//! and flags, separated by single spaces, without quotes (frp `pkg/ssh/server.go`).

use frp_proto::msg::NewProxy;

use super::command::{Act, Command};
use super::parse::{Line, parse_flags};
use super::table::TUNNELS;
use super::usage::usage;
use super::value::Given;
use crate::Secret;
use crate::suggest::Program;

/// A login, and the one proxy that it is for.
#[derive(Debug)]
pub struct SshCommand {
    /// `--user`
    pub user: String,
    /// `--client-id`
    pub client_id: String,
    /// `--token`
    pub token: Secret,
    /// The proxy, without the user in front of its name, which is empty where none was given.
    pub proxy: NewProxy,
}

/// Why there is nothing to do: what the user reads.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshCommandError {
    /// `--help`: the flags.
    #[error("{0}")]
    Help(String),
    /// No type, or none that ssh can carry.
    #[error("invalid proxy type: {0}, support types: [tcp http https tcpmux stcp]")]
    Type(String),
    /// A flag that does not exist, or a value that is none.
    #[error("{0}")]
    Flag(String),
}

/// Reads a command.
///
/// # Errors
/// There is nothing to do.
pub fn ssh_command(text: &str) -> Result<SshCommand, SshCommandError> {
    let args: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let kind = text.split(' ').next().unwrap_or_default().trim();
    let is_meant = |command: &&Command| match command.act {
        Act::Tunnel(known) => known.as_str() == kind,
        _ => false,
    };
    let command = TUNNELS.iter().find(is_meant);
    let command = command.ok_or_else(|| SshCommandError::Type(kind.to_owned()))?;
    let mut line = parse_flags(Program::Frpc, command, args).map_err(SshCommandError::Flag)?;
    if line.bool("help") == Some(true) {
        return Err(SshCommandError::Help(usage(&line.path)));
    }
    let proxy = NewProxy {
        proxy_type: kind.to_owned(),
        proxy_name: take(&mut line, "proxy-name"),
        remote_port: line.int("remote-port").unwrap_or(0),
        custom_domains: line.texts("custom-domain"),
        subdomain: take(&mut line, "sd"),
        locations: line.texts("locations"),
        http_user: take(&mut line, "http-user"),
        http_pwd: take(&mut line, "http-pwd"),
        host_header_rewrite: take(&mut line, "host-header-rewrite"),
        multiplexer: take(&mut line, "mux"),
        sk: take(&mut line, "sk"),
        allow_users: line.texts("allow-users"),
        metas: pairs(&mut line, "metadatas").into_iter().collect(),
        annotations: pairs(&mut line, "annotations").into_iter().collect(),
        ..NewProxy::default()
    };
    Ok(SshCommand {
        user: take(&mut line, "user"),
        client_id: take(&mut line, "client-id"),
        token: take(&mut line, "token").into(),
        proxy,
    })
}

fn take(line: &mut Line, flag: &str) -> String {
    match line.given.remove(flag) {
        Some(Given::Text(text)) => text,
        _ => String::new(),
    }
}

fn pairs(line: &mut Line, flag: &str) -> Vec<(String, String)> {
    match line.given.remove(flag) {
        Some(Given::Pairs(pairs)) => pairs,
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::command::own_flags;
    use super::*;

    fn error(text: &str) -> String {
        ssh_command(text).unwrap_err().to_string()
    }

    #[test]
    fn each_type_has_its_flags() {
        let asked = ssh_command(
            "tcp --remote_port 6000 -n web --token tok -u me --client-id box --metadatas a=b \
             --annotations c=d",
        )
        .unwrap();
        assert_eq!(
            (&*asked.user, &*asked.client_id, asked.token.expose()),
            ("me", "box", "tok")
        );
        let NewProxy {
            proxy_type,
            proxy_name,
            remote_port,
            metas,
            annotations,
            ..
        } = asked.proxy;
        assert_eq!(
            (&*proxy_type, &*proxy_name, remote_port),
            ("tcp", "web", 6000)
        );
        assert_eq!((&*metas["a"], &*annotations["c"]), ("b", "d"));

        let http = ssh_command(
            "http --custom-domain a.example,b.example -d c.example --sd d --locations / \
             --http_user u --http-pwd p --host_header_rewrite e",
        );
        let proxy = http.unwrap().proxy;
        assert_eq!(
            proxy.custom_domains,
            ["a.example", "b.example", "c.example"]
        );
        assert_eq!((&*proxy.subdomain, &*proxy.locations[0]), ("d", "/"));
        assert_eq!((&*proxy.http_user, &*proxy.http_pwd), ("u", "p"));
        assert_eq!(proxy.host_header_rewrite, "e");

        let mux = ssh_command("tcpmux --mux=httpconnect --custom_domain a.example").unwrap();
        assert_eq!(mux.proxy.multiplexer, "httpconnect");
        let secret = ssh_command("stcp -n s --sk=abc --allow-users=\"*\"").unwrap();
        assert_eq!(
            (&*secret.proxy.sk, &*secret.proxy.allow_users[0]),
            ("abc", "*")
        );
        assert!(ssh_command("https --sd a").is_ok());
    }

    /// What Go's frps 0.70.1 says to the ssh client.
    #[test]
    fn mistakes_are_told_in_the_words_of_frp() {
        let types = "support types: [tcp http https tcpmux stcp]";
        for kind in ["udp", "xtcp", "", "TCP", "tcp\t\u{b}x"] {
            assert_eq!(error(kind), format!("invalid proxy type: {kind}, {types}"));
        }
        for (text, said) in [
            ("tcp --bad", "unknown flag: --bad"),
            ("tcp -z", "unknown shorthand flag: 'z' in -z"),
            ("tcp --remote_port", "flag needs an argument: --remote_port"),
            (
                "tcp --remote_port abc",
                "invalid argument \"abc\" for \"-r, --remote-port\" flag: \
                 strconv.ParseInt: parsing \"abc\": invalid syntax",
            ),
            (
                "tcp --metadatas a",
                "invalid argument \"a\" for \"--metadatas\" flag: a must be formatted as key=value",
            ),
            // The service is the ssh client's, and so is what lies between.
            ("tcp --local_port 80", "unknown flag: --local_port"),
            ("tcp --ue", "unknown flag: --ue"),
            ("stcp --remote_port 80", "unknown flag: --remote_port"),
            ("http --server_addr x", "unknown flag: --server_addr"),
        ] {
            assert_eq!(error(text), said, "{text}");
        }
    }

    #[test]
    fn the_help_names_the_flags_of_the_type_and_no_others() {
        let help = error("tcp --help");
        assert!(
            help.starts_with("Usage:\n  ssh v0@{address} [command] [flags]\n"),
            "{help}"
        );
        let names = |kind: usize| -> Vec<&str> {
            let flags = own_flags(&TUNNELS[kind]);
            flags.iter().map(|flag| flag.name).collect()
        };
        let shared = super::super::command::OF_TUNNELS;
        let with = |own: &[&'static str]| {
            let mut all = [&shared[..], own].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(names(0), with(&["remote-port"]));
        assert_eq!(
            names(1),
            with(&[
                "custom-domain",
                "host-header-rewrite",
                "http-pwd",
                "http-user",
                "locations",
                "sd"
            ])
        );
        assert_eq!(names(2), with(&["custom-domain", "sd"]));
        assert_eq!(
            names(3),
            with(&["custom-domain", "http-pwd", "http-user", "mux", "sd"])
        );
        assert_eq!(names(4), with(&["allow-users", "sk"]));
    }

    proptest! {
        /// It comes from the network: nothing makes it panic, and a flag that is taken is in the proxy.
        #[test]
        fn any_text_is_a_command_or_a_mistake(text in "(tcp|http|https|tcpmux|stcp|.{0,8})( (-[a-z=]{0,3}|--[a-z_=-]{0,12}|[^ ]{0,9})){0,6}") {
            let _ = ssh_command(&text);
        }

        #[test]
        fn a_name_arrives_as_it_was_given(name in "[^ ]{1,30}", port in any::<u16>()) {
            let asked = ssh_command(&format!("tcp --remote_port {port} --proxy_name {name}")).unwrap();
            prop_assert_eq!(asked.proxy.proxy_name, name);
            prop_assert_eq!(asked.proxy.remote_port, i64::from(port));
        }
    }
}
