//! The store on a real MariaDB: the suite of its seam, and what only it promises.

mod faults;
mod opening;
mod together;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backends::store::{self, Store, mysql};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

use crate::product::Product;
use crate::store::{StoreFixture, store_suite};

static MARIADB: OnceLock<Product> = OnceLock::new();
static DATABASES_COUNT: AtomicU64 = AtomicU64::new(0);

fn mariadb() -> &'static Product {
    Product::shared(&MARIADB, "mariadb", 1)
}

/// The URL of another database on the server of this one.
fn url_of(product: &Product, database: &str) -> String {
    let (server, _) = product.env("MARIADB_URL").rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

/// Carries out statements as the account of the store.
async fn run(url: &str, sql: String) {
    let mut connection = MySqlConnection::connect(url).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// An empty database without tables; answers its URL.
async fn database_on(product: &Product) -> String {
    let name = format!("anser_test_{}", DATABASES_COUNT.fetch_add(1, Ordering::Relaxed));
    run(product.env("MARIADB_URL"), format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
    url_of(product, &name)
}

/// An empty database with the tables of a store; answers its URL.
async fn store_on(product: &Product) -> String {
    let url = database_on(product).await;
    assert_eq!(mysql::migrate_up(&url).await.unwrap().len(), 1);
    url
}

struct MysqlStore {
    url: String,
    store: Option<Arc<dyn Store>>,
}

#[async_trait]
impl StoreFixture for MysqlStore {
    async fn start() -> Self {
        let url = store_on(mariadb()).await;
        let store = store::open(&url).await.unwrap();
        Self { url, store: Some(store) }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(store::open(&self.url).await.unwrap());
    }
}

mod store_suite {
    use super::*;

    store_suite!(MysqlStore);
}
