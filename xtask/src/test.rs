//! `cargo xtask test`: everything that must hold before a change is kept, the cheapest first.
//!
//! It installs what is missing, stops at the first step that fails, says how long each one took, and ends
//! with one line, `N passed, N failed`: the sum over all test runners, read from what they print.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::install::{self, npm, npm_packages};
use crate::process::{self, Done, Failure, failure, say};
use crate::{check, tidy};

/// A part of the run, with the words it is announced and summed up in.
struct Step {
    name: &'static str,
    work: Work,
}

/// What a step does.
enum Work {
    /// It passes or fails as a whole.
    Whole(fn(&Path) -> Done),
    /// It runs tests, which are counted.
    Tests(fn(&Path, &mut Tally) -> Done),
}

/// The steps in their order. The page stands before the binary, which embeds it.
const STEPS: [Step; 11] = [
    Step { name: "what is missing", work: Work::Whole(install::everything) },
    Step { name: "format", work: Work::Whole(check::format) },
    Step { name: "tidy", work: Work::Whole(tidy::run) },
    Step { name: "dependencies", work: Work::Whole(check::dependencies) },
    Step { name: "advisories", work: Work::Whole(check::advisories) },
    Step { name: "js-sdk tests", work: Work::Tests(js_sdk) },
    Step { name: "page", work: Work::Whole(page) },
    Step { name: "lints", work: Work::Whole(check::lints) },
    Step { name: "test build", work: Work::Whole(build) },
    Step { name: "rust tests", work: Work::Tests(rust) },
    Step { name: "page tests", work: Work::Tests(page_in_browser) },
];

/// Runs every step until one fails.
///
/// # Errors
/// A step failed. The words are empty: the summary has said which.
pub(crate) fn run(root: &Path) -> Done {
    let started = Instant::now();
    let mut rows = Vec::new();
    let mut total = Tally::default();
    let mut stopped = None;
    for step in STEPS {
        say(step.name);
        let step_started = Instant::now();
        let (tally, done) = step.run(root);
        total.passed += tally.passed;
        total.failed += tally.failed;
        rows.push(row(step.name, step_started.elapsed(), &tally, done.is_ok()));
        if let Err(Failure(why)) = done {
            stopped = Some(format!("stopped at the first step that failed: {}: {why}", step.name));
            break;
        }
    }
    println!();
    for row in rows {
        println!("{row}");
    }
    println!("{:<16}{:>8.1} s", "all", started.elapsed().as_secs_f64());
    let done = if stopped.is_some() { failure("") } else { Ok(()) };
    if let Some(why) = stopped {
        println!("{why}");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    done
}

impl Step {
    fn run(&self, root: &Path) -> (Tally, Done) {
        let mut tally = Tally::default();
        let done = match self.work {
            Work::Whole(work) => work(root),
            Work::Tests(work) => work(root, &mut tally).and_then(|()| tally.must_have_counted()),
        };
        // A step that failed without a failed test (it did not compile, a test process died) counts as one,
        // so that the last line never says `0 failed` of a run that failed.
        if done.is_err() && tally.failed == 0 {
            tally.failed = 1;
        }
        (tally, done)
    }
}

fn row(name: &str, took: Duration, tally: &Tally, passed: bool) -> String {
    let verdict = if passed { "passed" } else { "FAILED" };
    let counts = match (tally.passed, tally.failed, tally.skipped) {
        (0, 0, 0) => String::new(),
        (passed, failed, 0) => format!("   {passed} passed, {failed} failed"),
        (passed, failed, skipped) => format!("   {passed} passed, {failed} failed, {skipped} skipped"),
    };
    format!("{name:<16}{:>8.1} s   {verdict}{counts}", took.as_secs_f64())
}

fn js_sdk(root: &Path, tally: &mut Tally) -> Done {
    npm_packages(root, "clients/js-sdk")?;
    tally.count(npm(root, "clients/js-sdk").arg("test"))
}

/// Builds the chat page into `clients/web/dist`, from where the binary takes it.
///
/// # Errors
/// npm fails.
pub(crate) fn page(root: &Path) -> Done {
    npm_packages(root, "clients/js-sdk")?;
    npm_packages(root, "clients/web")?;
    process::run(npm(root, "clients/web").args(["run", "build"]))
}

fn build(root: &Path) -> Done {
    process::run(process::cargo(root).args(["test", "--workspace", "--no-run"]))
}

fn rust(root: &Path, tally: &mut Tally) -> Done {
    tally.count(process::cargo(root).args(["test", "--workspace", "--no-fail-fast"]))
}

fn page_in_browser(root: &Path, tally: &mut Tally) -> Done {
    let mut tests = npm(root, "clients/web");
    tests.arg("test");
    tests.env("CHROMIUM", install::chromium()?);
    // They know the binary's usual place, and that only the one there must carry the page.
    let target = process::target(root)?;
    if target != root.join("target") {
        tests.env("ANSER_BIN", target.join("debug/anser"));
    }
    tally.count(&mut tests)
}

/// How many tests passed, failed and were skipped, read from the lines that the runners print.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Inside the summary of Node's runner, whose lines are too short to be known alone.
    in_node_summary: bool,
}

impl Tally {
    /// Runs a test runner and counts.
    fn count(&mut self, runner: &mut Command) -> Done {
        process::watch(runner, process::SILENCE_MAX, |line| self.read(line))
    }

    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.read_libtest(result);
        } else if let Some(count) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            self.read_node(count);
        }
    }

    /// Reads `ok. 3 passed; 0 failed; 0 ignored; …`.
    fn read_libtest(&mut self, result: &str) {
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.skipped += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Reads one of `tests 4`, `suites 1`, `pass 3`, `fail 1`, `cancelled 0`, …, `duration_ms 12`, each a
    /// line of its own in this order.
    fn read_node(&mut self, count: &str) {
        let Some((name, number)) = count.split_once(' ') else { return };
        match name {
            "tests" => self.in_node_summary = true,
            "duration_ms" => self.in_node_summary = false,
            "pass" if self.in_node_summary => self.passed += number.parse().unwrap_or(0),
            // Node counts a test that was still running when its file ended as cancelled.
            "fail" | "cancelled" if self.in_node_summary => self.failed += number.parse().unwrap_or(0),
            "skipped" | "todo" if self.in_node_summary => self.skipped += number.parse().unwrap_or(0),
            _ => {}
        }
    }

    /// A step of tests in which none was counted did not test what it should.
    fn must_have_counted(&self) -> Done {
        if self.passed > 0 {
            Ok(())
        } else {
            failure("no test ran, or the runner's summary was not understood")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.read(line));
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn results_of_several_rust_test_binaries_are_added() {
        let lines = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(tally(lines), (5, 1, 1));
    }

    #[test]
    fn both_reports_of_the_runner_of_node_are_read() {
        let tap = "# tests 4\n# suites 0\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n# duration_ms 6";
        assert_eq!(tally(tap), (2, 2, 1));
        assert_eq!(tally(&tap.replace('#', "ℹ")), (2, 2, 1));
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_a_summary() {
        assert_eq!(tally("# pass 7\n# fail 7\nthe test result: ok. 9 passed"), (0, 0, 0));
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one_failure() {
        let step = Step { name: "step", work: Work::Whole(|_| failure("why")) };
        let (tally, done) = step.run(Path::new("."));
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert!(done.is_err());
    }

    #[test]
    fn a_step_of_tests_that_runs_none_fails() {
        let step = Step { name: "step", work: Work::Tests(|_, _| Ok(())) };
        assert!(step.run(Path::new(".")).1.is_err());
        let step = Step {
            name: "step",
            work: Work::Tests(|_, tally| {
                tally.read("test result: ok. 1 passed; 0 failed");
                Ok(())
            }),
        };
        assert!(step.run(Path::new(".")).1.is_ok());
    }

    #[test]
    fn the_page_is_built_before_the_binary_and_the_tests_after_it() {
        let at = |name| STEPS.iter().position(|step| step.name == name);
        assert!(at("page") < at("test build"));
        assert!(at("test build") < at("rust tests"));
        assert!(at("rust tests") < at("page tests"));
    }
}
