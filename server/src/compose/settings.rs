//! What each role is configured with: the one table of keys, in each role's own words.

use auth::keys::Keys;
use runtime::config::Settings;

pub(super) fn auth_config(settings: &Settings, dev: bool, keys: &Keys) -> auth::Config {
    auth::Config {
        token_key: keys.token_key.clone(),
        trust_everybody: dev,
        goim_trust_mid: settings.bool("goim.trust_mid"),
    }
}

pub(super) fn proxy_config(settings: &Settings) -> proxy::Config {
    proxy::Config {
        tcp: settings.address("listen.tcp"),
        ws: settings.address("listen.ws"),
        shards: settings.size("proxy.shards"),
        frame_body_bytes_max: settings.size("proxy.frame_body_bytes_max"),
        send_queue_bytes_max: settings.size("proxy.send_queue_bytes_max"),
        slow_time_limit: settings.duration("proxy.slow_time_limit"),
        idle_time_limit: settings.duration("proxy.idle_time_limit"),
        auth_time_limit: settings.duration("auth.time_limit"),
        chat_heartbeat: settings.duration("proxy.chat_heartbeat"),
        connections_max: settings.size("proxy.connections_max"),
        connections_per_address_max: settings.size("proxy.connections_per_address_max"),
        connection_rate_per_address_max: number(settings, "proxy.connection_rate_per_address_max"),
        requests_per_second_max: number(settings, "proxy.requests_per_second_max"),
        merge_share: settings.float("merge.share"),
        merge_budget: settings.duration("merge.budget"),
        allowed_origins: settings.texts("web.allowed_origins").to_vec(),
        chat_operation: operation(settings),
    }
}

pub(super) fn router_config(settings: &Settings) -> router::Config {
    let devices = match settings.text("router.devices") {
        "platform" => router::DeviceRule::OnePerPlatform,
        "single" => router::DeviceRule::Single,
        _ => router::DeviceRule::All,
    };
    router::Config { devices, ..router::Config::default() }
}

pub(super) fn push_config(settings: &Settings) -> push::Config {
    push::Config { proxy_deadline: settings.duration("push.proxy_time_limit"), ..push::Config::default() }
}

pub(super) fn logic_config(settings: &Settings) -> logic::Config {
    let heartbeat = settings.duration("proxy.heartbeat");
    let missed = settings.duration("proxy.idle_time_limit").as_millis() / heartbeat.as_millis().max(1);
    logic::Config {
        heartbeat,
        heartbeat_max: u32::try_from(missed).unwrap_or(u32::MAX),
        domain: settings.text("goim.domain").to_owned(),
        host_domain: settings.text("goim.host_domain").to_owned(),
        wss_port: 0,
        operation: operation(settings),
    }
}

pub(super) fn im_config(settings: &Settings) -> im::Config {
    im::Config {
        node: u16::try_from(settings.integer("im.node")).unwrap_or_default(),
        inbox_top_age_max: settings.duration("proxy.chat_heartbeat"),
        sweep_period: settings.duration("im.sweep_period"),
        sweep_age: settings.duration("im.sweep_age"),
        answer_kept: settings.duration("im.answer_kept"),
        group_members_max: settings.integer("im.group_members_max"),
        recall_time_limit: settings.duration("im.recall_time_limit"),
        single_chat: match settings.text("im.single_chat") {
            "existing" => im::SingleChatRule::Existing,
            _ => im::SingleChatRule::Anyone,
        },
        ..im::Config::default()
    }
}

pub(super) fn operation(settings: &Settings) -> i32 {
    i32::try_from(settings.integer("goim.chat_operation")).unwrap_or(i32::MAX)
}

pub(super) fn number(settings: &Settings, name: &str) -> u32 {
    u32::try_from(settings.integer(name)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use runtime::config::Sources;

    use super::*;

    /// Reading every key once finds a name or a type that the table does not have.
    #[test]
    fn every_role_is_configured_from_the_table() {
        let settings = crate::config::TABLE.resolve(&Sources::default()).unwrap();
        let proxy = proxy_config(&settings);
        let default = proxy::Config::default();
        assert_eq!((proxy.tcp, proxy.ws), (default.tcp, default.ws));
        assert_eq!(proxy.frame_body_bytes_max, default.frame_body_bytes_max);
        assert_eq!(proxy.idle_time_limit, default.idle_time_limit);
        assert_eq!(proxy.auth_time_limit, default.auth_time_limit);
        assert_eq!(proxy.merge_budget, default.merge_budget);
        let logic = logic_config(&settings);
        assert_eq!((logic.heartbeat.as_secs(), logic.heartbeat_max), (240, 2));
        let (im, default) = (im_config(&settings), im::Config::default());
        assert_eq!((im.answer_kept, im.recall_time_limit), (default.answer_kept, default.recall_time_limit));
        assert_eq!((im.group_members_max, im.single_chat), (default.group_members_max, default.single_chat));
        assert_eq!(router_config(&settings).devices, router::Config::default().devices);
        assert_eq!(push_config(&settings).proxy_deadline, push::Config::default().proxy_deadline);
    }
}
