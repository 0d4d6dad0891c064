//! Which trace a call belongs to, carried between processes as W3C's `traceparent`.
//!
//! A call takes the context it runs in: the one that came with the call that is being answered, else one made of the
//! current span, else none. The callee answers within a span that names the trace, so that the logs of all
//! processes that one request went through have a word in common.

use std::fmt;
use std::future::Future;
use std::sync::OnceLock;

use tracing::Instrument as _;

/// The metadata's name.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The same in all that one request leads to; never 0.
    pub trace_id: u128,
    /// Who called; never 0.
    pub span_id: u64,
    /// Somebody keeps this trace.
    pub sampled: bool,
}

tokio::task_local! {
    static CURRENT: Context;
}

impl Context {
    /// The context that a call made here belongs to.
    #[must_use]
    pub fn current() -> Option<Self> {
        let span_id = tracing::Span::current().id().map(|id| id.into_u64());
        match CURRENT.try_with(|context| *context) {
            Ok(context) => Some(Self { span_id: span_id.unwrap_or(context.span_id), ..context }),
            Err(_) => span_id.map(Self::of_span),
        }
    }

    /// Reads a `traceparent`; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let lengths = (version.len(), trace.len(), span.len(), flags.len());
        if lengths != (2, 32, 16, 2) || ![version, trace, span, flags].into_iter().all(is_hex) {
            return None;
        }
        // Version ff is forbidden, and version 00 has no further parts.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// Runs what belongs to this context.
    pub async fn scope<F: Future>(self, call: &'static str, future: F) -> F::Output {
        let trace = format!("{:032x}", self.trace_id);
        let span = tracing::info_span!(target: "contracts", "call", call, trace);
        CURRENT.scope(self, future.instrument(span)).await
    }

    /// A span is one trace as long as nobody says otherwise: its number beside one of the process.
    fn of_span(span_id: u64) -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        let process = *PROCESS.get_or_init(|| rand::random::<u64>() | 1);
        Self { trace_id: u128::from(process) << 64 | u128::from(span_id), span_id, sampled: true }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Runs a call under the context that came with it, if one did.
pub(crate) async fn under<F: Future>(traceparent: Option<&str>, call: &'static str, future: F) -> F::Output {
    match traceparent.and_then(Context::parse) {
        Some(context) => context.scope(call, future).await,
        None => future.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_was_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = Context::parse(text).unwrap();
        assert_eq!((context.span_id, context.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(context.to_string(), text);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_call_within_a_call_belongs_to_the_same_trace() {
        assert_eq!(Context::current(), None);
        let context = Context { trace_id: 7, span_id: 9, sampled: true };
        let inner = context.scope("test", async { Context::current() }).await.unwrap();
        assert_eq!(inner.trace_id, 7);
    }
}
