//! Who is let in: the secret, the wire version, and the process that is meant.

use tokio::sync::watch;

use super::*;
use crate::admission::{Secret, WIRE_VERSION};
use crate::auth::{self, Auth, Credentials, Wire};

fn with_secret(secret: &str) -> Admission {
    Admission::with_secret(Secret::new(secret).unwrap())
}

fn of_version(wire_version: u32) -> Admission {
    Admission { wire_version, ..Admission::default() }
}

/// What a caller with this admission is told by a callee with that one.
async fn ask(caller: Admission, callee: Admission) -> Result<(), Error> {
    let loopback = Loopback::start("auth-1", callee).await;
    let (_, addresses) = watch::channel(Loopback::addresses(&[&loopback]));
    let connect_time_limit = Duration::from_millis(400);
    let settings = Settings { admission: caller, connect_time_limit, ..settings() };
    let auth = auth::Remote::follow(settings, addresses);
    let credentials = Credentials { wire: Wire::Anser, token: String::new(), claimed: None };
    let answer = auth.check(credentials).await.map(drop);
    let asked = loopback.fake.take_calls().len();
    assert_eq!(asked, usize::from(answer.is_ok()), "who is refused has not asked");
    answer
}

#[tokio::test]
async fn who_shows_the_secret_is_let_in() {
    ask(with_secret("one"), with_secret("one")).await.unwrap();
    ask(with_secret("one"), Admission::default()).await.unwrap();
}

#[tokio::test]
async fn who_shows_another_secret_or_none_is_told_so() {
    let error = ask(with_secret("two"), with_secret("one")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("shows another secret"), "{error}");
    assert!(!error.to_string().contains("two"), "a secret stands in an error");
    let error = ask(Admission::default(), with_secret("one")).await.unwrap_err();
    assert!(error.to_string().contains("shows no secret"), "{error}");
    assert_eq!(format!("{:?}", with_secret("two").secret), "Some(Secret)");
}

#[tokio::test]
async fn neighbouring_versions_talk_both_ways() {
    ask(of_version(WIRE_VERSION + 1), of_version(WIRE_VERSION)).await.unwrap();
    ask(of_version(WIRE_VERSION), of_version(WIRE_VERSION + 1)).await.unwrap();
}

#[tokio::test]
async fn versions_that_are_further_apart_are_refused_naming_both() {
    for (caller, callee) in [(WIRE_VERSION + 2, WIRE_VERSION), (WIRE_VERSION, WIRE_VERSION + 2)] {
        let error = ask(of_version(caller), of_version(callee)).await.unwrap_err();
        let words = format!("wire version {callee} does not talk with wire version {caller}");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

#[test]
fn a_secret_is_printable_and_bounded() {
    assert!(Secret::new("").is_err());
    assert!(Secret::new("two words").is_err());
    assert!(Secret::new("\u{e9}").is_err());
    assert!(Secret::new(&"x".repeat(257)).is_err());
    assert!(Secret::new(&"x".repeat(256)).is_ok());
}

#[tokio::test]
async fn a_process_that_took_over_an_address_is_not_mistaken_for_the_one_before() {
    let loopback = Loopback::start("proxy-new", Admission::default()).await;
    let settings = Settings { connect_time_limit: Duration::from_secs(2), ..settings() };
    let proxy = proxy_at(&server("proxy-old"), loopback.address, settings);
    let error = proxy.deliver(vec![delivery(1, 1, 0)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let error = timeout(PATIENCE, async {
        loop {
            let error = proxy.kick(Vec::new()).await.unwrap_err();
            if error.to_string().contains("another process") {
                return error;
            }
        }
    });
    assert!(error.await.unwrap().to_string().contains("proxy-new"));
    assert_eq!(loopback.fake.take_calls(), Vec::<String>::new());
}
