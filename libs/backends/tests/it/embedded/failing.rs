//! A commit that fails: who waits is told so, nothing is written after it, and the next start knows the truth.
//!
//! The test binary starts itself again as a child that may write only so much into a file, so that its journal
//! cannot grow.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use backends::Kind;
use backends::store::Outcome;
use bytes::Bytes;

use super::killed::{answer_of, append, check, message};
use super::*;
use crate::user;

/// Set in the child: the store's URL.
const CHILD_URL: &str = "ANSER_TEST_FAILING_URL";
/// Messages that the parent wrote before.
const BEFORE_COUNT: u64 = 20;
/// Far more than the child can write.
const NUMBER_MAX: u64 = 100_000;

/// Not a test of its own: what the child runs.
#[tokio::test]
async fn the_child_writes_until_a_commit_fails() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let store = store::open(&url).await.unwrap();
    let mut number = BEFORE_COUNT;
    let error = loop {
        number += 1;
        assert!(number < NUMBER_MAX, "a commit must fail");
        match store.append(vec![message(number)]).await.remove(0) {
            Ok(Outcome::Written(answer)) => println!("\nanswered {number} {} .", answer.seq),
            Ok(Outcome::Denied(denied)) => panic!("message {number} was denied: {denied:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Transient, "{error}");

    // Small enough to be written, were it not for the failure before.
    let small = store::Append { content: Bytes::new(), ..message(NUMBER_MAX) };
    for _ in 0..3 {
        let error = store.append(vec![small.clone()]).await.remove(0).unwrap_err();
        assert_eq!(error.kind(), Kind::Transient, "{error}");
        assert!(error.to_string().contains("until it is opened again"), "{error}");
    }
    let page = store.inbox_page(&user("user-0"), 1, 0, 10).await.unwrap();
    assert!(!page.rows.is_empty(), "what is there can still be read");
    println!("\nall refused");
}

#[tokio::test]
async fn after_a_commit_that_failed_nothing_is_written_until_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::open(&url(&folder)).await.unwrap();
    let mut answered = BTreeMap::new();
    for number in 1..=BEFORE_COUNT {
        let answer = append(&store, number).await;
        answered.insert(number, answer.seq);
    }
    drop(store);
    // Opened twice: the journal of a start that was not the first has no room set aside.
    drop(store::open(&url(&folder)).await.unwrap());

    let limited = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::failing::the_child_writes_until_a_commit_fails", "--nocapture"])
        .env(CHILD_URL, url(&folder))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all refused"), "{said}\n{complained}");
    answered.extend(said.lines().filter_map(answer_of));
    assert!(answered.len() as u64 > BEFORE_COUNT, "the child must have written something");

    let store = store::open(&url(&folder)).await.unwrap();
    check(&store, &answered).await;
    assert_eq!(append(&store, NUMBER_MAX).await.message_id, NUMBER_MAX);
}
