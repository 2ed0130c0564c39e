//! Short storms over clients of every transport and their users: all are back soon, nothing is left, and nobody was
//! told that all had arrived when it had not. The long ones are those of `storms` (`tests/src/storms`).

use std::time::Duration;

use frp_tests::Side;
use frp_tests::storm::exchange::End;
use frp_tests::storm::scene::{Scene, Way, Weather};

/// So that a dead connection is found out in time for a test.
const QUICK: [&str; 2] = [
    "transport.tcpMuxKeepaliveInterval = 1\ntransport.heartbeatTimeout = 4\n\
     transport.quic.keepalivePeriod = 1\ntransport.quic.maxIdleTimeout = 4\n",
    "transport.tcpMuxKeepaliveInterval = 1\ntransport.heartbeatInterval = 1\ntransport.heartbeatTimeout = 4\n\
     transport.quic.keepalivePeriod = 1\ntransport.quic.maxIdleTimeout = 4\n",
];

/// Back, or at rest, after at most this: the mux waits ten seconds for an answer.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn after_every_storm_all_is_there_and_nothing_more() {
    const SECOND: Duration = Duration::from_secs(1);
    let side = Side::Ours;
    let Some(mut scene) = Scene::begin(&side, &side, &Way::ALL, QUICK).await else {
        return;
    };
    scene.let_users_in();
    for (weather, length) in [
        (Weather::Rough, SECOND * 2),
        (Weather::Parted, SECOND),
        (Weather::BoxRestarted, Duration::ZERO),
        (Weather::Moved, Duration::ZERO),
        (Weather::NamesLost, SECOND / 2),
        (Weather::ClientsKilled, SECOND / 2),
    ] {
        if weather == Weather::NamesLost {
            // From here on programs are killed: what the system then says to those at their other ends looks whole.
            for pair in &scene.pairs {
                assert_eq!(pair.tally.lies(), 0, "{:?}: {:?}", pair.way, pair.tally);
            }
        }
        scene.storm(weather, length).await;
        let back = scene.back(SOON).await;
        println!("{}: {back:?}", weather.name());
        assert!(
            back.iter().all(Option::is_some),
            "{}: {back:?}",
            weather.name()
        );
    }
    scene.send_users_away().await;
    let left = scene.calm(SOON).await;
    println!("{left:?}");
    for (pair, left) in scene.pairs.iter().zip(left) {
        let rest = pair.sockets_at_rest();
        assert!(
            left.is_ok(),
            "{:?}: {left:?}; sockets before: {rest:?}",
            pair.way
        );
        assert!(
            pair.tally.of(End::Whole) > 5,
            "{:?}: {:?}",
            pair.way,
            pair.tally
        );
    }
}
