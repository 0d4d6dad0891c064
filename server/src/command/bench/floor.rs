//! The floor under every durable answer: 200 bytes appended and made durable, one after another.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::line;
use super::{Times, milliseconds, per_second, times};

/// About what one short message takes in a log.
const APPEND_BYTES: usize = 200;

/// Measures how fast the disk makes small appends durable.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// A folder on the disk to measure.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    floor_dir: PathBuf,
    /// How long to measure.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Measures once and prints.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let floor = measure(&args.floor_dir, Duration::from_secs(args.seconds), None).await?;
    if args.json {
        return line(&json!({ "floor": floor.to_json() }).to_string());
    }
    line(&format!("fsync floor   {} (in {})", floor.to_text(), args.floor_dir.display()))
}

/// What the disk can do.
pub(crate) struct Floor {
    appends: Times,
    seconds: f64,
}

impl Floor {
    pub(crate) fn per_second(&self) -> f64 {
        per_second(self.appends.len(), self.seconds)
    }

    /// One append and fdatasync, in milliseconds.
    pub(crate) fn p50_ms(&self) -> f64 {
        milliseconds(self.appends.value_at_quantile(0.5))
    }

    pub(crate) fn to_text(&self) -> String {
        let p50_ms = self.p50_ms();
        let p99_ms = milliseconds(self.appends.value_at_quantile(0.99));
        format!(
            "p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, {:.0}/s: {APPEND_BYTES} bytes and fdatasync, one after another",
            self.per_second()
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "p50Ms": self.p50_ms(),
            "p99Ms": milliseconds(self.appends.value_at_quantile(0.99)),
            "perSecond": self.per_second(),
            "bytes": APPEND_BYTES,
        })
    }
}

/// Appends to a file of its own in this folder for so long, and removes it: one append after another, or one each
/// `pace`.
pub(crate) async fn measure(
    folder: &Path,
    duration: Duration,
    pace: Option<Duration>,
) -> Result<Floor, Failure> {
    let folder = folder.to_owned();
    let mut appends = times()?;
    let task = tokio::task::spawn_blocking(move || {
        append(&folder, duration, pace, &mut appends).map(|seconds| Floor { appends, seconds }).map_err(
            |error| Failure::failed(format!("cannot measure the disk at {}: {error}", folder.display())),
        )
    });
    task.await.unwrap_or_else(|error| Err(Failure::failed(format!("the measurement was ended: {error}"))))
}

/// Appends, and gives the seconds that it took.
fn append(folder: &Path, duration: Duration, pace: Option<Duration>, appends: &mut Times) -> io::Result<f64> {
    let scratch = Scratch::create(folder)?;
    let mut file = &scratch.file;
    let began = Instant::now();
    while began.elapsed() < duration {
        let append = Instant::now();
        file.write_all(&[b'x'; APPEND_BYTES])?;
        file.sync_data()?;
        appends.saturating_record(append.elapsed().as_nanos() as u64);
        if let Some(pace) = pace {
            std::thread::sleep(pace.saturating_sub(append.elapsed()));
        }
    }
    Ok(began.elapsed().as_secs_f64())
}

/// A file that is gone with the measurement.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".anser-bench-floor-{}", std::process::id()));
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        Ok(Self { file, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed is named so that people know it.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_floor_is_measured_and_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("anser-floor-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let floor = measure(&folder, Duration::from_millis(20), None).await.unwrap();
        assert!(floor.per_second() > 0.0);
        assert!(floor.appends.value_at_quantile(0.5) > 0);
        std::fs::remove_dir(&folder).unwrap();
    }
}
