//! What is looked at when the store is opened: the URL, the tables, the settings of the server.

use backends::Kind;

use super::*;

async fn refused(url: &str) -> (Kind, String) {
    match store::open(url).await {
        Ok(_) => panic!("it must be refused"),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains("anser:anser") && !message.contains("secret"), "{message}");
            (error.kind(), message)
        }
    }
}

#[tokio::test]
async fn tables_are_made_once_and_each_step_is_told() {
    let url = database_on(mariadb()).await;
    let (kind, message) = refused(&url).await;
    assert_eq!(kind, Kind::Missing);
    assert!(message.ends_with("version 1 of its tables is missing: run `anser migrate up`"), "{message}");

    let planned = mysql::migrate_dry_run(&url).await.unwrap();
    assert_eq!(planned.iter().map(|one| (one.version, one.applied)).collect::<Vec<_>>(), [(1, false)]);
    assert!(planned[0].sql.contains("CREATE TABLE outbox"));
    assert_eq!(mysql::migrate_status(&url).await.unwrap(), planned, "nothing was changed");

    let (one, other) = tokio::join!(mysql::migrate_up(&url), mysql::migrate_up(&url));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 1, "one of two applies it");
    assert!(mysql::migrate_up(&url).await.unwrap().is_empty());
    assert!(mysql::migrate_status(&url).await.unwrap().iter().all(|one| one.applied));
    assert!(store::open(&url).await.is_ok());
}

#[tokio::test]
async fn tables_of_a_newer_build_are_left_alone() {
    let url = store_on(mariadb()).await;
    let newer = "INSERT INTO schema_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, '', 0)";
    run(&url, newer.to_owned()).await;
    let (kind, message) = refused(&url).await;
    assert_eq!(kind, Kind::Conflict);
    assert!(message.contains("have version 99") && message.contains("run a newer build"), "{message}");
    assert_eq!(mysql::migrate_up(&url).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(mysql::migrate_status(&url).await.unwrap().last().map(|one| one.version), Some(99));
}

#[tokio::test]
async fn a_wrong_password_a_missing_database_and_a_closed_port_are_named() {
    let url = mariadb().env("MARIADB_URL");
    let (kind, message) = refused(&url.replace("anser:anser@", "anser:secret@")).await;
    assert_eq!(kind, Kind::Missing);
    assert!(message.contains("does not know user anser with that password"), "{message}");
    let (kind, message) = refused(&url_of(mariadb(), "anser_not_there")).await;
    assert_eq!(kind, Kind::Missing);
    assert!(message.contains("create the database"), "{message}");
    let (kind, message) = refused("mysql://anser:secret@127.0.0.1:1/anser").await;
    assert_eq!(kind, Kind::Transient);
    assert!(message.contains("127.0.0.1:1"), "{message}");
}

#[tokio::test]
async fn the_first_server_that_is_there_is_taken() {
    let url = store_on(mariadb()).await;
    assert!(store::open(&url.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")).await.is_ok());
}

#[tokio::test]
async fn a_server_that_could_lose_what_it_answered_is_refused() {
    let product = Product::start("mariadb", 1);
    let url = store_on(&product).await;
    let administrator = |sql: &str| {
        let socket = product.env("MARIADB_SOCKETS");
        let mut command = std::process::Command::new("mariadb");
        command.args(["--no-defaults", &format!("--socket={socket}"), "--execute", sql]);
        assert!(command.status().unwrap().success(), "{sql}");
    };
    for (name, bad, good) in [
        ("innodb_flush_log_at_trx_commit", "2", "1"),
        ("sync_binlog", "0", "1"),
        ("max_allowed_packet", "1048576", "67108864"),
    ] {
        administrator(&format!("SET GLOBAL {name} = {bad}"));
        let (kind, message) = refused(&url).await;
        assert_eq!(kind, Kind::Missing);
        assert!(message.contains(&format!("{name} is {bad}")) && message.contains("set it to"), "{message}");
        administrator(&format!("SET GLOBAL {name} = {good}"));
    }
    administrator("CREATE USER reader IDENTIFIED BY 'secret'; GRANT SELECT, INSERT ON `anser%`.* TO reader");
    let (kind, message) = refused(&url.replace("anser:anser@", "reader:secret@")).await;
    assert_eq!(kind, Kind::Missing);
    assert!(message.contains("user reader may not UPDATE, DELETE: GRANT UPDATE, DELETE ON"), "{message}");
    administrator("SET GLOBAL read_only = 1");
    let (kind, message) = refused(&url).await;
    assert_eq!(kind, Kind::Transient);
    assert!(message.ends_with("is read-only"), "{message}");
    administrator("SET GLOBAL read_only = 0");
    assert!(store::open(&url).await.is_ok());
}
