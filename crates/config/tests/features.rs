//! What a build lacks is an error that names it, wherever a file asks for it.
#![allow(clippy::unwrap_used)]

use frp_config::{
    Build, Environment, Feature, LoadOptions, Purpose, Transport, TransportProtocol, cli,
    parse_client, parse_server,
};

const BARE: Build = Build {
    program: "frpc",
    lacks: &[
        Feature::Quic,
        Feature::Kcp,
        Feature::Websocket,
        Feature::Http,
        Feature::Oidc,
        Feature::Pages,
        Feature::Xtcp,
        Feature::Top,
    ],
};

fn options(purpose: Purpose) -> LoadOptions {
    LoadOptions {
        build: BARE,
        ..LoadOptions::new(purpose)
    }
}

#[test]
fn a_file_that_needs_none_of_them_is_good() {
    let proxy = "[[proxies]]\nname = \"a\"\ntype = \"tcp\"\nlocalPort = 1\n";
    let plugin = "[proxies.plugin]\ntype = \"socks5\"\n";
    for purpose in [Purpose::Run, Purpose::Verify] {
        let loaded = parse_client(&format!("{proxy}{plugin}"), "f", &options(purpose));
        assert_eq!(loaded.unwrap().warnings, []);
        let text = "quicBindPort = 0\nwebServer.port = 0\nwebServer.user = \"a\"\n";
        assert_eq!(
            parse_server(text, "f", &options(purpose)).unwrap().warnings,
            []
        );
    }
}

#[test]
fn an_error_has_its_place_and_its_feature_whatever_the_purpose_is() {
    for purpose in [Purpose::Run, Purpose::Verify] {
        let error = |text: &str| parse_client(text, "f", &options(purpose)).unwrap_err();
        assert_eq!(
            error("user = \"a\"\ntransport.protocol = \"quic\"\n").to_string(),
            "f:2:22: transport.protocol = \"quic\": this frpc was built without the feature \
             \"quic\"; remove it, or take a build of frpc that has it"
        );
        let plugin = parse_server(
            "[[httpPlugins]]\naddr = \"a.test:1\"\n",
            "f",
            &options(purpose),
        );
        let plugin = plugin.unwrap_err().to_string();
        assert!(
            plugin.starts_with(
                "f:1:3: httpPlugins: this frpc was built without the feature \"http\""
            ),
            "{plugin}"
        );
        let direct = error("[[proxies]]\nname = \"a\"\ntype = \"xtcp\"\nlocalPort = 1\n");
        assert_eq!(
            direct.to_string(),
            "f:3:8: proxy a: type = \"xtcp\": this frpc was built without the feature \"xtcp\"; \
             remove it, or take a build of frpc that has it"
        );
        // The INI form is judged by the same definitions.
        let ini = error("[common]\nprotocol = kcp\n").to_string();
        assert!(
            ini.contains("protocol = \"kcp\": this frpc was built without the feature \"kcp\""),
            "{ini}"
        );
    }
}

#[test]
fn auto_chooses_among_what_there_is() {
    let text = "transport.protocol = \"auto\"\n";
    let loaded = parse_client(text, "f", &options(Purpose::Run)).unwrap();
    let Transport::Auto(order) = loaded.settings.transport.protocol else {
        panic!("not auto");
    };
    assert!(
        order
            .iter()
            .all(|way| way.protocol == TransportProtocol::Tcp)
    );
    let text = "transport.protocol = \"auto\"\ntransport.order = [\"tcp\", \"wss:443\"]\n";
    let error = parse_client(text, "f", &options(Purpose::Run)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"wss:443\": this frpc was built")
    );
}

#[test]
fn a_command_that_the_build_lacks_says_so() {
    let args = vec!["top".to_owned()];
    let asked = cli::server(args, Environment::default(), "0.70.1", BARE);
    let text = asked.unwrap_err().text;
    let expected = "frps top: this frpc was built without the feature \"top\"\n";
    assert_eq!(text, expected);
}
