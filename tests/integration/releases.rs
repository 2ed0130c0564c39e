//! Whatever works between a release of frp and 0.70.1 works between that release and ours. The
//! whole table, with what does not work, is printed by `cargo run -p frp-tests --bin matrix`.
//! Skipped where `FRP_REFERENCE_DIR` does not name both releases.

use frp_tests::Side;
use frp_tests::releases::{CASES, Case, Direction, Release, STANDARD, Version, play};
use futures_util::{StreamExt as _, stream};

/// Cells played at once by one test.
const AT_ONCE: usize = 3;

fn release(version: Version) -> Option<Release> {
    let side = Side::reference(&version.to_string())?;
    Some(Release { version, side })
}

async fn ours_do_as_well(version: Version, direction: Direction) {
    let (Some(old), Some(standard)) = (release(version), release(STANDARD)) else {
        return;
    };
    let ours = Release::ours();
    let cases = CASES.iter().filter(|case| case.direction == direction);
    let plays = cases.map(async |case: &Case| {
        if !play(case, &old, &standard).await.works() {
            return None;
        }
        let outcome = play(case, &old, &ours).await;
        (!outcome.works()).then(|| format!("{}: {outcome}: {}", case.name, outcome.reason()))
    });
    let worse = stream::iter(plays)
        .buffered(AT_ONCE)
        .filter_map(async |worse| worse);
    let worse: Vec<_> = worse.collect().await;
    assert!(
        worse.is_empty(),
        "works with {STANDARD}, not with ours: {worse:#?}"
    );
}

/// Two tests for each release.
macro_rules! releases {
    ($($name:ident: $version:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn its_frps_serves_our_frpc() {
                ours_do_as_well($version, Direction::OldServer).await;
            }

            #[tokio::test]
            async fn our_frps_serves_its_frpc() {
                ours_do_as_well($version, Direction::OldClient).await;
            }
        }
    )*};
}

releases! {
    v0_28_2: Version(0, 28, 2);
    v0_33_0: Version(0, 33, 0);
    v0_38_0: Version(0, 38, 0);
    v0_44_0: Version(0, 44, 0);
    v0_52_3: Version(0, 52, 3);
    v0_61_0: Version(0, 61, 0);
    v0_65_0: Version(0, 65, 0);
    v0_69_1: Version(0, 69, 1);
    v0_70_1: STANDARD;
}
