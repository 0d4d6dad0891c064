//! The products that the cluster stands on, each started by its own script below `deploy/products`.
//!
//! A product has a folder below the cluster's, where its script keeps data, logs, ports, pids and `env`. How a product
//! is installed and made is the script's; here is known which programs it has and how it is reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::picture::Place;
use super::probe::{self, Question};
use super::program::{self, Program};
use crate::process::{Done, Failure, failure};

/// A product, with its programs in the order of their start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    /// What its folder and its script are called.
    pub(crate) name: &'static str,
    /// How many programs its script is asked for.
    count: u32,
    /// What each kind of its programs is called, how many there are, and how to ask whether one serves.
    kinds: &'static [(&'static str, u32, Question)],
    /// Under which name `env` has its URL.
    url: &'static str,
    /// The section of our configuration whose `url` that is.
    backend: &'static str,
}

/// All products.
pub(crate) const PRODUCTS: [Product; 4] = [
    Product {
        name: "mariadb",
        count: 2,
        kinds: &[("mariadb", 2, Question::Mysql)],
        url: "MARIADB_URL",
        backend: "store",
    },
    Product {
        name: "redis",
        count: 2,
        kinds: &[("redis", 2, Question::Redis), ("sentinel", 3, Question::Redis)],
        url: "REDIS_URL",
        backend: "cache",
    },
    Product {
        name: "kafka",
        count: 3,
        kinds: &[("kafka", 3, Question::Kafka)],
        url: "KAFKA_URL",
        backend: "broker",
    },
    Product {
        name: "zookeeper",
        count: 3,
        kinds: &[("zookeeper", 3, Question::Zookeeper)],
        url: "ZOOKEEPER_URL",
        backend: "discovery",
    },
];

/// A program of a product.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) product: Product,
    /// `mariadb`, `redis`, `sentinel`, `kafka` or `zookeeper`.
    pub(crate) kind: &'static str,
    pub(crate) question: Question,
    pub(crate) program: Program,
}

impl Product {
    /// Its programs, in a cluster's folder.
    pub(crate) fn parts(self, cluster: &Path) -> Vec<Part> {
        let folder = self.folder(cluster);
        let of_kind = |&(kind, count, question): &(&'static str, u32, Question)| {
            let folder = folder.clone();
            (1..=count).map(move |number| Part {
                product: self,
                kind,
                question,
                program: Program { name: format!("{kind}-{number}"), folder: folder.clone() },
            })
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }

    fn folder(self, cluster: &Path) -> PathBuf {
        cluster.join(self.name)
    }

    /// Begins to run a verb of its script, in a session of its own so that the terminal's Ctrl-C does not end it half
    /// way. What it says is shown.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn script(self, root: &Path, cluster: &Path, verb: &str, more: &[&str]) -> Done<Child> {
        let script = root.join(format!("deploy/products/{}.sh", self.name));
        let folder = self.folder(cluster);
        let line = ["bash".into(), script.into_os_string(), verb.into(), folder.into_os_string()];
        let line: Vec<String> = line.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut command = program::detached(&line);
        command.args(more).stdin(Stdio::null()).stdout(Stdio::null());
        // Of a process that starts products for a test, and would take them along at its end.
        command.env_remove("OWNER_PID");
        command.spawn().map_err(|error| Failure(format!("cannot start {}.sh: {error}", self.name)))
    }

    /// Begins to start all of its programs that do not run.
    ///
    /// # Errors
    /// Its script cannot be started.
    pub(crate) fn start(self, root: &Path, cluster: &Path) -> Done<Child> {
        self.script(root, cluster, "start", &[&self.count.to_string()])
    }

    /// Waits for the end of a script.
    ///
    /// # Errors
    /// It failed; it has said why.
    pub(crate) fn finish(self, verb: &str, mut script: Child) -> Done {
        match script.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => failure(format!(
                "{} could not be {verb}: what its script said above tells why. Its logs are in the folder {}. Where it \
                 cannot be installed here, install by hand what is named there",
                self.name, self.name
            )),
            Err(error) => failure(format!("{}.sh cannot be waited for: {error}", self.name)),
        }
    }

    /// The section of our configuration that names it, which may hold a password.
    ///
    /// # Errors
    /// Its script has left no URL.
    pub(crate) fn section(self, cluster: &Path) -> Done<String> {
        let file = self.folder(cluster).join("env");
        let text = fs::read_to_string(&file)
            .map_err(|error| Failure(format!("{} cannot be read: {error}", file.display())))?;
        let Some(url) = value(&text, self.url) else {
            return failure(format!("{} has no line {}", file.display(), self.url));
        };
        Ok(format!("[{}]\nurl = {}\n", self.backend, toml::Value::from(url)))
    }

    /// The ports that its programs chose, by their names: the program's own is named like it, others begin with that
    /// and a hyphen.
    fn ports(self, cluster: &Path) -> Vec<(String, u16)> {
        let text = fs::read_to_string(self.folder(cluster).join("ports")).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.filter_map(|(name, port)| Some((name.to_owned(), port.trim().parse().ok()?))).collect()
    }
}

impl Part {
    /// Where clients reach it, once it was started for the first time.
    pub(crate) fn address(&self, cluster: &Path) -> Option<String> {
        let ports = self.product.ports(cluster);
        let own = ports.into_iter().find(|(name, _)| *name == self.program.name);
        own.map(|(_, port)| format!("127.0.0.1:{port}"))
    }

    /// Makes sure that nobody else has taken a port of this program meanwhile.
    ///
    /// # Errors
    /// Somebody has.
    pub(crate) fn check_ports(&self, cluster: &Path) -> Done {
        let prefix = format!("{}-", self.program.name);
        let ports = self.product.ports(cluster);
        let mut own =
            ports.iter().filter(|(name, _)| *name == self.program.name || name.starts_with(&prefix));
        own.try_for_each(|(name, port)| check_port(name, &format!("127.0.0.1:{port}")))
    }
}

/// Makes sure that a port which was chosen for one of ours is free.
///
/// # Errors
/// Somebody listens there.
pub(crate) fn check_port(name: &str, address: &str) -> Done {
    if !probe::is_taken(address) {
        return Ok(());
    }
    let port = address.rsplit(':').next().unwrap_or(address);
    failure(format!(
        "{address}, the port of {name}, is taken by another program: end that (`ss -ltnp sport = :{port}` names it), \
         or begin again on other ports with `cargo xtask cluster down --remove` and `up`, which loses what is stored"
    ))
}

/// Chooses a port for each name, once and for all, by the rules of the scripts: free, below 30000, and no other
/// folder's.
///
/// # Errors
/// None is free.
pub(crate) fn choose_ports(root: &Path, cluster: &Path, places: &[Place]) -> Done<Vec<String>> {
    let names: Vec<String> = places.iter().flat_map(Place::ports).collect();
    let mut bash = crate::process::program("bash");
    bash.args([
        "-c",
        r#". "$1"; DIR=$2; shift 2; for name; do port "$name"; echo "127.0.0.1:$REPLY"; done"#,
        "bash",
    ]);
    bash.arg(root.join("deploy/products/lib.sh")).arg(cluster).args(&names);
    let addresses: Vec<String> =
        crate::process::output(&mut bash).unwrap_or_default().lines().map(str::to_owned).collect();
    if addresses.len() == names.len() {
        Ok(addresses)
    } else {
        failure(format!("no free ports could be chosen for {}", cluster.display()))
    }
}

/// The value of a line `KEY='VALUE'`.
fn value<'text>(text: &'text str, key: &str) -> Option<&'text str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches('\''))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cluster::program::tests::Scratch;

    #[test]
    fn the_programs_have_the_names_of_the_scripts() {
        let all: Vec<String> = PRODUCTS
            .into_iter()
            .flat_map(|product| product.parts(Path::new("/c")))
            .map(|part| part.program.name)
            .collect();
        assert_eq!(
            all.join(" "),
            "mariadb-1 mariadb-2 redis-1 redis-2 sentinel-1 sentinel-2 sentinel-3 kafka-1 kafka-2 kafka-3 zookeeper-1 \
             zookeeper-2 zookeeper-3"
        );
        let sentinel = &PRODUCTS[1].parts(Path::new("/c"))[4];
        assert_eq!((sentinel.kind, sentinel.program.folder.as_path()), ("sentinel", Path::new("/c/redis")));
    }

    #[test]
    fn a_url_goes_from_env_into_its_section() {
        let scratch = Scratch::new("section");
        fs::create_dir(scratch.0.join("mariadb")).unwrap();
        let env = "MARIADB_NODES='a:1'\nMARIADB_URL='mysql://me:p=\"w@a:1,b:2/anser'\n";
        fs::write(scratch.0.join("mariadb/env"), env).unwrap();
        let section: toml::Table = PRODUCTS[0].section(&scratch.0).unwrap().parse().unwrap();
        assert_eq!(section["store"]["url"].as_str(), Some("mysql://me:p=\"w@a:1,b:2/anser"));
        assert!(PRODUCTS[1].section(&scratch.0).unwrap_err().0.contains("redis/env"));
    }

    #[test]
    fn a_taken_port_of_the_program_alone_is_named() {
        let scratch = Scratch::new("taken");
        fs::create_dir(scratch.0.join("zookeeper")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = format!("zookeeper-1=1\nzookeeper-1-quorum={port}\nzookeeper-2=2\n");
        fs::write(scratch.0.join("zookeeper/ports"), ports).unwrap();
        let parts = PRODUCTS[3].parts(&scratch.0);
        let Failure(why) = parts[0].check_ports(&scratch.0).unwrap_err();
        assert!(why.contains(&format!("127.0.0.1:{port}, the port of zookeeper-1-quorum")), "{why}");
        assert_eq!(parts[0].address(&scratch.0).as_deref(), Some("127.0.0.1:1"));
        assert_eq!(parts[2].address(&scratch.0), None);
        drop(listener);
    }
}
