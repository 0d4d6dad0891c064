//! The cache on Redis, in the seed's picture "redis with sentinels".
//!
//! A top is one value under one key: the seq and when it was raised, by the clock of the Redis server. A script
//! raises a batch of tops in one round trip and atomically for each, so of two who raise the same top the higher
//! one stays. Whoever reads takes the age from that server's clock too, so clocks of roles play no part; a value
//! from the future of the server's clock (which was set back, or is another one after a failover) is not answered.
//!
//! **What a failover can do.** A new master may lack what was raised last. What it answers is then an earlier top
//! with that one's own, greater age: a value that the store had, not longer than `age_max` ago. That is what the
//! contract promises of every answer; none is ever above the store's. A wiped Redis answers that it knows nothing.
//!
//! **What it costs when it is away.** A call takes [`link::CALL_TIME`] at most, and one that finds Redis known to
//! be away is answered at once. Values end on their own after [`KEPT`].

mod address;
mod link;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::{ConversationId, Identifier, UserId};
use redis::{Pipeline, Value};

use self::address::Address;
use self::link::Link;
use super::Cache;
use crate::{Error, Kind, Result};

/// How long a top is kept that nobody raises again: above every age that callers ask for.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Keys of one command: while Redis works on it, everybody else waits.
const COMMAND_KEYS_COUNT: usize = 512;
/// Digits of a seq: as many as the greatest one has, so that texts compare as numbers do.
const SEQ_DIGITS: usize = 20;
/// Digits of the microseconds since 1970 behind it.
const TIME_DIGITS: usize = 16;

/// Raises each key to the seq given for it; a lower one renews the age of what is there.
const RAISE: &str = r"
local now = redis.call('TIME')
local at = string.format('%010d%06d', now[1], now[2])
for place, key in ipairs(KEYS) do
  local seq, known = ARGV[place + 1], redis.call('GET', key)
  if known and #known == 36 then
    local before = string.sub(known, 1, 20)
    if before > seq then seq = before end
  end
  redis.call('SET', key, seq .. at, 'PX', ARGV[1])
end
return 0
";

/// Opens a cache on one Redis: `//[user:password@]host:port[/db][?prefix=…]`.
///
/// # Errors
/// `Missing` for a URL that is written otherwise, or a login that Redis refuses. A Redis that is away is none: it is
/// looked for in the background.
pub async fn open_single(rest: &str) -> Result<Arc<dyn Cache>> {
    open(Address::single(rest)?).await
}

/// Opens a cache on the master that sentinels name: `//[user:password@]host:port,…/master[/db][?prefix=…]`, the
/// servers being the sentinels and the login that of the master.
///
/// # Errors
/// As [`open_single`].
pub async fn open_sentinel(rest: &str) -> Result<Arc<dyn Cache>> {
    open(Address::sentinel(rest)?).await
}

async fn open(address: Address) -> Result<Arc<dyn Cache>> {
    let prefix = address.prefix.clone();
    Ok(Arc::new(RedisCache { prefix, link: Link::open(address).await? }))
}

struct RedisCache {
    prefix: String,
    link: Link,
}

#[async_trait]
impl Cache for RedisCache {
    async fn inbox_tops(&self, users: &[UserId], age_max: Duration) -> Result<Vec<Option<u64>>> {
        self.get("inbox", users.iter().map(Identifier::as_str), age_max).await
    }

    async fn raise_inbox_tops(&self, tops: &[(UserId, u64)]) -> Result<()> {
        self.raise("inbox", tops.iter().map(|(user, seq)| (user.as_str(), *seq))).await
    }

    async fn outbox_tops(
        &self,
        conversations: &[ConversationId],
        age_max: Duration,
    ) -> Result<Vec<Option<u64>>> {
        self.get("outbox", conversations.iter().map(ConversationId::as_str), age_max).await
    }

    async fn raise_outbox_tops(&self, tops: &[(ConversationId, u64)]) -> Result<()> {
        self.raise("outbox", tops.iter().map(|(conversation, seq)| (conversation.as_str(), *seq))).await
    }
}

impl RedisCache {
    /// The key of a box; an id stands in it byte for byte.
    fn key(&self, kind: &str, owner: &str) -> String {
        format!("{}:{kind}:{owner}", self.prefix)
    }

    async fn get<'ids>(
        &self,
        kind: &str,
        owners: impl Iterator<Item = &'ids str>,
        age_max: Duration,
    ) -> Result<Vec<Option<u64>>> {
        let keys: Vec<String> = owners.map(|owner| self.key(kind, owner)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::new();
        for keys in keys.chunks(COMMAND_KEYS_COUNT) {
            pipeline.cmd("MGET").arg(keys);
        }
        // The time comes last, so that no age is taken for less than it is.
        pipeline.cmd("TIME");
        let mut answers: Vec<Value> = self.link.query(&pipeline).await?;
        let time = answers.pop().and_then(|time| redis::from_redis_value(time).ok());
        let Some((seconds, micros)) = time else { return Err(strange("TIME")) };
        let now = micros_of(seconds, micros);
        let mut tops = Vec::with_capacity(keys.len());
        for answer in answers {
            let values: Vec<Option<Vec<u8>>> =
                redis::from_redis_value(answer).map_err(|_| strange("MGET"))?;
            tops.extend(values.into_iter().map(|value| top(&value?, now, age_max)));
        }
        if tops.len() == keys.len() { Ok(tops) } else { Err(strange("MGET")) }
    }

    async fn raise<'ids>(&self, kind: &str, tops: impl Iterator<Item = (&'ids str, u64)>) -> Result<()> {
        let tops: Vec<(String, u64)> = tops.map(|(owner, seq)| (self.key(kind, owner), seq)).collect();
        if tops.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::new();
        for tops in tops.chunks(COMMAND_KEYS_COUNT) {
            // The script's text travels with each call: after a failover or a wiped Redis its name alone is unknown.
            let command = pipeline.cmd("EVAL").arg(RAISE).arg(tops.len());
            for (key, _) in tops {
                command.arg(key);
            }
            command.arg(KEPT.as_millis());
            for (_, seq) in tops {
                command.arg(format!("{seq:0SEQ_DIGITS$}"));
            }
            command.ignore();
        }
        self.link.query(&pipeline).await
    }
}

fn micros_of(seconds: u64, micros: u64) -> u64 {
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

/// The seq of a stored value that is not older than `age_max`; a value that is none of ours is not there.
fn top(value: &[u8], now_micros: u64, age_max: Duration) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() == SEQ_DIGITS + TIME_DIGITS)?;
    let (seq, raised_at) = text.split_at_checked(SEQ_DIGITS)?;
    let age_micros = now_micros.checked_sub(raised_at.parse().ok()?)?;
    let seq = seq.parse().ok()?;
    (u128::from(age_micros) <= age_max.as_micros()).then_some(seq)
}

fn strange(command: &str) -> Error {
    Error::new(Kind::Transient, format!("redis answered {command} with something else than it should"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_top_is_answered_up_to_its_age_and_not_from_the_future() {
        let value = format!("{:020}{:016}", u64::MAX, 1_700_000_000_000_000_u64);
        let at = |now, age_max| top(value.as_bytes(), now, Duration::from_micros(age_max));
        assert_eq!(at(1_700_000_000_000_005, 5), Some(u64::MAX));
        assert_eq!(at(1_700_000_000_000_006, 5), None);
        assert_eq!(at(1_699_999_999_999_999, 5), None);
        assert_eq!(top(value.as_bytes(), u64::MAX, Duration::MAX), Some(u64::MAX));
    }

    #[test]
    fn what_another_program_wrote_is_not_there() {
        for value in ["", "7", &"x".repeat(36), &"ü".repeat(18), &"1".repeat(37)] {
            assert_eq!(top(value.as_bytes(), u64::MAX, Duration::MAX), None, "{value:?}");
        }
    }
}
