//! A sender in a closed loop: it sends, waits for the answer, and sends again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anser_client::{Error, RequestKind, To};
use protocol::client::{self, SendReply, send};
use tokio::time::{sleep, timeout};

use super::Times;
use super::people::Connected;

/// An answer that takes longer than this is counted as an error, and ends its sender.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// A sender that was refused waits, so that refusals do not become the load.
const REFUSED_WAIT: Duration = Duration::from_millis(10);

/// What all senders of a run share.
pub(crate) struct Run {
    /// Tells this run's messages from those of others.
    pub(crate) name: String,
    pub(crate) began: Instant,
    pub(crate) until: Instant,
    pub(crate) answered_count: AtomicU64,
    pub(crate) received_count: AtomicU64,
}

/// What one sender saw.
pub(crate) struct Sent {
    pub(crate) answer_times: Times,
    pub(crate) error_count: u64,
    pub(crate) first_error: Option<String>,
}

/// Sends to one receiver until the run's time is over.
pub(crate) async fn send_until_the_end(
    run: Arc<Run>,
    mut connected: Connected,
    to: String,
    mut answer_times: Times,
) -> Sent {
    let (mut error_count, mut first_error) = (0, None);
    let mut number = 0u64;
    while Instant::now() < run.until {
        number += 1;
        let sent_at = Instant::now();
        match timeout(ANSWER_WAIT, send_one(&run, &mut connected, &to, number)).await {
            Ok(Ok(_)) => {
                answer_times.saturating_record(sent_at.elapsed().as_nanos() as u64);
                run.answered_count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(error)) => {
                error_count += 1;
                first_error.get_or_insert(error.to_string());
                if !matches!(error, Error::Refused(_)) {
                    break;
                }
                sleep(REFUSED_WAIT).await;
            }
            Err(_) => {
                error_count += 1;
                first_error.get_or_insert(format!("no answer within {ANSWER_WAIT:?}"));
                break;
            }
        }
    }
    Sent { answer_times, error_count, first_error }
}

async fn send_one(run: &Run, connected: &mut Connected, to: &str, number: u64) -> Result<SendReply, Error> {
    let since_began = run.began.elapsed().as_nanos();
    let request = RequestKind::Send(client::Send {
        to: Some(To::user(to).into()),
        client_message_id: format!("{}-{to}-{number}", run.name),
        content: Some(send::Content::Text(format!("{} {number} {since_began}", run.name))),
    });
    connected.connection.request(request).await
}
