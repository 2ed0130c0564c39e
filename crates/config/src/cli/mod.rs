//! The command lines of both programs: what can be asked, and everything that is answered without
//! running a client or a server.
//!
//! A flag that configures something names its key in the table of keys, from which it has its
//! type, default and meaning; its value goes the way of a file's values, so that both are checked
//! alike.

mod command;
mod complete;
mod explain;
mod parse;
mod sections;
mod ssh;
mod table;
mod usage;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

pub use self::ssh::{SshCommand, SshCommandError, ssh_command};

use frp_proto::network::Network;
use frp_proto::scram::Verifier;

use self::command::{Act, flags};
use self::parse::{Line, parse};
use self::value::Given;
use crate::keys::At;
use crate::suggest::Program;
use crate::texts::is_kept_aside;
use crate::{
    Build, ClientConfig, Environment, Feature, KNOWN_SERVERS, LoadOptions, Loaded, Purpose, Secret,
    ServerConfig, ServerTls, convert, load, load_client, load_server, parse_client,
};

/// What frpc is to do.
#[derive(Debug)]
pub enum ClientTask {
    /// Run the client of that file.
    Run(PathBuf, LoadOptions),
    /// Run a client for every file below that directory, in one process.
    RunDirectory(PathBuf, LoadOptions),
    /// Run the one proxy or visitor that the flags are about.
    RunFlags(Box<Loaded<ClientConfig>>),
    /// Ask the running frpc.
    Admin(AdminCall),
    /// Ask those of every file below a directory; or what is wrong with a file.
    AdminDirectory(Vec<(PathBuf, Result<AdminCall, String>)>),
    /// Watch the running frpc.
    Watch(AdminCall),
    /// Find out the kind of NAT.
    Discover(Discover),
    /// Find out what is wrong.
    Doctor(Box<Doctor<ClientConfig>>),
}

/// What frps is to do.
#[derive(Debug)]
pub enum ServerTask {
    /// Run.
    Run(Box<ServerRun>),
    /// Ask the running frps.
    Admin(AdminCall),
    /// Watch it.
    Watch(AdminCall),
    /// Tell the fingerprint of the key that these settings name.
    Fingerprint(Box<ServerTls>),
    /// Make a token, or the hash of one.
    Token(TokenTask),
    /// Find out what is wrong.
    Doctor(Box<Doctor<ServerConfig>>),
}

/// `frps token`
#[derive(Debug)]
pub enum TokenTask {
    /// Make a token and its hash.
    New,
    /// Print the hash of the token that is read.
    Hash {
        /// `--like`: its salt and rounds are taken.
        like: Option<Verifier>,
    },
}

/// How frps is to run.
#[derive(Debug)]
pub struct ServerRun {
    /// The file that frps is configured by, if it is not by flags.
    pub file: Option<PathBuf>,
    /// How it is read.
    pub options: LoadOptions,
    /// The settings.
    pub loaded: Loaded<ServerConfig>,
    /// `--drain`: how long users may finish when frps is told to end.
    pub drain: Duration,
}

/// A request to the web server of a running program.
#[derive(Debug)]
pub struct AdminCall {
    /// `frpc` or `frps`: which it is.
    pub program: &'static str,
    /// What is asked for.
    pub request: AdminRequest,
    /// `webServer.addr`
    pub addr: String,
    /// `webServer.port`
    pub port: u16,
    /// `webServer.user`
    pub user: String,
    /// `webServer.password`
    pub password: Secret,
    /// `webServer.tls.certFile`, where it speaks TLS.
    pub certificate: Option<PathBuf>,
    /// `--api-timeout`: time for the whole call.
    pub timeout: Duration,
    /// `--json`: the answer is shown as it is.
    pub json: bool,
}

/// A command that a running program takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminRequest {
    /// Read the configuration file again.
    Reload {
        /// Whether unknown keys are then errors.
        strict: bool,
        /// `--confirm`: the former settings come back after this time, unless [`AdminRequest::Confirm`]
        /// comes before.
        confirm: Option<Duration>,
    },
    /// Keep what the last `reload --confirm` has applied.
    Confirm,
    /// What frps does, or the proxies of frpc.
    Status,
    /// End.
    Stop,
    /// List the clients.
    Clients,
    /// List the proxies.
    Proxies,
    /// End the session of that client.
    Kick(String),
    /// Who has that address at local services; without one, who has any now.
    Who(Option<Ipv4Addr>),
    /// List the bans.
    Bans,
    /// Keep that address or network out.
    Ban {
        /// As it was written.
        network: String,
        /// None: until it is taken back.
        time: Option<Duration>,
        /// What it is for; empty where nothing is said.
        reason: String,
    },
    /// Take a ban back.
    Unban(String),
}

/// Whom the doctor looks at.
#[derive(Debug)]
pub struct Doctor<T> {
    /// The configuration file; frps may have none.
    pub file: Option<PathBuf>,
    /// How it is read.
    pub options: LoadOptions,
    /// The settings, as the program itself would have them; or what is wrong, a line each.
    pub loaded: Result<Loaded<T>, String>,
    /// `--json`
    pub json: bool,
}

/// Parameters of `nathole discover`.
#[derive(Debug)]
pub struct Discover {
    /// `--nat-hole-stun-server`, or else `natHoleStunServer` of the file, or what that is without one.
    pub stun_server: String,
    /// `--nat-hole-local-addr`; empty where it was not given.
    pub local_addr: String,
    /// `--json`
    pub json: bool,
}

/// A text with which the program ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// Complete lines.
    pub text: String,
    /// Exit status 0, else 1.
    pub success: bool,
    /// Whether the text is about the command line itself; frp prints all else on standard output.
    pub to_stderr: bool,
}

impl Output {
    fn answer(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            success: true,
            to_stderr: false,
        }
    }

    fn failure(error: impl fmt::Display) -> Self {
        Self {
            text: format!("{error}\n"),
            success: false,
            to_stderr: false,
        }
    }

    fn misuse(text: String) -> Self {
        Self {
            text,
            success: false,
            to_stderr: true,
        }
    }

    /// Prints the text and gives the exit status. A reader that went away is no reason to fail.
    #[must_use]
    pub fn print(&self) -> ExitCode {
        let bytes = self.text.as_bytes();
        let _ = if self.to_stderr {
            io::stderr().write_all(bytes)
        } else {
            io::stdout().write_all(bytes)
        };
        if self.success {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments of frpc, without the program's name; files may use the environment.
///
/// # Errors
/// When there is nothing to run: the answer, or why there is none.
pub fn client(
    args: Vec<String>,
    environment: Environment,
    version: &str,
    build: Build,
) -> Result<ClientTask, Output> {
    let line = parse(Program::Frpc, args).map_err(Output::misuse)?;
    let options = options(&line, environment, build);
    if let Some(output) = common(&line, &options, version) {
        return Err(output);
    }
    let file = line.text("config").unwrap_or("./frpc.ini");
    let act = line.command().act;
    needs_of(&line, build)?;
    match act {
        Act::Top => match directory(&line) {
            None => admin(&line, Some(Path::new(file)), &options).map(ClientTask::Watch),
            Some(_) => Err(Output::failure(
                "frpc top: it shows one frpc: name its file by -c, not a directory",
            )),
        },
        Act::Doctor => match directory(&line) {
            None => Ok(ClientTask::Doctor(Box::new(Doctor {
                loaded: load_client(Path::new(file), &options).map_err(|error| error.to_string()),
                file: Some(file.into()),
                options,
                json: line.bool("json") == Some(true),
            }))),
            Some(_) => Err(Output::failure(
                "frpc doctor: it looks at one frpc: name its file by -c, not a directory",
            )),
        },
        act if act.asks() => match directory(&line) {
            None => admin(&line, Some(Path::new(file)), &options).map(ClientTask::Admin),
            Some(directory) => {
                let call = |path: PathBuf| {
                    let call = admin(&line, Some(&path), &options);
                    (
                        path,
                        call.map_err(|output| output.text.trim_end().to_owned()),
                    )
                };
                let files = some_files_below(directory)?;
                let calls = files.into_iter().map(call);
                Ok(ClientTask::AdminDirectory(calls.collect()))
            }
        },
        Act::Discover => {
            // As in frp a file that is not there, or has faults, is none.
            let of_file = || {
                let loaded = load_client(Path::new(file), &options);
                let loaded = loaded.or_else(|_| parse_client("", "", &options)).ok()?;
                Some(loaded.settings.nat_hole_stun_server)
            };
            let given = line
                .text("nat-hole-stun-server")
                .filter(|at| !at.is_empty());
            let server = given.map(str::to_owned).or_else(of_file);
            Ok(ClientTask::Discover(Discover {
                stun_server: server.unwrap_or_default(),
                local_addr: line.text("nat-hole-local-addr").unwrap_or_default().into(),
                json: line.bool("json") == Some(true),
            }))
        }
        Act::Proxy(_) | Act::Visitor(_) => sections::client(&line, &options)
            .map(|loaded| ClientTask::RunFlags(Box::new(loaded)))
            .map_err(Output::failure),
        _ => match directory(&line) {
            Some(dir) => Ok(ClientTask::RunDirectory(dir.into(), options)),
            None => Ok(ClientTask::Run(file.into(), options)),
        },
    }
}

/// Reads the arguments of frps, without the program's name; files may use the environment.
///
/// # Errors
/// When there is nothing to run: the answer, or why there is none.
pub fn server(
    args: Vec<String>,
    environment: Environment,
    version: &str,
    build: Build,
) -> Result<ServerTask, Output> {
    let line = parse(Program::Frps, args).map_err(Output::misuse)?;
    let options = options(&line, environment, build);
    if let Some(output) = common(&line, &options, version) {
        return Err(output);
    }
    let file = line.text("config").filter(|file| !file.is_empty());
    let file = file.map(PathBuf::from);
    needs_of(&line, build)?;
    let act = line.command().act;
    match act {
        Act::TokenNew => return Ok(ServerTask::Token(TokenTask::New)),
        Act::TokenHash => {
            let like = line.text("like").map(str::parse).transpose();
            let like = like.map_err(|e| Output::failure(format!("--like: {e}")))?;
            return Ok(ServerTask::Token(TokenTask::Hash { like }));
        }
        _ => {}
    }
    if act.asks() {
        let task = match act {
            Act::Top => ServerTask::Watch,
            _ => ServerTask::Admin,
        };
        return admin(&line, file.as_deref(), &options).map(task);
    }
    if act == Act::Doctor {
        let loaded = match &file {
            Some(file) => load_server(file, &options).map_err(|error| error.to_string()),
            None => sections::server(&line, &options).map_err(|error| error.to_string()),
        };
        return Ok(ServerTask::Doctor(Box::new(Doctor {
            file,
            loaded,
            options,
            json: line.bool("json") == Some(true),
        })));
    }
    let loaded = match &file {
        Some(file) => load_server(file, &options).map(|mut loaded| {
            loaded.warnings.extend(unused_flags(&line));
            loaded
        }),
        None => sections::server(&line, &options),
    };
    let loaded = loaded.map_err(Output::failure)?;
    if act == Act::Fingerprint {
        return Ok(ServerTask::Fingerprint(Box::new(
            loaded.settings.transport.tls,
        )));
    }
    let drain = line.int("drain").unwrap_or(0);
    let drain = u64::try_from(drain).map_err(|_| {
        Output::failure(format!(
            "--drain {drain}: give the seconds that users have, or 0"
        ))
    })?;
    Ok(ServerTask::Run(Box::new(ServerRun {
        file,
        options,
        loaded,
        drain: Duration::from_secs(drain),
    })))
}

/// What both programs answer without running anything.
fn common(line: &Line, options: &LoadOptions, version: &str) -> Option<Output> {
    let program = line.program;
    if line.bool("help") == Some(true) {
        return Some(Output::answer(usage::help(&line.path)));
    }
    let is_root = line.path.len() == 1;
    if is_root && line.bool("version") == Some(true) {
        return Some(Output::answer(format!("{version}\n")));
    }
    if let Some(key) = line.text("explain").filter(|_| is_root) {
        return Some(explain_key(line, key, options));
    }
    Some(match line.command().act {
        Act::Verify => verify(line, options),
        Act::Convert => convert_file(line, options),
        Act::Completion(shell) => Output::answer(complete::script(program, shell)),
        Act::Candidates => Output::answer(complete::candidates(program, &line.words)),
        Act::Help => help(line),
        Act::Group => Output::answer(usage::help(&line.path)),
        _ => return None,
    })
}

/// `help` with the words of a command.
fn help(line: &Line) -> Output {
    let program = line.program;
    let mut path = vec![table::root(program)];
    for word in &line.words {
        let below = path.last().map_or(&[][..], |command| command.below);
        match below.iter().find(|command| command.name == word) {
            Some(command) => path.push(command),
            None if path.len() == 1 => {
                return Output {
                    text: format!(
                        "Unknown help topic [`{}`]\n{}",
                        line.words.join(" "),
                        usage::usage(&path)
                    ),
                    success: true,
                    to_stderr: true,
                };
            }
            None => break,
        }
    }
    Output::answer(usage::help(&path))
}

/// `--config-dir`, where it is given.
fn directory(line: &Line) -> Option<&str> {
    line.text("config-dir").filter(|dir| !dir.is_empty())
}

/// Every file below, in the order of names; what cannot be read is left out, as in frp.
///
/// Not what frpc itself keeps beside them.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    entries.retain(|entry| {
        let name = entry.file_name();
        !is_kept_aside(&name.to_string_lossy()) && name != KNOWN_SERVERS
    });
    let files = entries.into_iter().flat_map(|entry| {
        // A link to a directory is not followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path())
        } else {
            vec![entry.path()]
        }
    });
    files.collect()
}

fn some_files_below(directory: &str) -> Result<Vec<PathBuf>, Output> {
    let files = files_below(Path::new(directory));
    if files.is_empty() {
        return Err(Output::failure(format!("{directory}: no file is there")));
    }
    Ok(files)
}

/// The result of one file of several: its name is in front, unless the text begins with it.
pub fn of_file(path: &Path, text: &str) -> String {
    let name = path.display().to_string();
    match text.starts_with(&name) {
        true => text.to_owned(),
        false => format!("{name}: {text}"),
    }
}

fn verify(line: &Line, options: &LoadOptions) -> Output {
    let Some(directory) = directory(line) else {
        return verify_file(line, None, options);
    };
    let files = match some_files_below(directory) {
        Ok(files) => files,
        Err(output) => return output,
    };
    let mut all = Output::answer("");
    for path in files {
        let one = verify_file(line, Some(&path), options);
        all.success &= one.success;
        all.text.push_str(&of_file(&path, &one.text));
    }
    all
}

fn verify_file(line: &Line, file: Option<&Path>, options: &LoadOptions) -> Output {
    let program = line.program.name();
    let default = match line.program {
        Program::Frpc => "./frpc.ini",
        Program::Frps => "",
    };
    let file = file.map(|path| path.display().to_string());
    let file = file
        .as_deref()
        .unwrap_or_else(|| line.text("config").unwrap_or(default));
    if file.is_empty() {
        return Output::answer(format!(
            "{program}: the configuration file is not specified\n"
        ));
    }
    let options = options.verify();
    let path = Path::new(file);
    let warnings = match line.program {
        Program::Frpc => load_client(path, &options).map(|loaded| loaded.warnings),
        Program::Frps => load_server(path, &options).map(|loaded| loaded.warnings),
    };
    match warnings {
        Err(error) => Output::failure(error),
        Ok(warnings) => {
            let mut text: String = warnings
                .iter()
                .map(|warning| format!("WARNING: {warning}\n"))
                .collect();
            text.push_str(&format!(
                "{program}: the configuration file {file} syntax is ok\n"
            ));
            Output::answer(text)
        }
    }
}

fn convert_file(line: &Line, options: &LoadOptions) -> Output {
    let [file] = &line.words[..] else {
        return Output::misuse(format!(
            "Error: name one file to convert\n{}\n",
            usage::usage(&line.path)
        ));
    };
    let converted = match convert::convert(line.program, Path::new(file), options) {
        Ok(converted) => converted,
        Err(error) => return Output::failure(error),
    };
    match line.text("output") {
        None => Output::answer(converted),
        Some(target) => match std::fs::write(target, converted) {
            Ok(()) => Output::answer(String::new()),
            Err(source) => Output::failure(format!("write {target}: {source}")),
        },
    }
}

fn explain_key(line: &Line, key: &str, options: &LoadOptions) -> Output {
    let file = line.text("config").filter(|file| !file.is_empty());
    match explain::explain(line.program, key, file.map(Path::new), options) {
        Ok(text) => Output::answer(text),
        Err(text) => Output::failure(text),
    }
}

fn options(line: &Line, environment: Environment, build: Build) -> LoadOptions {
    LoadOptions {
        purpose: Purpose::Run,
        strict: line.bool("strict-config").unwrap_or(true),
        allow_unsafe: line.texts("allow-unsafe"),
        environment,
        build,
    }
}

/// An error where the build lacks what the command needs.
fn needs_of(line: &Line, build: Build) -> Result<(), Output> {
    let needs = match line.command().act {
        Act::Top => build.needs(Feature::Top),
        Act::Doctor => build.needs(Feature::Doctor),
        act if act.asks() => build.needs(Feature::Pages),
        _ => Ok(()),
    };
    needs.map_err(|lacking| Output::failure(format!("{}: {lacking}", line.name())))
}

/// Where the program listens that `file` configures, or the flags where there is none, and what it is asked.
fn admin(line: &Line, file: Option<&Path>, options: &LoadOptions) -> Result<AdminCall, Output> {
    let web = match (line.program, file) {
        (Program::Frpc, Some(file)) => {
            let (opened, _) = load::open(Program::Frpc, file, options).map_err(Output::failure)?;
            At::root(&opened.root).of(ClientConfig::web_server).read()
        }
        (Program::Frps, Some(file)) => {
            let (opened, _) = load::open(Program::Frps, file, options).map_err(Output::failure)?;
            At::root(&opened.root).of(ServerConfig::web_server).read()
        }
        (_, None) => {
            let loaded = sections::server(line, options).map_err(Output::failure)?;
            loaded.settings.web_server
        }
    };
    let web = web.ok_or_else(|| {
        let advice = match (line.program, file) {
            (Program::Frps, None) => ": name the file of the running frps by -c",
            (Program::Frps, Some(_)) => ": the file has no webServer.port",
            (Program::Frpc, _) => "",
        };
        Output::failure(format!(
            "web server port should be set if you want to use this feature{advice}"
        ))
    })?;
    Ok(AdminCall {
        program: line.program.name(),
        request: request(line, options)?,
        addr: web.addr,
        port: web.port,
        user: web.user,
        password: web.password,
        certificate: web.tls.map(|tls| tls.cert_file),
        timeout: match line.given.get("api-timeout") {
            Some(Given::Duration(timeout)) => *timeout,
            _ => Duration::from_secs(30),
        },
        json: line.bool("json") == Some(true),
    })
}

fn request(line: &Line, options: &LoadOptions) -> Result<AdminRequest, Output> {
    Ok(match line.command().act {
        Act::Reload => AdminRequest::Reload {
            strict: options.strict,
            confirm: match line.given.get("confirm") {
                Some(Given::Duration(time)) => Some(*time),
                _ => None,
            },
        },
        Act::Confirm => AdminRequest::Confirm,
        Act::Stop => AdminRequest::Stop,
        Act::Clients => AdminRequest::Clients,
        Act::Proxies => AdminRequest::Proxies,
        Act::BanList => AdminRequest::Bans,
        Act::BanAdd => AdminRequest::Ban {
            network: network(line)?,
            time: match line.given.get("time") {
                Some(Given::Duration(time)) if !time.is_zero() => Some(*time),
                _ => None,
            },
            reason: line.text("reason").unwrap_or_default().to_owned(),
        },
        Act::BanRemove => AdminRequest::Unban(network(line)?),
        Act::Kick => match &line.words[..] {
            [client] => AdminRequest::Kick(client.clone()),
            _ => {
                return Err(Output::misuse(format!(
                    "Error: name one client to kick\n{}\n",
                    usage::usage(&line.path)
                )));
            }
        },
        Act::Who => {
            let address = line.words.first().map(|word| word.parse());
            match (address.transpose(), line.words.len()) {
                (Ok(address), 0 | 1) => AdminRequest::Who(address),
                _ => {
                    return Err(Output::misuse(format!(
                        "Error: name one address of IPv4, such as 127.45.3.7, or none\n{}\n",
                        usage::usage(&line.path)
                    )));
                }
            }
        }
        _ => AdminRequest::Status,
    })
}

/// The address or network that a command is about.
fn network(line: &Line) -> Result<String, Output> {
    let misuse = |why: String| {
        let usage = usage::usage(&line.path);
        Output::misuse(format!("Error: {why}\n{usage}\n"))
    };
    let [text] = &line.words[..] else {
        return Err(misuse("name one address or network".to_owned()));
    };
    match text.parse::<Network>() {
        Ok(network) => Ok(network.to_string()),
        Err(why) => Err(misuse(format!("{text:?} is {why}"))),
    }
}

/// frp takes no notice of flags beside a file; a user should know.
fn unused_flags(line: &Line) -> impl Iterator<Item = crate::Problem> {
    let unused = flags(&line.path)
        .into_iter()
        .filter(|flag| flag.gives.is_some() && line.given.contains_key(flag.name));
    unused.map(|flag| crate::Problem {
        file: format!("--{}", flag.name),
        position: None,
        message: "has no effect beside a configuration file".to_owned(),
        advice: Some("put it into the file".to_owned()),
    })
}
