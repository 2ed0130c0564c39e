//! Every command of both programs with its own flags (frp `cmd/`, `pkg/config/flags.go`). The flags
//! that give keys stand with the keys.

use frp_proto::names::ProxyType;

use super::command::{Act, Command, OwnFlag, Shell, Takes};
use crate::suggest::Program;

/// The command line of a program.
pub(crate) fn root(program: Program) -> &'static Command {
    match program {
        Program::Frpc => &FRPC,
        Program::Frps => &FRPS,
    }
}

const FRPC: Command = Command {
    persistent: &[
        flag("config", Takes::Text, "Configuration file.")
            .short('c')
            .default("./frpc.ini"),
        flag(
            "config-dir",
            Takes::Text,
            "Directory; every file below it is run as a client of its own. verify, reload, status and \
                 stop take each of them.",
        ),
        STRICT,
        UNSAFE,
        EXPLAIN,
        VERSION,
    ],
    below: &[
        VERIFY,
        CONVERT,
        RELOAD,
        admin(
            "confirm",
            "Keep what the last reload --confirm has applied",
            Act::Confirm,
        ),
        asking(
            "status",
            "Show the proxies of the running frpc",
            Act::Status,
        ),
        Command {
            operand: " [ADDRESS]",
            ..asking(
                "who",
                "Show which user an address of 127.0.0.0/8 stands for (transport.realIP), or all that are connected",
                Act::Who,
            )
        },
        admin("top", "Watch the running frpc in the terminal", Act::Top),
        admin("stop", "End the running frpc", Act::Stop),
        doctor("Find out why this frpc does not work, and what to do"),
        NATHOLE,
        proxy(ProxyType::Tcp, "Run one tcp proxy from flags", &[]),
        proxy(ProxyType::Udp, "Run one udp proxy from flags", &[]),
        proxy(ProxyType::Http, "Run one http proxy from flags", &[]),
        proxy(ProxyType::Https, "Run one https proxy from flags", &[]),
        proxy(ProxyType::Tcpmux, "Run one tcpmux proxy from flags", &[]),
        proxy(
            ProxyType::Stcp,
            "Run one stcp proxy from flags",
            &[visitor(ProxyType::Stcp, "Run one stcp visitor from flags")],
        ),
        proxy(
            ProxyType::Sudp,
            "Run one sudp proxy from flags",
            &[visitor(ProxyType::Sudp, "Run one sudp visitor from flags")],
        ),
        proxy(
            ProxyType::Xtcp,
            "Run one xtcp proxy from flags",
            &[visitor(ProxyType::Xtcp, "Run one xtcp visitor from flags")],
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
    flags: &[flag(
        "drain",
        Takes::Int,
        "Seconds that users have to finish when frps is told to end, while it takes no new ones.",
    )],
    persistent: &[
        flag(
            "config",
            Takes::Text,
            "Configuration file; without one the flags configure frps.",
        )
        .short('c'),
        STRICT,
        UNSAFE,
        EXPLAIN,
        VERSION,
    ],
    gives: Some(Program::Frps),
    below: &[
        VERIFY,
        CONVERT,
        asking(
            "reload",
            "Make the running frps read its file again",
            Act::Reload,
        ),
        asking("status", "Show what the running frps does", Act::Status),
        asking(
            "clients",
            "List the clients of the running frps",
            Act::Clients,
        ),
        asking(
            "proxies",
            "List the proxies of the running frps",
            Act::Proxies,
        ),
        Command {
            operand: " CLIENT",
            ..asking(
                "kick",
                "End the session of a client, by its key, clientID or run id",
                Act::Kick,
            )
        },
        BAN,
        admin("top", "Watch the running frps in the terminal", Act::Top),
        command(
            "fingerprint",
            "Print the fingerprint of the key by which clients know this frps, for transport.tls.pin of frpc",
            Act::Fingerprint,
        ),
        TOKEN,
        doctor("Find out what is wrong with frps and its machine, and what to do"),
        COMPLETION,
        HELP,
        CANDIDATES,
    ],
    ..command(
        "frps",
        "frps is the server of frp (https://github.com/fatedier/frp)",
        Act::Run,
    )
};

/// What an ssh client may ask frps for (frp `pkg/ssh/server.go`).
pub(crate) static TUNNELS: [Command; 5] = [
    tunnel(ProxyType::Tcp),
    tunnel(ProxyType::Http),
    tunnel(ProxyType::Https),
    tunnel(ProxyType::Tcpmux),
    tunnel(ProxyType::Stcp),
];

const fn tunnel(kind: ProxyType) -> Command {
    Command {
        gives: Some(Program::Frpc),
        operand: " [command]",
        ..command("ssh v0@{address}", "", Act::Tunnel(kind))
    }
}

const VERIFY: Command = command("verify", "Check a configuration file", Act::Verify);

const CONVERT: Command = Command {
    operand: " FILE",
    flags: &[flag(
        "output",
        Takes::Text,
        "File to write; standard output without it.",
    )
    .short('o')],
    ..command(
        "convert",
        "Turn a legacy INI file into the TOML that means the same",
        Act::Convert,
    )
};

const BAN: Command = Command {
    below: &[
        asking("list", "List who is banned", Act::BanList),
        Command {
            operand: " ADDRESS|NETWORK",
            flags: &[
                API_TIMEOUT,
                JSON,
                flag(
                    "time",
                    Takes::Duration,
                    "How long, such as 1h30m; without it until the ban is removed.",
                ),
                flag("reason", Takes::Text, "What for; the list shows it."),
            ],
            ..command(
                "add",
                "Keep an address or a network out of frps and its proxies",
                Act::BanAdd,
            )
        },
        Command {
            operand: " ADDRESS|NETWORK",
            ..asking(
                "remove",
                "Let an address or a network in again",
                Act::BanRemove,
            )
        },
    ],
    ..command("ban", "Who is kept out of the running frps", Act::Group)
};

const TOKEN: Command = Command {
    below: &[
        command(
            "new",
            "Make a token for auth.tokens, and its hash",
            Act::TokenNew,
        ),
        Command {
            flags: &[flag(
                "like",
                Takes::Text,
                "Hash of another token of the same user, whose salt this one shares.",
            )],
            ..command(
                "hash",
                "Read a token from standard input and print its hash",
                Act::TokenHash,
            )
        },
    ],
    ..command("token", "Actions about auth.tokens", Act::Group)
};

const NATHOLE: Command = Command {
    persistent: &[
        flag("nat-hole-stun-server", Takes::Text, "STUN server to ask."),
        flag("nat-hole-local-addr", Takes::Text, "Address to ask from.").short('l'),
    ],
    below: &[Command {
        flags: &[JSON],
        ..command(
            "discover",
            "Find out the kind of NAT by asking a STUN server",
            Act::Discover,
        )
    }],
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

const STRICT: OwnFlag = flag(
    "strict-config",
    Takes::Bool,
    "Unknown keys are errors, not warnings.",
)
.default("true");

const UNSAFE: OwnFlag = flag(
    "allow-unsafe",
    Takes::Texts,
    "Features that are off for safety; there is one: TokenSourceExec.",
);

const EXPLAIN: OwnFlag = flag(
    "explain",
    Takes::Text,
    "Show the meaning of a key, and with -c its value in that file.",
);

const VERSION: OwnFlag = flag("version", Takes::Bool, "Show the version.").short('v');

const API_TIMEOUT: OwnFlag = flag(
    "api-timeout",
    Takes::Duration,
    "Time until the running program must answer.",
)
.default("30s");

const JSON: OwnFlag = flag("json", Takes::Bool, "Show the answer as JSON.");

const ADMIN: &[OwnFlag] = &[API_TIMEOUT];

const ASKING: &[OwnFlag] = &[API_TIMEOUT, JSON];

const RELOAD: Command = Command {
    flags: &[
        API_TIMEOUT,
        flag(
            "confirm",
            Takes::Duration,
            "Bring the former settings and the former file back after this time, such as 60s, unless \
             frpc confirm is run before; so does a restart. The file that was not confirmed is kept as \
             FILE.unconfirmed. Another reload meanwhile takes the file up again, and with --confirm the \
             time begins anew.",
        ),
    ],
    ..command(
        "reload",
        "Make the running frpc read its file again",
        Act::Reload,
    )
};

const fn command(name: &'static str, about: &'static str, act: Act) -> Command {
    Command {
        name,
        about,
        act,
        operand: "",
        flags: &[],
        persistent: &[],
        gives: None,
        below: &[],
    }
}

const fn admin(name: &'static str, about: &'static str, act: Act) -> Command {
    Command {
        flags: ADMIN,
        ..command(name, about, act)
    }
}

/// Whose answer is worth reading.
const fn asking(name: &'static str, about: &'static str, act: Act) -> Command {
    Command {
        flags: ASKING,
        ..command(name, about, act)
    }
}

const fn doctor(about: &'static str) -> Command {
    Command {
        flags: &[JSON],
        ..command("doctor", about, Act::Doctor)
    }
}

const fn proxy(kind: ProxyType, about: &'static str, below: &'static [Command]) -> Command {
    Command {
        gives: Some(Program::Frpc),
        below,
        ..command(kind.as_str(), about, Act::Proxy(kind))
    }
}

const fn visitor(kind: ProxyType, about: &'static str) -> Command {
    command("visitor", about, Act::Visitor(kind))
}

const fn flag(name: &'static str, takes: Takes, about: &'static str) -> OwnFlag {
    OwnFlag {
        name,
        short: None,
        takes,
        about,
        default: None,
    }
}

impl OwnFlag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}
