//! Files beside the configuration: what the programs keep themselves, what their owners write, and the system's.

/// Files of frps: traffic, bans, lists of addresses, keys that may log in by ssh.
pub fn frps(data: &[u8]) {
    frps::fuzzed::traffic_file(data);
    frps::fuzzed::bans_file(data);
    let text = String::from_utf8_lossy(data);
    frps::fuzzed::address_list(&text);
    frps::fuzzed::authorized_keys(&text);
}

/// The log of a ssh server behind frpc.
pub fn sshd_log(data: &[u8]) {
    frpc::fuzzed::sshd_log(data);
}

/// Files of frpc: known servers, certificates, and the system's about names and routes.
pub fn frpc(data: &[u8]) {
    frpc::fuzzed::known_servers(data);
    frp_net::fuzzed::certificate(data);
    let text = String::from_utf8_lossy(data);
    frpc::fuzzed::routes(&text);
    frp_net::fuzzed::name_files(&text);
}
