//! Faults of the server and of other processes: what was answered is there, and nothing is there twice.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backends::store::{Append, Appended, Outcome};
use backends::{Error, Kind};

use super::together::{assert_whole, message};
use super::*;
use crate::within;

async fn send(store: &Arc<dyn Store>, append: Append) -> Result<Appended, Error> {
    match store.append(vec![append]).await.remove(0)? {
        Outcome::Written(appended) => Ok(appended),
        Outcome::Denied(denied) => panic!("nothing is guarded: {denied:?}"),
    }
}

/// Writers that send one message after another until they are stopped, each again until it is answered.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<usize>>,
}

impl Writers {
    fn start(store: &Arc<dyn Store>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(0));
        let writer = || {
            let (store, stop, next) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(&next));
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut tries = 0;
                    while let Err(error) = send(&store, message(number)).await {
                        assert_eq!(error.kind(), Kind::Transient, "{error}");
                        tries += 1;
                        assert!(tries < 10, "{error}");
                    }
                    written += 1;
                }
                written
            })
        };
        let tasks = (0..16).map(|_| writer()).collect();
        Self { stop, tasks }
    }

    /// Ends them; answers how many messages were answered.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = 0;
        for task in self.tasks {
            written += within(task).await.unwrap();
        }
        written
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_once_when_the_server_is_killed_and_comes_back() {
    let product = Product::start("mariadb", 1);
    let url = store_on(&product).await;
    let store = store::open(&url).await.unwrap();
    let writers = Writers::start(&store);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| {
            product.kill("mariadb-1");
            product.restart("mariadb-1");
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = writers.stop().await;
    assert!(written > 100, "{written}");
    assert_whole(&store, written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_in_the_middle_of_commits_write_nothing_twice() {
    let product = mariadb();
    let url = store_on(product).await;
    let store = store::open(&url).await.unwrap();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    let writers = Writers::start(&store);
    let kill = format!(
        "SET @found = (SELECT id FROM information_schema.processlist WHERE db = '{database}' \
         AND id <> CONNECTION_ID() AND command <> 'Sleep' ORDER BY RAND() LIMIT 1); \
         BEGIN NOT ATOMIC IF @found IS NOT NULL THEN KILL @found; END IF; END"
    );
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        // One that has ended by itself meanwhile cannot be ended.
        if let Ok(mut connection) = MySqlConnection::connect(product.env("MARIADB_URL")).await {
            drop(connection.execute(AssertSqlSafe(kill.clone())).await);
        }
    }
    let written = writers.stop().await;
    assert!(written > 100, "{written}");
    assert_whole(&store, written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_somebody_holds_keeps_nobody_else_waiting_for_long() {
    let url = store_on(mariadb()).await;
    let store = store::open(&url).await.unwrap();
    // Each is a note to oneself: of user-1, user-2, user-3.
    let [held, one, other] = [5, 10, 15];
    for number in [held, one, other] {
        send(&store, message(number)).await.unwrap();
    }
    // The inbox of user-1 is held by a process that is paused in its transaction.
    let mut paused = MySqlConnection::connect(&url).await.unwrap();
    let hold = "SET idle_transaction_timeout = 4; START TRANSACTION; SELECT * FROM inboxes WHERE user = 'user-1' FOR UPDATE";
    paused.execute(AssertSqlSafe(hold)).await.unwrap();
    let begun = Instant::now();
    let (held, one, other) = tokio::join!(
        async { (send(&store, message(112 + held)).await, begun.elapsed()) },
        async { (send(&store, message(112 + one)).await, begun.elapsed()) },
        async { (send(&store, message(112 + other)).await, begun.elapsed()) },
    );
    for (answer, after) in [one, other] {
        assert!(answer.is_ok() && after < Duration::from_secs(3), "{after:?}");
    }
    let (answer, after) = held;
    assert!(
        answer.is_ok() && after > Duration::from_secs(3),
        "it waits until the server ends that transaction: {after:?}"
    );
    drop(paused);
}

#[tokio::test]
async fn a_server_that_is_gone_is_answered_in_time_and_found_again() {
    let product = Product::start("mariadb", 1);
    let url = store_on(&product).await;
    let store = store::open(&url).await.unwrap();
    send(&store, message(1)).await.unwrap();
    product.kill("mariadb-1");
    let begun = Instant::now();
    assert_eq!(store.inbox_tops(&[crate::user("user-1")]).await.unwrap_err().kind(), Kind::Transient);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let error = within(send(&store, message(2))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    // Once it is known to be gone nobody is kept waiting.
    let begun = Instant::now();
    assert_eq!(send(&store, message(3)).await.unwrap_err().kind(), Kind::Transient);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    product.restart("mariadb-1");
    let again = send(&store, message(2)).await.unwrap();
    assert!(!again.duplicate);
    assert_eq!(store.inbox_tops(&[crate::user("user-1")]).await.unwrap().len(), 1);
}
