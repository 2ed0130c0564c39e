//! Annotations and metadatas travel with a registration, between ours and theirs.

use frp_tests::http::get;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;

/// What the server's HTTP API shows of a proxy with annotations. Metadatas are for plugins of the
/// server, and no API shows them.
async fn shown(server: &Side, client: &Side) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let web = free_port();
    let lines = format!(
        "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
    );
    let frps = rig.frps_of(server, &lines).await;
    let proxy = tcp_proxy(
        "web",
        service.port,
        free_port(),
        "annotations = { team = \"a b\", \"frp.e2e/x\" = \"\\u00fc\" }\nmetadatas = { k = \"v\" }",
    );
    let frpc = rig.frpc_of(client, frps.port, &format!("user = \"me\"\n{proxy}"));
    frpc.expect("[web] start proxy success").await;
    let answer = get(web, "/api/proxy/tcp/me.web").await.json();
    let annotations = &answer["conf"]["annotations"];
    assert_eq!(annotations["team"], "a b", "{answer}");
    assert_eq!(annotations["frp.e2e/x"], "ü", "{answer}");
    let count = annotations.as_object().map(serde_json::Map::len);
    assert_eq!(count, Some(2), "{answer}");
}

#[tokio::test]
async fn annotations_arrive_at_the_api() {
    shown(&Side::Ours, &Side::Ours).await;
    if let Some(theirs) = Side::reference("0.70.1") {
        shown(&Side::Ours, &theirs).await;
        shown(&theirs, &Side::Ours).await;
    }
}
