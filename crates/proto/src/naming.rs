//! Names on the wire. Those of proxies have frpc's `user` in front (frp `pkg/naming/names.go`).

/// A new run id, of random bytes: 16 hexadecimal digits (frp `pkg/util/util/util.go`: RandID).
pub fn run_id(random: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(random))
}

/// The name a proxy has between frpc and frps: `user.name`, or `name` when `user` is empty.
pub fn wire_name(user: &str, name: &str) -> String {
    if user.is_empty() {
        return name.to_owned();
    }
    format!("{user}.{name}")
}

/// The configured name behind `wire`: exactly one leading `user.` is taken off, if it is there.
pub fn raw_name<'a>(user: &str, wire: &'a str) -> &'a str {
    if user.is_empty() {
        return wire;
    }
    wire.strip_prefix(user)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(wire)
}

/// The wire name of the proxy a visitor wants: `server_user` counts when set, else the visitor's
/// own `local_user`.
pub fn target_wire_name(local_user: &str, server_user: &str, server_name: &str) -> String {
    let user = if server_user.is_empty() {
        local_user
    } else {
        server_user
    };
    wire_name(user, server_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_has_sixteen_digits_whatever_they_are() {
        assert_eq!(run_id([0, 0, 0, 0, 0, 0, 0, 0xa]), "000000000000000a");
        assert_eq!(run_id([0xfe; 8]), "fefefefefefefefe");
    }

    #[test]
    fn prefix_is_added_only_for_a_user() {
        assert_eq!(wire_name("", "test"), "test");
        assert_eq!(wire_name("alice", "test"), "alice.test");
    }

    #[test]
    fn only_one_exact_prefix_is_taken_off() {
        assert_eq!(raw_name("", "test"), "test");
        assert_eq!(raw_name("alice", "alice.test"), "test");
        assert_eq!(raw_name("alice", "alice.alice.test"), "alice.test");
        assert_eq!(raw_name("alice", "bob.test"), "bob.test");
        assert_eq!(raw_name("alice", "alicetest"), "alicetest");
    }

    #[test]
    fn server_user_overrides_the_local_one() {
        assert_eq!(target_wire_name("alice", "", "test"), "alice.test");
        assert_eq!(target_wire_name("alice", "bob", "test"), "bob.test");
    }
}
