//! What others have to tell a client, until its session does: nobody waits until a client reads.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use frp_log::{Log, debug};
use frp_proto::msg::Message;
use tokio::sync::Notify;

use crate::limits::MAX_OUTBOX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: Mutex<VecDeque<Message>>,
    filled: Notify,
}

impl Outbox {
    /// Has `message` told. It is lost where the client does not read what was told before.
    pub(crate) fn put(&self, log: &Log, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= MAX_OUTBOX {
            drop(messages);
            return debug!(
                log,
                "a {} is lost: the client does not read",
                message.name()
            );
        }
        messages.push_back(message);
        drop(messages);
        self.filled.notify_one();
    }

    /// The next one, once it is there. Only the client's session asks.
    pub(crate) async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.pop_front()
    }
}
