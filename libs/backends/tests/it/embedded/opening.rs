//! What the embedded store and broker say when they cannot be opened, and what they find on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use backends::store::IntentLane;
use backends::{Error, Kind, broker, store};

use super::*;
use crate::store::StoreFixture;
use crate::user;

async fn refusal(url: &str) -> Error {
    store::open(url).await.err().expect("it must be refused")
}

/// Changes what lies on disk, with the engine alone.
fn with_engine(folder: &TempDir, change: impl FnOnce(&fjall::Database)) {
    let engine = fjall::Database::builder(folder.path().join("data/database")).open().unwrap();
    change(&engine);
    engine.persist(fjall::PersistMode::SyncAll).unwrap();
}

fn put(engine: &fjall::Database, table: &str, key: &[u8], row: &[u8]) {
    let table = engine.keyspace(table, fjall::KeyspaceCreateOptions::default).unwrap();
    table.insert(key, row).unwrap();
}

#[tokio::test]
async fn a_url_of_another_scheme_is_refused() {
    for (url, named) in [("sqlite:x", "sqlite"), ("x", "scheme"), ("embedded:", "folder")] {
        let error = refusal(url).await;
        assert_eq!(error.kind(), Kind::Missing);
        assert!(error.to_string().contains(named), "{error}");
    }
    assert_eq!(broker::open("kafkaesque:x").await.err().unwrap().kind(), Kind::Missing);
}

#[tokio::test]
async fn the_folder_is_for_its_owner_alone() {
    let fixture = EmbeddedStore::start().await;
    let mode = fs::metadata(fixture.folder.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_folder_that_is_open_is_not_opened_again() {
    let fixture = EmbeddedStore::start().await;
    let error = refusal(&url(&fixture.folder)).await;
    assert_eq!(error.kind(), Kind::Conflict);
    let message = error.to_string();
    assert!(message.contains(&fixture.folder.path().join("data").display().to_string()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert_eq!(fixture.store().inbox_tops(&[user("alice")]).await.unwrap(), [0]);
}

#[tokio::test]
async fn an_unknown_format_is_refused() {
    let EmbeddedStore { folder, store } = EmbeddedStore::start().await;
    drop(store);
    for format in ["store 99", "store 1"] {
        with_engine(&folder, |engine| put(engine, "format", b"format", format.as_bytes()));
        let error = refusal(&url(&folder)).await;
        assert_eq!(error.kind(), Kind::Corrupt);
        let message = format!("has the format \"{format}\", this build reads \"store 2\"");
        assert!(error.to_string().contains(&message), "{error}");
    }
}

#[tokio::test]
async fn the_folder_of_another_backend_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(broker::open(&url(&folder)).await.unwrap());
    let error = refusal(&url(&folder)).await;
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("broker 1"), "{error}");
}

#[tokio::test]
async fn what_a_killed_creation_left_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("data/database.new");
    fs::create_dir_all(unfinished.join("keyspaces")).unwrap();
    fs::write(unfinished.join("0.jnl"), b"").unwrap();
    store::open(&url(&folder)).await.unwrap();
    assert!(!Path::new(&unfinished).exists());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let EmbeddedStore { folder, store } = EmbeddedStore::start().await;
    drop(store);
    with_engine(&folder, |engine| put(engine, "work", b"\0\0\0\0\0\0\0\0\0\x07", b"no such row"));
    let store = store::open(&url(&folder)).await.unwrap();
    let error = store.intents(IntentLane::Push, u64::MAX, 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(
        error.to_string(),
        "row of table intents under key \"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07\" cannot be read"
    );
}
