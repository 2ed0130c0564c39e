//! Races on a clock of the test's own.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// What happens on a way, in milliseconds; None: nothing, ever.
#[derive(Clone, Copy, Debug)]
struct Script {
    connect: (Option<u64>, Result<(), &'static str>),
    login: (Option<u64>, Answer),
    /// As over UDP.
    deaf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Yes,
    No,
    /// The server itself says no.
    Final,
}

const fn way(connect: u64, login: u64) -> Script {
    Script {
        connect: (Some(connect), Ok(())),
        login: (Some(login), Answer::Yes),
        deaf: false,
    }
}

const fn fails_to_connect(after: u64) -> Script {
    Script {
        connect: (Some(after), Err("connect")),
        login: (None, Answer::No),
        deaf: false,
    }
}

/// Nobody listens.
const ABSENT: Script = Script {
    connect: (Some(10), Err("absent")),
    login: (None, Answer::No),
    deaf: false,
};

const SILENT: Script = Script {
    connect: (None, Err("")),
    login: (None, Answer::No),
    deaf: false,
};

const DEAF: Script = deaf(SILENT);

const fn deaf(script: Script) -> Script {
    Script {
        deaf: true,
        ..script
    }
}

/// Connects at once and takes the login, and that is all.
const SWALLOWS: Script = Script {
    connect: (Some(0), Ok(())),
    login: (None, Answer::No),
    deaf: false,
};

const fn answers(script: Script, login: u64, answer: Answer) -> Script {
    Script {
        login: (Some(login), answer),
        ..script
    }
}

#[derive(Default)]
struct Seen {
    /// What has happened: `+` begins and `-` ends without an answer, `c` to connect and `l` to log
    /// in.
    events: Mutex<Vec<String>>,
    /// Logins on their way, and the most that were at a time.
    logins: AtomicUsize,
    most: AtomicUsize,
}

impl Seen {
    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
    }
}

/// Something that goes on; notes when it is dropped before its end.
struct Open<'a> {
    seen: &'a Seen,
    what: String,
    ended: bool,
}

impl<'a> Open<'a> {
    fn new(seen: &'a Seen, what: String) -> Self {
        seen.note(format!("+{what}"));
        if what.starts_with('l') {
            let logins = seen.logins.fetch_add(1, Ordering::Relaxed) + 1;
            seen.most.fetch_max(logins, Ordering::Relaxed);
        }
        let ended = false;
        Self { seen, what, ended }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.what.starts_with('l') {
            self.seen.logins.fetch_sub(1, Ordering::Relaxed);
        }
        if !self.ended {
            self.seen.note(format!("-{}", self.what));
        }
    }
}

struct Scripted {
    scripts: Vec<Script>,
    credentials: (u64, Result<(), &'static str>),
    seen: Seen,
}

impl Scripted {
    async fn after(&self, what: String, time: Option<u64>) {
        let mut open = Open::new(&self.seen, what);
        match time {
            Some(time) => tokio::time::sleep(Duration::from_millis(time)).await,
            None => std::future::pending().await,
        }
        open.ended = true;
    }
}

impl Runner for Scripted {
    type Ready = ();
    type Credentials = ();
    type Won = usize;
    type Error = &'static str;

    async fn connect(&self, way: usize) -> Result<(), &'static str> {
        let (time, connected) = self.scripts[way].connect;
        self.after(format!("c{way}"), time).await;
        connected
    }

    async fn credentials(&self) -> Result<(), &'static str> {
        let (time, given) = self.credentials;
        if time > 0 {
            self.after("t".to_owned(), Some(time)).await;
        }
        given
    }

    async fn login(&self, way: usize, (): (), (): ()) -> Result<usize, &'static str> {
        let (time, answer) = self.scripts[way].login;
        self.after(format!("l{way}"), time).await;
        match answer {
            Answer::Yes => Ok(way),
            Answer::No => Err("login"),
            Answer::Final => Err("final"),
        }
    }

    fn is_final(error: &&'static str) -> bool {
        *error == "final"
    }

    fn is_absent(&self, _: usize, error: &&'static str) -> bool {
        *error == "absent"
    }

    fn is_deaf(&self, way: usize) -> bool {
        self.scripts[way].deaf
    }
}

const PATIENCE: Duration = Duration::from_millis(1500);

/// What came of it in words, after how many milliseconds, and what had happened on the way.
async fn run(scripts: &[Script]) -> (String, u128, String) {
    let order: Vec<usize> = (0..scripts.len()).collect();
    run_in(&order, scripts, (0, Ok(()))).await
}

/// The same where it takes so long to get the credentials, and this comes of it.
async fn run_with(
    credentials: (u64, Result<(), &'static str>),
    scripts: &[Script],
) -> (String, u128, String) {
    let order: Vec<usize> = (0..scripts.len()).collect();
    run_in(&order, scripts, credentials).await
}

async fn run_in(
    order: &[usize],
    scripts: &[Script],
    credentials: (u64, Result<(), &'static str>),
) -> (String, u128, String) {
    let runner = Scripted {
        scripts: scripts.to_vec(),
        credentials,
        seen: Seen::default(),
    };
    let start = Instant::now();
    let words = |losers: Vec<Loser<&str>>| -> String {
        let word = |(way, lost): Loser<&str>| match lost {
            Lost::Failed(error) => format!(" {way}:{error}"),
            Lost::Silent { after, login } => {
                let what = if login { "login" } else { "silent" };
                format!(" {way}:{what}:{}", after.as_millis())
            }
        };
        losers.into_iter().map(word).collect()
    };
    let outcome = match race(&runner, order, PATIENCE).await {
        Outcome::Won { way, won, losers } => {
            assert_eq!(way, won);
            format!("won {way}{}", words(losers))
        }
        Outcome::Refused(way, error) => format!("refused {way} {error}"),
        Outcome::AllFailed(losers) => format!("failed{}", words(losers)),
    };
    let Seen { events, most, .. } = &runner.seen;
    assert!(most.load(Ordering::Relaxed) <= 1, "two logins at a time");
    let seen = events.lock().unwrap().join(" ");
    (outcome, start.elapsed().as_millis(), seen)
}

#[tokio::test(start_paused = true)]
async fn the_first_way_has_a_head_start_and_wins_alone() {
    let (outcome, after, seen) = run(&[way(200, 100), way(0, 0)]).await;
    assert_eq!((outcome.as_str(), after), ("won 0", 300));
    assert_eq!(seen, "+c0 +l0");
}

#[tokio::test(start_paused = true)]
async fn a_silent_way_holds_up_the_next_for_its_head_start_only() {
    let (outcome, after, seen) = run(&[SILENT, SILENT, way(50, 50)]).await;
    assert_eq!(outcome, "won 2 0:silent:1100 1:silent:600");
    assert_eq!(after, 1100);
    // In which order they are let go of is all the same.
    let ended = seen.strip_prefix("+c0 +c1 +c2 +l2 ").unwrap();
    assert!(["-c0 -c1", "-c1 -c0"].contains(&ended), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn a_way_that_fails_makes_room_at_once() {
    let (outcome, after, _) = run(&[fails_to_connect(10), fails_to_connect(20), way(1, 1)]).await;
    assert_eq!((outcome.as_str(), after), ("won 2 0:connect 1:connect", 32));
    let reset = answers(way(5, 0), 5, Answer::No);
    let (outcome, after, _) = run(&[reset, way(1, 1)]).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:login", 12));
}

#[tokio::test(start_paused = true)]
async fn a_slow_way_that_works_wins_over_none() {
    let (outcome, after, _) = run(&[way(4000, 4000), SILENT]).await;
    assert_eq!((outcome.as_str(), after), ("won 0", 8000));
}

/// Never two logins at a time, and no login after another was answered.
#[tokio::test(start_paused = true)]
async fn logins_wait_for_each_other() {
    let (outcome, _, seen) = run(&[way(600, 200), way(101, 0)]).await;
    assert_eq!(outcome, "won 0");
    assert_eq!(seen, "+c0 +c1 +l0");
    // One that was ready and had to wait has nothing to be blamed for.
    let (outcome, _, seen) = run(&[way(700, 0), way(100, 200)]).await;
    assert_eq!(outcome, "won 1");
    assert_eq!(seen, "+c0 +c1 +l1");
}

#[tokio::test(start_paused = true)]
async fn a_swallowed_login_is_given_up_for_one_that_is_ready() {
    let (outcome, after, seen) = run(&[SWALLOWS, way(100, 100)]).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:login:1500", 1600));
    // The first is closed before the second login is sent.
    assert_eq!(seen, "+c0 +l0 +c1 -l0 +l1");
    // Nobody else is ready: it has all the time that its own limit gives it.
    let slow = answers(SWALLOWS, 9000, Answer::Yes);
    let (outcome, after, _) = run(&[slow, SILENT]).await;
    assert_eq!((outcome.as_str(), after), ("won 0", 9000));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_is_said_once() {
    let refused = answers(way(10, 0), 10, Answer::Final);
    let (outcome, after, seen) = run(&[refused, way(0, 0)]).await;
    assert_eq!((outcome.as_str(), after), ("refused 0 final", 20));
    assert_eq!(seen, "+c0 +l0");
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_each_says_why() {
    let (outcome, after, _) = run(&[fails_to_connect(3000), fails_to_connect(10)]).await;
    assert_eq!(
        (outcome.as_str(), after),
        ("failed 1:connect 0:connect", 3000)
    );
    let (outcome, _, _) = run(&[]).await;
    assert_eq!(outcome, "failed");
}

/// A frps that is down is to be found soon after it is back, though UDP has no word for that.
#[tokio::test(start_paused = true)]
async fn where_nobody_listens_the_deaf_ones_are_not_waited_for_long() {
    let (outcome, after, _) = run(&[ABSENT, DEAF, DEAF]).await;
    assert_eq!(outcome, "failed 0:absent 1:silent:3500 2:silent:3000");
    assert_eq!(after, 3510);
    let (outcome, after, _) = run(&[ABSENT, deaf(way(2900, 9000))]).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:absent", 11_910));
    // Also where the last that could have heard it fails later than that.
    let (outcome, after, _) = run(&[ABSENT, fails_to_connect(8000), DEAF]).await;
    assert_eq!(outcome, "failed 0:absent 1:connect 2:silent:7500");
    assert_eq!(after, 8010);
}

/// One port that is closed says nothing of the others.
#[tokio::test(start_paused = true)]
async fn one_refused_way_hurries_none_that_would_have_heard_the_same() {
    let (outcome, after, _) = run(&[ABSENT, way(9000, 0), DEAF]).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:absent", 9010));
    let mut many = vec![ABSENT];
    many.extend([DEAF; 8]);
    many.push(way(0, 0));
    let (outcome, after, _) = run(&many).await;
    assert!(outcome.starts_with("won 9 "), "{outcome}");
    assert_eq!(after, 4010);
}

/// A slow issuer is no fault of the way, and is asked once.
#[tokio::test(start_paused = true)]
async fn how_long_the_credentials_take_counts_against_no_way() {
    let (outcome, after, seen) = run_with((8000, Ok(())), &[way(10, 100), way(10, 0)]).await;
    assert_eq!((outcome.as_str(), after), ("won 0", 8110));
    assert_eq!(seen, "+c0 +t +l0");
    let (outcome, after, _) = run_with((8000, Ok(())), &[ABSENT, deaf(way(10, 100))]).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:absent", 8120));
    let swallowed = &[SWALLOWS, way(100, 100)];
    let (outcome, after, seen) = run_with((8000, Ok(())), swallowed).await;
    assert_eq!((outcome.as_str(), after), ("won 1 0:login:1500", 9600));
    assert_eq!(seen, "+c0 +t +l0 +c1 -l0 +l1");
}

/// A credential that cannot be had ends the race before any login is sent, and so takes none away.
#[tokio::test(start_paused = true)]
async fn without_credentials_there_is_no_login() {
    let (outcome, after, seen) = run_with((700, Err("none")), &[SILENT, way(10, 0)]).await;
    assert_eq!((outcome.as_str(), after), ("refused 1 none", 1210));
    assert_eq!(seen, "+c0 +c1 +t -c0");
}

#[tokio::test(start_paused = true)]
async fn the_order_is_the_callers() {
    let (outcome, after, seen) =
        run_in(&[2, 0], &[way(0, 0), way(0, 0), way(10, 10)], (0, Ok(()))).await;
    assert_eq!((outcome.as_str(), after), ("won 2", 20));
    assert_eq!(seen, "+c2 +l2");
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let time = || proptest::option::weighted(0.8, 0..4000_u64);
    let connected =
        prop_oneof![2 => Just(Ok(())), 1 => Just(Err("connect")), 1 => Just(Err("absent"))];
    let answer = prop_oneof![Just(Answer::Yes), Just(Answer::No)];
    let script = (time(), connected, time(), answer, any::<bool>()).prop_map(
        |(connects, connected, answers, answer, deaf)| Script {
            connect: (connects, connected),
            login: (answers, answer),
            deaf,
        },
    );
    proptest::collection::vec(script, 0..6)
}

/// Whether a way has a chance in any race: nothing that it does takes longer than it may.
fn carries(script: &Script) -> bool {
    let soon = script.login.0.is_some_and(|time| time < 1500);
    // What a deaf way may take where nobody listens elsewhere.
    let connects = script
        .connect
        .0
        .is_some_and(|time| !script.deaf || time < 3000);
    script.connect.1.is_ok() && connects && soon && script.login.1 == Answer::Yes
}

proptest! {
    /// Whatever the ways do: one login at a time (which `run` checks), none after an answered one,
    /// and a way that carries a login is found.
    #[test]
    fn a_way_that_works_is_found(scripts in scripts(), asking in 0..4000_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let limit = Duration::from_secs(60);
        let raced = runtime.block_on(async {
            tokio::time::timeout(limit, run_with((asking, Ok(())), &scripts)).await
        });
        let works = scripts.iter().any(carries);
        match raced {
            Ok((outcome, _, seen)) if outcome.starts_with("won") => {
                let winner = outcome.split(' ').nth(1).unwrap();
                let last = seen.split(' ').rfind(|event| event.starts_with("+l"));
                prop_assert_eq!(last.unwrap(), format!("+l{winner}"));
            }
            // Somebody is silent for ever, where the real ones have limits of their own.
            _ => prop_assert!(!works),
        }
    }
}
