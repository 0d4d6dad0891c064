//! Settings in the environment: `ANSER_LISTEN__TCP` is `listen.tcp`.

use super::settings::Settings;
use super::{Origin, Problem, Table, unknown};

/// Puts the environment's values into the settings, or says what is wrong with them.
pub(super) fn read(
    table: &Table,
    environment: &[(String, String)],
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    for (variable, text) in environment {
        if !variable.starts_with(table.prefix) || table.other_variables.contains(&variable.as_str()) {
            continue;
        }
        let place = || format!("environment variable {variable}");
        let Some(key) = table.keys.iter().find(|key| key.variable(table.prefix) == *variable) else {
            let settings = table.keys.iter().map(|key| key.variable(table.prefix));
            let others = table.other_variables.iter().map(|&name| name.to_owned());
            let message = unknown("variable", variable, settings.chain(others));
            problems.push(Problem { place: place(), message });
            continue;
        };
        match key.kind.parse(text) {
            Ok(value) => {
                let origin = Origin::Environment { variable: variable.clone() };
                settings.put(key.name, value, origin);
            }
            Err(expected) => problems.push(Problem { place: place(), message: expected }),
        }
    }
}
