//! Roles in processes of their own, on real products: what users notice of it, which is nothing.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::product::Product;
use crate::support::chat::JsonChat;
use crate::support::server::{binary, free_port};
use crate::support::{eventually_by, http};

/// How long a process, or the system after a fault, may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Everything that runs; dropping it ends it.
struct Cluster {
    processes: Vec<Process>,
    urls: Vec<String>,
    folder: TempDir,
    _products: Vec<Product>,
}

struct Process {
    name: &'static str,
    child: Child,
    arguments: Vec<String>,
    api: SocketAddr,
    ws: Option<SocketAddr>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it; its log is kept beside its data.
    fn launch(arguments: &[String], log: &std::path::Path) -> Child {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    async fn ready(&self) {
        let what = format!("{} is ready", self.name);
        eventually_by(LIMIT, &what, || async {
            let stream = tokio::net::TcpStream::connect(self.api).await.ok()?;
            drop(stream);
            (http::get(self.api, "/readyz").await.status == 200).then_some(())
        })
        .await;
    }
}

impl Cluster {
    /// Starts the products, and no process yet.
    fn products() -> Self {
        let wanted = [("mariadb", "MARIADB_URL", "store"), ("redis", "REDIS_URL", "cache")];
        let more = [("kafka", "KAFKA_URL", "broker"), ("zookeeper", "ZOOKEEPER_URL", "discovery")];
        let started = std::thread::scope(|scope| {
            let start = |(name, url, backend)| {
                scope.spawn(move || {
                    let product = Product::start(name, 1);
                    let url = format!("{backend}.url={}", product.env(url));
                    (product, url)
                })
            };
            let starting: Vec<_> = wanted.into_iter().chain(more).map(start).collect();
            starting.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        let (products, urls): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        Self { processes: Vec::new(), urls, folder, _products: products }
    }

    fn settings(&self) -> Vec<String> {
        let keys = format!("keys.folder={}", self.folder.path().join("keys").display());
        self.urls.iter().chain([&keys]).flat_map(|setting| ["--set".to_owned(), setting.clone()]).collect()
    }

    fn migrate(&self) {
        let store = self.urls.iter().find(|url| url.starts_with("store.url")).unwrap();
        let migrated = Command::new(binary()).args(["migrate", "up", "--set", store]).output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }

    async fn start(&mut self, name: &'static str, role: &str, more: &[&str]) {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (api, ws) = (address(), (role == "proxy").then(address));
        let mut arguments: Vec<String> = ["serve", "--dev", "--roles", role].map(str::to_owned).into();
        arguments.push(format!("--data={}", self.folder.path().join(name).display()));
        arguments.extend(self.settings());
        let mut set = |setting: String| arguments.extend(["--set".to_owned(), setting]);
        set(format!("node.name={name}"));
        set(format!("listen.peers={}", address()));
        set(format!("listen.api={api}"));
        if let Some(ws) = ws {
            set(format!("listen.ws={ws}"));
            set("listen.tcp=127.0.0.1:0".to_owned());
        }
        more.iter().for_each(|setting| set((*setting).to_owned()));
        let child = Process::launch(&arguments, &self.log(name));
        let process = Process { name, child, arguments, api, ws };
        process.ready().await;
        self.processes.push(process);
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn process(&mut self, name: &str) -> &mut Process {
        self.processes.iter_mut().find(|process| process.name == name).unwrap()
    }

    /// Ends a process as a crash does.
    fn kill(&mut self, name: &str) {
        let process = self.process(name);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    async fn start_again(&mut self, name: &str) {
        let log = self.log(name);
        let process = self.process(name);
        process.child = Process::launch(&process.arguments, &log);
        process.ready().await;
    }

    /// A user on one of the proxies.
    async fn user(&mut self, proxy: &str, user: &str) -> JsonChat {
        let ws = self.process(proxy).ws.unwrap();
        let mut chat = eventually_by(LIMIT, "a proxy lets a user in", || async {
            let mut chat = JsonChat::try_open(ws).await?;
            let auth = json!({"user": user, "device": "web-1", "platform": "web", "inboxSeq": 0});
            let reply = chat.try_request("auth", auth).await?;
            reply.get("auth").is_some().then_some(chat)
        })
        .await;
        chat.sync_done().await;
        chat
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.processes {
                let log = std::fs::read_to_string(self.log(process.name)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(8).collect();
                println!("== {}\n{}", process.name, last.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
    }
}

/// Sends until it is answered, as a client does: under one id, which is stored once.
async fn say(chat: &mut JsonChat, to: &serde_json::Value, text: &str) -> serde_json::Value {
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let send = json!({"to": to, "clientMessageId": text, "text": text});
        let reply = chat.request("send", send).await;
        if let Some(sent) = reply.get("send") {
            return sent.clone();
        }
        assert!(tokio::time::Instant::now() < until, "{reply}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_on_two_proxies_chat_while_roles_are_killed_and_come_back() {
    let mut cluster = Cluster::products();
    cluster.migrate();
    for (name, role, more) in [
        ("auth-1", "auth", &[][..]),
        ("router-1", "router", &[]),
        ("push-1", "push", &[]),
        ("push-2", "push", &[]),
        ("logic-1", "logic", &[]),
        ("im-1", "im", &["im.node=1"]),
        ("im-2", "im", &["im.node=2"]),
        ("consumer-1", "consumer", &[]),
        ("proxy-1", "proxy", &[]),
        ("proxy-2", "proxy", &[]),
    ] {
        cluster.start(name, role, more).await;
    }
    let mut alice = cluster.user("proxy-1", "alice").await;
    let mut bob = cluster.user("proxy-2", "bob").await;
    let to_bob = json!({"user": "bob"});

    let sent = say(&mut alice, &to_bob, "hello").await;
    assert_eq!((&sent["seq"], bob.hears().await.as_str()), (&json!(1), "hello"));

    let group = alice.make_group(&["bob"], json!({"name": "lunch"})).await;
    let to_group = json!({"group": group});
    say(&mut alice, &to_group, "to the group").await;
    assert_eq!(bob.hears().await, "to the group");

    // Each role that has no users of its own goes without a word, and comes back.
    for (number, name) in
        ["im-1", "im-2", "push-1", "push-2", "logic-1", "consumer-1", "auth-1"].into_iter().enumerate()
    {
        cluster.kill(name);
        let text = format!("while {name} is away");
        let sent = say(&mut alice, &to_bob, &text).await;
        assert_eq!(sent["seq"], json!(number + 2), "{name}");
        assert_eq!(bob.hears().await, text);
        cluster.start_again(name).await;
        let text = format!("{name} is back");
        say(&mut alice, &to_group, &text).await;
        assert_eq!(bob.hears().await, text);
    }

    // Whoever was on a proxy that went away finds on another one what was sent meanwhile, once and in order.
    cluster.kill("proxy-2");
    let sent = say(&mut alice, &to_bob, "while bob is away").await;
    assert_eq!(sent["seq"], json!(9));
    let mut bob = cluster.user("proxy-1", "bob").await;
    let page = bob.request("sync", json!({"begin": 1, "end": 0, "limit": 100})).await;
    let messages = page["sync"]["messages"].as_array().unwrap();
    let seqs: Vec<u64> = messages.iter().map(|message| message["inboxSeq"].as_u64().unwrap()).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    assert_eq!(messages.last().unwrap()["text"], "while bob is away");
}
