//! A network between two processes that hangs, or is slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on until it is told to hang, with a pause after each 4 KiB.
pub(super) async fn relay(to: SocketAddr, hangs: Arc<AtomicBool>, pause: Duration) -> SocketAddr {
    async fn pass(
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        hangs: Arc<AtomicBool>,
        pause: Duration,
    ) {
        let mut buffer = [0; 4096];
        while let Ok(count) = from.read(&mut buffer).await {
            if count == 0 || hangs.load(Ordering::Relaxed) {
                break;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        if hangs.load(Ordering::Relaxed) {
            // Both ends stay open and nothing comes through.
            std::future::pending::<()>().await;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_read, far_write, Arc::clone(&hangs), pause));
            tokio::spawn(pass(far_read, near_write, Arc::clone(&hangs), pause));
        }
    });
    address
}
