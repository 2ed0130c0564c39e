//! Every command and flag of both programs (frp `cmd/`, `pkg/config/flags.go`).

use super::command::Target::{Item, Own, Root};
use super::command::{Act, Command, Flag, Shell, Takes, Target};
use super::sections;
use crate::suggest::Program;

/// The command line of a program.
pub(crate) fn root(program: Program) -> &'static Command {
    match program {
        Program::Frpc => &FRPC,
        Program::Frps => &FRPS,
    }
}

/// `-h`, which every command has.
pub(crate) const HELP_FLAG: Flag =
    flag("help", Own(Takes::Bool, "Show what this command does.")).short('h');

const FRPC: Command = Command {
    persistent: &[
        flag("config", Own(Takes::Text, "Configuration file."))
            .short('c')
            .default("./frpc.ini"),
        flag(
            "config-dir",
            Own(
                Takes::Text,
                "Directory; every file below it is run as a client of its own. verify, reload, status and \
                 stop take each of them.",
            ),
        ),
        STRICT,
        UNSAFE,
        EXPLAIN,
        VERSION,
    ],
    below: &[
        VERIFY,
        CONVERT,
        admin(
            "reload",
            "Make the running frpc read its file again",
            Act::Reload,
        ),
        admin(
            "status",
            "Show the proxies of the running frpc",
            Act::Status,
        ),
        admin("stop", "End the running frpc", Act::Stop),
        NATHOLE,
        proxy("tcp", "Run one tcp proxy from flags", PORT, &[]),
        proxy("udp", "Run one udp proxy from flags", PORT, &[]),
        proxy("http", "Run one http proxy from flags", HTTP, &[]),
        proxy("https", "Run one https proxy from flags", DOMAIN, &[]),
        proxy("tcpmux", "Run one tcpmux proxy from flags", TCPMUX, &[]),
        proxy(
            "stcp",
            "Run one stcp proxy from flags",
            SECRET,
            &[visitor("stcp", "Run one stcp visitor from flags")],
        ),
        proxy(
            "sudp",
            "Run one sudp proxy from flags",
            SECRET,
            &[visitor("sudp", "Run one sudp visitor from flags")],
        ),
        proxy(
            "xtcp",
            "Run one xtcp proxy from flags",
            SECRET,
            &[visitor("xtcp", "Run one xtcp visitor from flags")],
        ),
        COMPLETION,
        HELP,
        CANDIDATES,
    ],
    ..command(
        "frpc",
        "frpc is the client of frp (https://github.com/fatedier/frp)",
        Act::Run,
    )
};

const FRPS: Command = Command {
    flags: &[&[flag(
        "drain",
        Own(
            Takes::Int,
            "Seconds that users have to finish when frps is told to end, while it takes no new ones.",
        ),
    )]],
    persistent: &[
        flag(
            "config",
            Own(
                Takes::Text,
                "Configuration file; without one the flags configure frps.",
            ),
        )
        .short('c'),
        STRICT,
        UNSAFE,
        EXPLAIN,
        VERSION,
        flag("bind-addr", Root("bindAddr")),
        flag("bind-port", Root("bindPort")).short('p'),
        flag("kcp-bind-port", Root("kcpBindPort")),
        flag("quic-bind-port", Root("quicBindPort")),
        flag("proxy-bind-addr", Root("proxyBindAddr")).default("0.0.0.0"),
        flag("vhost-http-port", Root("vhostHTTPPort")),
        flag("vhost-https-port", Root("vhostHTTPSPort")),
        flag("vhost-http-timeout", Root("vhostHTTPTimeout")),
        flag("dashboard-addr", Root("webServer.addr")).default("0.0.0.0"),
        flag("dashboard-port", Root("webServer.port")),
        flag("dashboard-user", Root("webServer.user")).default("admin"),
        flag("dashboard-pwd", Root("webServer.password")).default("admin"),
        flag("enable-prometheus", Root("enablePrometheus")),
        LOG_FILE,
        LOG_LEVEL,
        LOG_MAX_DAYS,
        LOG_COLOR,
        TOKEN,
        flag("subdomain-host", Root("subDomainHost")),
        flag("allow-ports", Root("allowPorts")),
        flag("max-ports-per-client", Root("maxPortsPerClient")),
        flag("tls-only", Root("transport.tls.force")),
        // The three have no effect in frp: the mode takes a value and stays off whatever it is.
        flag("dashboard-tls-cert-file", Root("webServer.tls.certFile")),
        flag("dashboard-tls-key-file", Root("webServer.tls.keyFile")),
        flag("dashboard-tls-mode", Root(sections::WEB_TLS)),
    ],
    below: &[VERIFY, CONVERT, COMPLETION, HELP, CANDIDATES],
    ..command(
        "frps",
        "frps is the server of frp (https://github.com/fatedier/frp)",
        Act::Run,
    )
};

const VERIFY: Command = command("verify", "Check a configuration file", Act::Verify);

const CONVERT: Command = Command {
    operand: " FILE",
    flags: &[&[flag(
        "output",
        Own(Takes::Text, "File to write; standard output without it."),
    )
    .short('o')]],
    ..command(
        "convert",
        "Turn a legacy INI file into the TOML that means the same",
        Act::Convert,
    )
};

const NATHOLE: Command = Command {
    persistent: &[
        flag(
            "nat-hole-stun-server",
            Own(Takes::Text, "STUN server to ask."),
        ),
        flag(
            "nat-hole-local-addr",
            Own(Takes::Text, "Address to ask from."),
        )
        .short('l'),
    ],
    below: &[command(
        "discover",
        "Find out the kind of NAT by asking a STUN server",
        Act::Discover,
    )],
    ..command("nathole", "Actions about nathole", Act::Group)
};

const COMPLETION: Command = Command {
    below: &[
        command(
            "bash",
            "Print the script for bash",
            Act::Completion(Shell::Bash),
        ),
        command(
            "zsh",
            "Print the script for zsh",
            Act::Completion(Shell::Zsh),
        ),
        command(
            "fish",
            "Print the script for fish",
            Act::Completion(Shell::Fish),
        ),
        command(
            "powershell",
            "Print the script for PowerShell",
            Act::Completion(Shell::Power),
        ),
    ],
    ..command(
        "completion",
        "Print a script that completes commands and flags in a shell",
        Act::Group,
    )
};

const HELP: Command = Command {
    operand: " [command]",
    ..command("help", "Show what a command does", Act::Help)
};

/// Hidden: begins with `__`.
const CANDIDATES: Command = command("__complete", "", Act::Candidates);

const STRICT: Flag = flag(
    "strict-config",
    Own(Takes::Bool, "Unknown keys are errors, not warnings."),
)
.default("true");

const UNSAFE: Flag = flag(
    "allow-unsafe",
    Own(
        Takes::Texts,
        "Features that are off for safety; there is one: TokenSourceExec.",
    ),
);

const EXPLAIN: Flag = flag(
    "explain",
    Own(
        Takes::Text,
        "Show the meaning of a key, and with -c its value in that file.",
    ),
);

const VERSION: Flag = flag("version", Own(Takes::Bool, "Show the version.")).short('v');

const LOG_FILE: Flag = flag("log-file", Root("log.to"));
const LOG_LEVEL: Flag = flag("log-level", Root("log.level"));
const LOG_MAX_DAYS: Flag = flag("log-max-days", Root("log.maxDays"));
const LOG_COLOR: Flag = flag("disable-log-color", Root("log.disablePrintColor"));
const TOKEN: Flag = flag("token", Root("auth.token")).short('t');

const CLIENT: &[Flag] = &[
    flag("server-addr", Root("serverAddr"))
        .short('s')
        .default("127.0.0.1"),
    flag("server-port", Root("serverPort")).short('P'),
    flag("protocol", Root("transport.protocol")).short('p'),
    LOG_LEVEL,
    LOG_FILE,
    LOG_MAX_DAYS,
    LOG_COLOR,
    flag("tls-server-name", Root("transport.tls.serverName")),
    flag("dns-server", Root("dnsServer")),
    flag("tls-enable", Root("transport.tls.enable")),
    flag("user", Root("user")).short('u'),
    flag("client-id", Root("clientID")),
    TOKEN,
];

const BASE: &[Flag] = &[
    flag("proxy-name", Item("name")).short('n'),
    flag("metadatas", Item("metadatas")),
    flag("annotations", Item("annotations")),
    flag("local-ip", Item("localIP")).short('i'),
    flag("local-port", Item("localPort")).short('l'),
    ENCRYPTION,
    COMPRESSION,
    flag("bandwidth-limit", Item("transport.bandwidthLimit")),
    flag("bandwidth-limit-mode", Item("transport.bandwidthLimitMode")),
];

const ENCRYPTION: Flag = flag("ue", Item("transport.useEncryption"));
const COMPRESSION: Flag = flag("uc", Item("transport.useCompression"));
const SK: Flag = flag("sk", Item("secretKey"));
const DOMAINS: Flag = flag("custom-domain", Item("customDomains")).short('d');
const SUBDOMAIN: Flag = flag("sd", Item("subdomain"));
const HTTP_USER: Flag = flag("http-user", Item("httpUser"));
const HTTP_PASSWORD: Flag = flag("http-pwd", Item("httpPassword"));

const ADMIN: &[&[Flag]] = &[&[flag(
    "api-timeout",
    Own(Takes::Duration, "Time until the running frpc must answer."),
)
.default("30s")]];
const PORT: &[&[Flag]] = &[BASE, &[flag("remote-port", Item("remotePort")).short('r')]];
const DOMAIN: &[&[Flag]] = &[BASE, &[DOMAINS, SUBDOMAIN]];
const HTTP: &[&[Flag]] = &[
    BASE,
    &[
        DOMAINS,
        SUBDOMAIN,
        flag("locations", Item("locations")),
        HTTP_USER,
        HTTP_PASSWORD,
        flag("host-header-rewrite", Item("hostHeaderRewrite")),
    ],
];
const TCPMUX: &[&[Flag]] = &[
    BASE,
    &[
        DOMAINS,
        SUBDOMAIN,
        flag("mux", Item("multiplexer")),
        HTTP_USER,
        HTTP_PASSWORD,
    ],
];
const SECRET: &[&[Flag]] = &[BASE, &[SK, flag("allow-users", Item("allowUsers"))]];

const VISITOR: &[&[Flag]] = &[&[
    flag("visitor-name", Item("name")).short('n'),
    ENCRYPTION,
    COMPRESSION,
    SK,
    flag("server-name", Item("serverName")),
    flag("server-user", Item("serverUser")),
    flag("bind-addr", Item("bindAddr")),
    flag("bind-port", Item("bindPort")),
]];

const fn command(name: &'static str, about: &'static str, act: Act) -> Command {
    Command {
        name,
        about,
        act,
        operand: "",
        flags: &[],
        persistent: &[],
        below: &[],
    }
}

const fn admin(name: &'static str, about: &'static str, act: Act) -> Command {
    Command {
        flags: ADMIN,
        ..command(name, about, act)
    }
}

const fn proxy(
    kind: &'static str,
    about: &'static str,
    flags: &'static [&'static [Flag]],
    below: &'static [Command],
) -> Command {
    Command {
        flags,
        persistent: CLIENT,
        below,
        ..command(kind, about, Act::Proxy(kind))
    }
}

const fn visitor(kind: &'static str, about: &'static str) -> Command {
    Command {
        flags: VISITOR,
        ..command("visitor", about, Act::Visitor(kind))
    }
}

const fn flag(name: &'static str, target: Target) -> Flag {
    Flag {
        name,
        short: None,
        target,
        default: None,
    }
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}
