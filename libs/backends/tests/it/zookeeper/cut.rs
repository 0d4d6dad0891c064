//! A process that lives and is cut off from ZooKeeper: it says itself that it has lost, before another is elected.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::discovery::{instance, server};
use crate::within;

/// The way to one server, which can be cut: what is sent is held back then, as a network that is cut does.
struct Way {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Way {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (target, cut) = (target.clone(), cut.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        carry(from_client, to_server, cut.clone()),
                        carry(from_server, to_client, cut)
                    );
                });
            }
        });
        Self { address, is_cut }
    }
}

async fn carry(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        if from.readable().await.is_err() || cut.wait_for(|is_cut| !is_cut).await.is_err() {
            return;
        }
        let count = match from.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_cut_off_knows_that_it_has_lost_before_another_is_elected() {
    let url = own_url();
    let path = url.split_once("/test").unwrap().1;
    let zookeeper = Product::shared(&ZOOKEEPER, "zookeeper", 3);
    let target = zookeeper.env("ZOOKEEPER_SERVERS").split(',').next().unwrap();
    let way = Way::to(target.to_owned()).await;
    let here = discovery::open(&format!("zookeeper://{}/test{path}", way.address)).await.unwrap();
    let there = discovery::open(&url).await.unwrap();
    let _registration = here.register(instance("proxy", "here")).await.unwrap();
    let mut seen_there = there.watch("proxy").await.unwrap();
    let mut seen_here = here.watch("proxy").await.unwrap();
    within(seen_there.wait_for(|known| known.len() == 1)).await.unwrap();
    within(seen_here.wait_for(|known| known.len() == 1)).await.unwrap();

    let mut epoch = 0;
    for round in 0..3_u64 {
        let leadership = within(here.elect("router/0", &server("here"))).await.unwrap();
        assert!(leadership.epoch() > epoch);
        let successor = tokio::spawn({
            let there = Arc::clone(&there);
            async move {
                let leadership = there.elect("router/0", &server("there")).await.unwrap();
                (leadership, Instant::now())
            }
        });
        // Cut at another place of the owner's questions each time.
        tokio::time::sleep(Duration::from_millis(1_000 + 130 * round)).await;
        assert!(!successor.is_finished());
        way.is_cut.send_replace(true);
        let cut_at = Instant::now();
        within(leadership.lost()).await;
        let lost_at = Instant::now();
        let (next, elected_at) = within(successor).await.unwrap();
        println!("lost after {:?}, another elected after {:?}", lost_at - cut_at, elected_at - cut_at);
        assert!(lost_at < elected_at, "two owned the name for {:?}", lost_at - elected_at);
        assert!(next.epoch() > leadership.epoch());
        epoch = next.epoch();
        within(seen_there.wait_for(Vec::is_empty)).await.unwrap();
        let late = there.register(instance("proxy", "late")).await.unwrap();

        way.is_cut.send_replace(false);
        within(seen_there.wait_for(|known| known.len() == 2)).await.unwrap();
        within(seen_here.wait_for(|known| known.len() == 2)).await.unwrap();
        drop(late);
        within(seen_there.wait_for(|known| known.len() == 1)).await.unwrap();
        within(seen_here.wait_for(|known| known.len() == 1)).await.unwrap();
    }
}
