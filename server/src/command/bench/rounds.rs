//! Several rounds of one measurement, and their median.

use clap::Parser;

use super::super::failure::Failure;
use super::super::output::note;

/// How often and how long is measured.
#[derive(Debug, Clone, Parser)]
pub(super) struct Rounds {
    /// How long a round sends.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(super) seconds: u64,
    /// How many rounds; the median is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
}

impl Rounds {
    /// Says which round begins.
    pub(super) fn note(&self, number: u64, what: &str) {
        note(&format!("round {number} of {}: {what}", self.rounds));
    }
}

/// The middle one of some numbers; of an even count the lower middle, so that it was measured. 0 where there is none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// One number over another, to three digits; 0 where there is nothing to divide by.
pub(super) fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { (value / by * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// What went wrong in a measurement.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) error_count: u64,
    pub(super) missing_count: u64,
    pub(super) double_count: u64,
    pub(super) first_error: Option<String>,
}

impl Faults {
    pub(super) fn error(&mut self, error: impl Into<String>) {
        self.error_count += 1;
        self.first_error.get_or_insert(error.into());
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.error_count += other.error_count;
        self.missing_count += other.missing_count;
        self.double_count += other.double_count;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
    }

    /// A failure where there is any.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let Self { error_count, missing_count, double_count, first_error } = self;
        if error_count + missing_count + double_count == 0 {
            return Ok(());
        }
        let first =
            first_error.as_ref().map(|error| format!("; the first error: {error}")).unwrap_or_default();
        Err(Failure::failed(format!(
            "{error_count} errors, {missing_count} messages did not arrive, {double_count} arrived twice{first}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_was_measured_and_a_ratio_never_divides_by_nothing() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median([]).abs() < f64::EPSILON);
        assert!((ratio(1.0, 3.0) - 0.333).abs() < f64::EPSILON);
        assert!(ratio(1.0, 0.0).abs() < f64::EPSILON);
    }

    #[test]
    fn any_fault_is_a_failure() {
        let mut faults = Faults::default();
        assert!(faults.verdict().is_ok());
        faults.add(&Faults { missing_count: 1, ..Faults::default() });
        faults.error("refused");
        let said = faults.verdict().unwrap_err().to_string();
        assert_eq!(said, "1 errors, 1 messages did not arrive, 0 arrived twice; the first error: refused");
    }
}
