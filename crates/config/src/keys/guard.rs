//! Settings of guards: who may come to exposed ports, and how often. frp has none of them.

use std::time::Duration;

use frp_proto::network::Network;

use super::key::Rule;

settings! {
    /// `guard.*` of frps.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Guards {
        /// For all proxies together.
        flat rules: GuardRules;
        ban: BanRules = "ban" "Bans of sources that fail again and again.";
        proxies: Vec<GuardedProxies> = "proxies"
            "The same for each proxy of certain names, in addition: a user must pass all that fit.";
    }
}

settings! {
    /// What users must pass.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct GuardRules {
        allow_ips: Vec<Network> = "allowIPs"
            "Addresses and networks that users may come from; without it and allowIPFiles, from everywhere.";
        deny_ips: Vec<Network> = "denyIPs" "Addresses and networks that users may not come from.";
        allow_ip_files: Vec<String> = "allowIPFiles"
            "Files of such, one a line, with comments behind # or ;. They are read again when they change.";
        deny_ip_files: Vec<String> = "denyIPFiles" "The same for those that users may not come from.";
        max_conns_per_minute: u64 = "maxConnsPerMinute"
            "New connections of a source within any minute; 0 for any number. A source is an address of IPv4, or a \
             /64 of IPv6.";
        max_conns_per_source: u64 = "maxConnsPerSource"
            "Connections of a source at a time; 0 for any number.";
        max_conns: u64 = "maxConns" "Connections at a time; 0 for any number.";
    }
}

settings! {
    /// One entry of `guard.proxies`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct GuardedProxies {
        name: String = "name"
            "Name of a proxy as frps has it, with its user; * stands for anything, ? for one character.";
        /// What users of each must pass.
        flat rules: GuardRules;
    }
}

settings! {
    /// `guard.ban.*`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BanRules {
        failures: u64 = "failures"
            "Failed logins, or failed passwords that frpc reports, of a source within the window until it is banned; \
             negative for never."
            .int(5);
        window: Duration = "window" "Seconds in which they count." .int(600) .rule(Rule::NotNegative);
        time: Duration = "time" "Seconds of a source's first ban; each further one is twice as long."
            .int(60) .rule(Rule::NotNegative);
        max_time: Duration = "maxTime" "Seconds of the longest ban." .int(86_400) .rule(Rule::NotNegative);
        except_ips: Vec<Network> = "exceptIPs" "Addresses and networks that are never banned for failures."
            .depends("127.0.0.0/8 and ::1");
    }
}

settings! {
    /// `guard.*` of a proxy of frpc, which asks frps for it.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ProxyGuard {
        allow_ips: Vec<Network> = like GuardRules::allow_ips;
        deny_ips: Vec<Network> = like GuardRules::deny_ips;
        max_conns_per_minute: u64 = like GuardRules::max_conns_per_minute;
        max_conns_per_source: u64 = like GuardRules::max_conns_per_source;
        max_conns: u64 = like GuardRules::max_conns;
    }
}

impl ProxyGuard {
    /// Whether it asks for anything.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self != Self::default()
    }
}
