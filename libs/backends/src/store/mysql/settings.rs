//! Whether a server is set so that what is answered stays: looked at when the store is opened.

use super::connect::Session;
use super::sql::Columns;
use super::sql::Sql;
use super::trouble::Trouble;
use crate::{Error, Kind, Result};

/// Bytes of a packet that a server must take: a batch, or one message of the longest kind, in hexadecimal.
const PACKET_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// What somebody who is to read and write must be granted.
const PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    flush_log: String,
    sync_binlog: u64,
    log_bin: bool,
    binlog_format: String,
    charset: String,
    isolation: String,
    packet_bytes: u64,
    granted: Vec<String>,
}

/// Looks at the settings of the server and at what its user may.
///
/// # Errors
/// `Missing` where what was answered could be lost; it names the setting and how to set it.
pub(super) async fn check(session: &mut Session, user: &str, database: &str) -> Result<()> {
    let settings = read(session, database).await.map_err(Trouble::into_error)?;
    let place = session.place();
    if let Some(refusal) = refusals(&settings, user, database).first() {
        return Err(Error::new(Kind::Missing, format!("{place}: {refusal}")));
    }
    for warning in warnings(&settings, database) {
        tracing::warn!(target: "store", place = %place, warning, "a setting of the database is not as it should be");
    }
    Ok(())
}

async fn read(session: &mut Session, database: &str) -> std::result::Result<Settings, Trouble> {
    let mut sql = Sql::new(
        "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.sync_binlog, @@GLOBAL.log_bin, \
         @@SESSION.binlog_format, @@SESSION.tx_isolation, @@SESSION.max_allowed_packet, \
         (SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = DATABASE()); \
         SELECT privilege_type FROM information_schema.user_privileges WHERE grantee IN ",
    );
    // The names of user and roles as these tables have them.
    const GRANTEES: &str = "(SELECT CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', \
         QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))) \
         UNION SELECT QUOTE(role_name) FROM information_schema.enabled_roles WHERE role_name IS NOT NULL)";
    sql.push(GRANTEES).push(" UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE ");
    sql.words(database).push(" LIKE table_schema AND grantee IN ").push(GRANTEES);
    let answers = session.run(sql).await?;
    let [variables, granted] = &answers[..] else { return Err(super::fan_out::unanswered()) };
    let Some(row) = variables.rows.first() else { return Err(super::fan_out::unanswered()) };
    let mut columns = Columns::of(row, "variables");
    let mut settings = Settings {
        flush_log: columns.text()?.to_owned(),
        sync_binlog: columns.number()?,
        log_bin: columns.flag()?,
        binlog_format: columns.text()?.to_owned(),
        isolation: columns.text()?.to_owned(),
        packet_bytes: columns.number()?,
        charset: columns.text()?.to_owned(),
        granted: Vec::new(),
    };
    for row in &granted.rows {
        settings.granted.push(Columns::of(row, "privileges").text()?.to_owned());
    }
    Ok(settings)
}

/// Why nothing is to be written there.
fn refusals(settings: &Settings, user: &str, database: &str) -> Vec<String> {
    let mut refusals = Vec::new();
    if settings.flush_log != "1" {
        refusals.push(format!(
            "innodb_flush_log_at_trx_commit is {}: a loss of power would lose answered messages; set it to 1",
            settings.flush_log
        ));
    }
    if settings.log_bin && settings.sync_binlog != 1 {
        refusals.push(format!(
            "sync_binlog is {}: a loss of power would part the binary log from the tables; set it to 1",
            settings.sync_binlog
        ));
    }
    if settings.log_bin && settings.binlog_format == "STATEMENT" {
        refusals.push("binlog_format is STATEMENT: set it to ROW".to_owned());
    }
    if settings.isolation != "READ-COMMITTED" {
        refusals.push(format!(
            "tx_isolation of a session stays {}: it must be possible to set it to READ-COMMITTED",
            settings.isolation
        ));
    }
    if settings.packet_bytes < PACKET_BYTES_MIN {
        refusals.push(format!(
            "max_allowed_packet is {}: set it to {PACKET_BYTES_MIN} at least",
            settings.packet_bytes
        ));
    }
    let is_granted = |name: &&&str| settings.granted.iter().any(|granted| granted == **name);
    let missing: Vec<&str> = PRIVILEGES.iter().filter(|name| !is_granted(name)).copied().collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        refusals.push(format!("user {user} may not {missing}: GRANT {missing} ON {database}.* TO {user}"));
    }
    refusals
}

/// What works and is yet to be set otherwise.
fn warnings(settings: &Settings, database: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.charset != "utf8mb4" {
        warnings.push(format!(
            "character set of database {database} is {}: ALTER DATABASE {database} CHARACTER SET utf8mb4",
            settings.charset
        ));
    }
    if settings.log_bin && settings.binlog_format != "ROW" {
        warnings.push(format!("binlog_format is {}: set it to ROW", settings.binlog_format));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            flush_log: "1".to_owned(),
            sync_binlog: 1,
            log_bin: true,
            binlog_format: "ROW".to_owned(),
            charset: "utf8mb4".to_owned(),
            isolation: "READ-COMMITTED".to_owned(),
            packet_bytes: PACKET_BYTES_MIN,
            granted: PRIVILEGES.map(str::to_owned).into(),
        }
    }

    fn refusal(settings: &Settings) -> String {
        refusals(settings, "im", "anser").join("; ")
    }

    #[test]
    fn a_server_that_is_set_well_is_taken_without_a_word() {
        assert_eq!(refusal(&good()), "");
        assert!(warnings(&good(), "anser").is_empty());
    }

    #[test]
    fn what_could_be_lost_is_refused_by_the_name_of_its_setting() {
        let flush = Settings { flush_log: "2".to_owned(), ..good() };
        assert!(refusal(&flush).starts_with("innodb_flush_log_at_trx_commit is 2"));
        let sync = Settings { sync_binlog: 0, ..good() };
        assert!(refusal(&sync).starts_with("sync_binlog is 0"));
        assert_eq!(
            refusal(&Settings { log_bin: false, ..sync }),
            "",
            "without a binary log it means nothing"
        );
        let granted = vec!["SELECT".to_owned(), "INSERT".to_owned()];
        let wanted = "user im may not UPDATE, DELETE: GRANT UPDATE, DELETE ON anser.* TO im";
        assert_eq!(refusal(&Settings { granted, ..good() }), wanted);
    }

    #[test]
    fn what_only_should_be_otherwise_is_warned_of() {
        let other = Settings { charset: "latin1".to_owned(), binlog_format: "MIXED".to_owned(), ..good() };
        assert_eq!((refusal(&other), warnings(&other, "anser").len()), (String::new(), 2));
    }
}
