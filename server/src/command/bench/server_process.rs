//! A server of the measurement's own: this same program, on a data folder that was filled.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use super::super::failure::Failure;

/// How long a server may take until it is ready: it replays the end of its journal.
const READY_WAIT: Duration = Duration::from_secs(120);
/// Lines of a server that are kept until they are read; what comes after is not needed.
const LINES_MAX: usize = 64;

/// A server that ends with this.
pub(super) struct ServerProcess {
    child: Child,
    /// Its listener for TCP.
    pub(super) url: String,
}

impl ServerProcess {
    /// Starts a server under --dev on this folder, on ports of its own, and waits until it is ready.
    pub(super) fn start(folder: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot start a server: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["serve", "--dev", "--data"]).arg(folder);
        for listener in ["tcp", "ws", "api"] {
            command.args(["--set", &format!("listen.{listener}=127.0.0.1:0")]);
        }
        command.args(["--set", "log.level=warn"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let said = lines(child.stdout.take());
        let complaints = lines(child.stderr.take());
        let mut server = Self { child, url: String::new() };
        let until = Instant::now() + READY_WAIT;
        while server.url.is_empty() {
            match said.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Some(url) = address(&line) {
                        server.url = url.to_owned();
                    }
                }
                Err(_) => {
                    let ended = server.child.try_wait().map_err(failed)?;
                    if ended.is_some() || Instant::now() > until {
                        let complaints: Vec<String> = complaints.try_iter().collect();
                        let reason = complaints.join("\n");
                        return Err(Failure::failed(format!("the server did not become ready\n{reason}")));
                    }
                }
            }
        }
        Ok(server)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // What it holds was written before it started; there is nothing to be kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The url in a line that tells the listener for TCP.
fn address(line: &str) -> Option<&str> {
    let (name, url) = line.split_once(char::is_whitespace)?;
    (name == "TCP").then(|| url.trim()).filter(|url| url.starts_with("tcp://"))
}

/// The lines of a pipe, which is read to its end whoever listens, so that its writer never waits.
fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = sync_channel(LINES_MAX);
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                // What does not fit is not needed.
                let _ = sender.try_send(line);
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_in_the_line_that_names_tcp() {
        assert_eq!(address("TCP          tcp://127.0.0.1:3101"), Some("tcp://127.0.0.1:3101"));
        assert_eq!(address("WebSocket    ws://127.0.0.1:3102/sub"), None);
        assert_eq!(address("anser is ready"), None);
    }
}
