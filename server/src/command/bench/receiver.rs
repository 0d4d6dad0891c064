//! A receiver: reads what arrives, and knows each message of the run by its number.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anser_client::{FromServer, Push, RequestKind};
use protocol::client::{self, Message, message};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Times;
use super::people::Connected;
use super::sender::Run;

/// What one receiver saw.
pub(crate) struct Received {
    /// From before the send to the arrival here.
    pub(crate) delivery_times: Times,
    pub(crate) double_count: u64,
    pub(crate) lost_connection: Option<String>,
}

/// Reads until told to stop.
pub(crate) async fn receive_until_told(
    run: Arc<Run>,
    mut connected: Connected,
    mut stop: watch::Receiver<bool>,
    delivery_times: Times,
) -> Received {
    let mut received = Received { delivery_times, double_count: 0, lost_connection: None };
    // One sender writes to this receiver and its messages come in its order, so a number that is not above the
    // last one came before.
    let mut last_number = 0;
    let mut heartbeat = interval(connected.heartbeat_every);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let result = tokio::select! {
            item = connected.connection.next() => item.map(Some),
            _ = heartbeat.tick() => {
                let request = RequestKind::Heartbeat(client::Heartbeat {});
                connected.connection.send(request).await.map(|_| None)
            }
            _ = stop.changed() => return received,
        };
        match result {
            Ok(Some(FromServer::Push(Push::Message(message)))) => {
                let Some((number, sent_at)) = parse(&run.name, &message) else { continue };
                if number > last_number {
                    last_number = number;
                    let time = (run.began.elapsed().as_nanos() as u64).saturating_sub(sent_at);
                    received.delivery_times.saturating_record(time);
                    run.received_count.fetch_add(1, Ordering::Relaxed);
                } else {
                    received.double_count += 1;
                }
            }
            Ok(_) => {}
            Err(error) => {
                received.lost_connection = Some(error.to_string());
                return received;
            }
        }
    }
}

/// The number of a message of this run, and when it was sent.
fn parse(run: &str, message: &Message) -> Option<(u64, u64)> {
    let Some(message::Content::Text(text)) = &message.content else { return None };
    let (number, sent_at) = text.strip_prefix(run)?.trim_start().split_once(' ')?;
    Some((number.parse().ok()?, sent_at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_another_run_is_not_counted() {
        let message = |text: &str| Message {
            content: Some(message::Content::Text(text.to_owned())),
            ..Message::default()
        };
        assert_eq!(parse("run-1", &message("run-1 7 900")), Some((7, 900)));
        assert_eq!(parse("run-1", &message("run-2 7 900")), None);
        assert_eq!(parse("run-1", &message("hi")), None);
    }
}
