//! Real products beside the tests, started by the project's own scripts in `deploy/products`.
//!
//! An instance belongs to whoever started it and is stopped with it; one that tests share lives as long as the test
//! binary. Whatever way a test ends, nothing is left behind: the scripts watch this process. A product that cannot be
//! started fails the test with what its script said; no test is passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// One instance of a product: its programs, on ports that they keep.
pub(crate) struct Product {
    script: PathBuf,
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    env: BTreeMap<String, String>,
}

impl Product {
    /// Starts `count` programs of a product, named like its script: `redis`, `zookeeper`, `mariadb`, `kafka`.
    pub(crate) fn start(name: &str, count: usize) -> Self {
        Self::start_with(name, count, &[])
    }

    /// Starts a product with environment variables for its script.
    pub(crate) fn start_with(name: &str, count: usize, variables: &[(&'static str, &str)]) -> Self {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let script = folders.map(|folder| folder.join(format!("deploy/products/{name}.sh")));
        let script =
            script.into_iter().find(|script| script.exists()).expect("deploy/products is in the repository");
        let folder = tempfile::Builder::new().prefix(&format!("anser-{name}-")).tempdir().unwrap();
        let variables = variables.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let mut product = Self { script, folder, variables, env: BTreeMap::new() };
        product.call("start", &[&count.to_string()]);
        let env = std::fs::read_to_string(product.folder.path().join("env")).unwrap();
        let lines = env.lines().filter_map(|line| line.split_once('='));
        let unquoted = lines.map(|(key, value)| (key.to_owned(), value.trim_matches('\'').to_owned()));
        product.env = unquoted.collect();
        product
    }

    /// The instance that all tests of this binary share; it is started for the first of them.
    pub(crate) fn shared(cell: &'static OnceLock<Self>, name: &str, count: usize) -> &'static Self {
        cell.get_or_init(|| Self::start(name, count))
    }

    /// What the product's script says of it, such as `REDIS_URL`.
    pub(crate) fn env(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("{} says no {key}", self.script.display()))
    }

    /// The folder that holds the programs' data and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process of a program, such as `redis-1`.
    pub(crate) fn pid(&self, program: &str) -> u32 {
        let file = self.folder.path().join(format!("{program}.pid"));
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// Ends a program with signal 9.
    pub(crate) fn kill(&self, program: &str) {
        self.call("kill", &[program]);
    }

    /// Starts a program again; it serves when this returns.
    pub(crate) fn restart(&self, program: &str) {
        self.call("restart", &[program]);
    }

    /// Sends a signal to a program, such as `STOP` and `CONT`.
    pub(crate) fn signal(&self, program: &str, signal: &str) {
        signal_process(self.pid(program), signal);
    }

    /// Stops all programs and keeps their data.
    pub(crate) fn stop(&self) {
        self.call("stop", &[]);
    }

    /// Starts all programs again after `stop`, on the same ports.
    pub(crate) fn start_again(&self) {
        self.call("start", &[]);
    }

    fn call(&self, verb: &str, rest: &[&str]) {
        let mut command = Command::new("bash");
        command.arg(&self.script).arg(verb).arg(self.folder.path()).args(rest);
        command.env("OWNER_PID", std::process::id().to_string());
        command.envs(self.variables.iter().map(|(key, value)| (key, value)));
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{} {verb} {} {rest:?}: {}\n{}{}",
            self.script.display(),
            self.folder.path().display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // Nobody looks at data that is removed with the folder.
        let script = Command::new("bash")
            .arg(&self.script)
            .arg("stop")
            .arg(self.folder.path())
            .env("STOP_SECONDS", "1")
            .output();
        if let Err(error) = script {
            println!("{} is not stopped: {error}", self.script.display());
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "signal {signal} does not reach process {pid}");
}
