//! The process under test: started as a user starts it, found by what it prints, ended with the test.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http;

/// How long the process may take from its start to its ready lines, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to leave when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_anser"))
}

/// How to start the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    arguments: Vec<String>,
    settings: Vec<String>,
    same_ports: bool,
    descriptor_limit: Option<u32>,
}

impl Setup {
    /// Trusts the user named in the auth body.
    pub(crate) fn dev() -> Self {
        Self { arguments: vec!["--dev".to_owned()], ..Self::default() }
    }

    /// Wants a token from every client and a key from every caller.
    pub(crate) fn strict() -> Self {
        Self::default()
    }

    /// Adds `--set key=value`.
    pub(crate) fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Listens on ports that the system gives to nobody by itself, so that they are free again after a
    /// restart, and no client that tries to connect meanwhile is given one of them as its own.
    pub(crate) fn same_ports(mut self) -> Self {
        self.same_ports = true;
        self
    }

    /// Lets the process open only so many files and sockets.
    pub(crate) fn descriptor_limit(mut self, limit: u32) -> Self {
        self.descriptor_limit = Some(limit);
        self
    }

    /// Starts the process on an empty data folder and waits until it is ready.
    pub(crate) fn start(mut self) -> Server {
        let listeners = ["tcp", "ws", "api"].map(|listener| {
            let port = if self.same_ports { free_port() } else { 0 };
            format!("listen.{listener}=127.0.0.1:{port}")
        });
        // A test's own setting counts: the last one of a key wins.
        self.settings.splice(0..0, listeners);
        let folder = TempDir::new().unwrap();
        let (child, addresses) = launch(&self, folder.path());
        Server {
            tcp: addresses.tcp,
            ws: addresses.ws,
            api: addresses.api,
            printed: addresses.printed,
            child,
            folder,
            setup: self,
        }
    }
}

/// A running process; dropping it ends it.
pub(crate) struct Server {
    pub(crate) tcp: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) api: SocketAddr,
    /// What it printed up to its ready lines.
    pub(crate) printed: Vec<String>,
    child: Child,
    folder: TempDir,
    setup: Setup,
}

impl Server {
    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends the process as a crash does.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same data and the same ports.
    pub(crate) fn start_again(&mut self) {
        assert!(self.setup.same_ports, "only a server with the same ports can be started again");
        let (child, addresses) = launch(&self.setup, self.folder.path());
        self.child = child;
        assert_eq!((addresses.tcp, addresses.ws, addresses.api), (self.tcp, self.ws, self.api));
        self.printed = addresses.printed;
    }

    /// Sends a signal by name, such as TERM.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success(), "signal {name} could not be sent");
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child, STOP_LIMIT)
    }

    /// Tells whether the process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }

    /// The sum of all lines of a metric that contain a text, such as a label.
    pub(crate) async fn metric(&self, name: &str, containing: &str) -> f64 {
        let response = http::get(self.api, "/metrics").await;
        assert_eq!(response.status, 200, "{}", response.text());
        let text = response.text();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(containing));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        // It is being ended because the test has: what fails here was ended by the test itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("the server {ended:?} logged {} lines; the last of them:", lines.len());
            lines.iter().skip(lines.len().saturating_sub(30)).for_each(|line| println!("  {line}"));
        }
    }
}

/// The one server of several tests that do not disturb each other: started by the first that asks, ended
/// when none of them holds it any more.
pub(crate) struct Shared(Mutex<Weak<Server>>);

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The running server with `--dev`.
    pub(crate) fn get(&self) -> Arc<Server> {
        let mut running = lock(&self.0);
        if let Some(server) = running.upgrade() {
            return server;
        }
        let server = Arc::new(Setup::dev().start());
        *running = Arc::downgrade(&server);
        server
    }
}

/// A test that failed while it held the lock has not left anything half done behind it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a process to end; past the limit it is killed and the test fails.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            panic!("process {} has not ended within {limit:?}", child.id());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Addresses {
    tcp: SocketAddr,
    ws: SocketAddr,
    api: SocketAddr,
    printed: Vec<String>,
}

fn launch(setup: &Setup, folder: &Path) -> (Child, Addresses) {
    let mut command = match setup.descriptor_limit {
        None => Command::new(binary()),
        Some(limit) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &limit.to_string()]);
            shell.arg(binary());
            shell
        }
    };
    command.arg("serve").args(&setup.arguments).arg("--data").arg(folder.join("data"));
    for setting in &setup.settings {
        command.args(["--set", setting]);
    }
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    match addresses(&lines) {
        Ok(addresses) => (child, addresses),
        Err(why) => {
            let _ = child.kill();
            let status = child.wait().unwrap();
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("the server did not become ready: {why}\n{status}\nit logged: {log}");
        }
    }
}

/// Reads a process's output to its end, so that it is never held up by it; what nobody takes is dropped.
fn lines_of(output: std::process::ChildStdout) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.try_send(line);
        }
    });
    receiver
}

/// Reads lines until the process has said that it is ready and where it listens.
fn addresses(lines: &Receiver<String>) -> Result<Addresses, String> {
    let started = Instant::now();
    let (mut tcp, mut ws, mut http) = (None, None, Vec::new());
    let (mut printed, mut is_ready) = (Vec::new(), false);
    loop {
        let left = START_LIMIT.saturating_sub(started.elapsed());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Err(format!("it printed {printed:?} and went silent")),
            Err(RecvTimeoutError::Disconnected) => return Err(format!("it printed {printed:?} and ended")),
        };
        is_ready |= line.starts_with("anser is ready");
        for word in line.split_whitespace() {
            let (scheme, rest) = word.split_once("://").unwrap_or(("", word));
            let place = rest.split(['/', ',']).next().unwrap_or_default();
            let Ok(address) = place.parse::<SocketAddr>() else { continue };
            match scheme {
                "ws" => ws = Some(address),
                "http" => http.push(address),
                _ if line.to_ascii_lowercase().contains("tcp") => tcp = Some(address),
                _ => {}
            }
        }
        printed.push(line);
        if let (true, Some(tcp), Some(ws)) = (is_ready, tcp, ws) {
            // The chat page is served beside the WebSocket.
            if let Some(api) = http.iter().copied().find(|address| *address != ws) {
                return Ok(Addresses { tcp, ws, api, printed });
            }
        }
    }
}

/// A port of the loopback address below those that the system gives out by itself, free at this moment and
/// not given to another test.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = lock(&GIVEN);
    let given = given.get_or_insert_with(HashSet::new);
    loop {
        let port = rand::random_range(15_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && given.insert(port) {
            return port;
        }
    }
}
