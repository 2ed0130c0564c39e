//! What to do about a proxy that does not run, as far as the text of its error tells (frp `server/ports/ports.go`,
//! `server/proxy`, `pkg/util/vhost`).

/// Texts that stand in an error, and the cure.
const KNOWN: [(&str, &str); 17] = [
    (
        "port already used",
        "another proxy of frps has the port: choose another remotePort, or close that proxy",
    ),
    (
        "port unavailable",
        "another program on the server's machine has the port: stop it, or choose another remotePort",
    ),
    (
        "port not allowed",
        "allowPorts of frps has no such port: choose one that it has, or have it added there",
    ),
    (
        "no available port",
        "all ports of allowPorts are taken: have more added there, or close proxies",
    ),
    (
        "exceed the max_ports_per_client",
        "maxPortsPerClient of frps is used up: use fewer ports, or have it raised there",
    ),
    (
        "router config conflict",
        "another proxy has this domain with this location: choose another, or put both in one loadBalancer.group",
    ),
    (
        "should not belong to subdomain host",
        "use subdomain for names below subDomainHost of frps, and customDomains for others only",
    ),
    (
        "subdomain is not supported",
        "frps has no subDomainHost: have it set there, or use customDomains",
    ),
    (
        "custom domains and subdomain should set at least one",
        "set customDomains or subdomain",
    ),
    ("vhost http port not set", "have vhostHTTPPort set in frps"),
    (
        "vhost https port not set",
        "have vhostHTTPSPort set in frps",
    ),
    (
        "proxy name",
        "another client has a proxy of this name: set user of this client, or another name",
    ),
    (
        "already exists",
        "another client has a proxy of this name: set user of this client, or another name",
    ),
    (
        "group",
        "members of a group need the same port, domain and loadBalancer.groupKey",
    ),
    (
        "not supported",
        "the server does not know this type: update it, or use another type",
    ),
    (
        "connect to local service",
        "start the local service, and see that localIP and localPort are where it listens",
    ),
    (
        "no such file",
        "see that the file that the plugin names is there and can be read",
    ),
];

/// The cure of `error`, which a proxy with this status has.
pub(crate) fn cure(status: &str, error: &str) -> Option<&'static str> {
    if status == "check failed" {
        return Some(
            "the health check fails: start the local service, or mend healthCheck of the proxy",
        );
    }
    let known = KNOWN.iter().find(|(text, _)| error.contains(text));
    let known = known.map(|(_, cure)| *cure);
    known.or_else(|| (!error.is_empty()).then_some("the log of frps says more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frps_says_has_a_cure() {
        for (error, cures) in [
            ("port already used", "remotePort"),
            ("port not allowed", "allowPorts"),
            ("router config conflict", "domain"),
            (
                "connect to local service [127.0.0.1:1] error: connection refused",
                "localPort",
            ),
            ("something else", "log of frps"),
        ] {
            let found = cure("start error", error).unwrap_or_default();
            assert!(found.contains(cures), "{error}: {found}");
        }
        assert_eq!(cure("running", ""), None);
        assert!(cure("check failed", "").is_some());
    }
}
