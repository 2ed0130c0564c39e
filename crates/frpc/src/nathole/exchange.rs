//! Questions to frps about holes, on the control connection, and which answer belongs to which (frp
//! `pkg/transport/message.go`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frp_log::shown_error;
use frp_proto::msg::{Message, NatHoleResp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Messages that may wait for the session; who has more to say waits.
const LETTERS: usize = 64;

/// What the session sends.
pub(crate) type Letters = mpsc::Receiver<Message>;

/// The way to frps for those who dig, as long as one session lasts.
#[derive(Debug)]
pub(crate) struct Exchange {
    to_server: mpsc::Sender<Message>,
    /// Who waits, by what the question was called.
    waiting: Mutex<BTreeMap<String, oneshot::Sender<NatHoleResp>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the session with the server has ended")]
    Gone,
    /// In the server's words.
    #[error("{0}")]
    Refused(String),
}

impl Exchange {
    /// The other half is the session's.
    pub(crate) fn new() -> (Self, Letters) {
        let (to_server, letters) = mpsc::channel(LETTERS);
        let exchange = Self {
            to_server,
            waiting: Mutex::default(),
        };
        (exchange, letters)
    }

    /// Asks, and waits for the answer to what is called `id`, which nothing else is.
    pub(crate) async fn ask(
        &self,
        question: Message,
        id: String,
        limit: Duration,
    ) -> Result<NatHoleResp, AskError> {
        let (answered, answer) = oneshot::channel();
        self.waiting().insert(id.clone(), answered);
        let _waits = Waits { exchange: self, id };
        let asked = async {
            let sent = self.to_server.send(question).await;
            sent.map_err(|_| AskError::Gone)?;
            answer.await.map_err(|_| AskError::Gone)
        };
        let answer = timeout(limit, asked).await;
        let answer = answer.unwrap_or(Err(AskError::TimedOut(limit)))?;
        match answer.error.is_empty() {
            true => Ok(answer),
            false => Err(AskError::Refused(shown_error(&answer.error).into_owned())),
        }
    }

    /// Says something that has no answer, if the session takes it now.
    pub(crate) fn tell(&self, message: Message) {
        // What frps is told so is for its statistics.
        let _ = self.to_server.try_send(message);
    }

    /// The server has answered; nobody may be waiting any more.
    pub(crate) fn answered(&self, answer: NatHoleResp) {
        let waits = self.waiting().remove(&answer.transaction_id);
        if let Some(waits) = waits {
            let _ = waits.send(answer);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, oneshot::Sender<NatHoleResp>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits until this is dropped.
struct Waits<'a> {
    exchange: &'a Exchange,
    id: String,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.exchange.waiting().remove(&self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use frp_proto::msg::NatHoleVisitor;

    fn question(id: &str) -> Message {
        NatHoleVisitor {
            transaction_id: id.to_owned(),
            ..NatHoleVisitor::default()
        }
        .into()
    }

    fn answer(id: &str, error: &str) -> NatHoleResp {
        NatHoleResp {
            transaction_id: id.to_owned(),
            error: error.to_owned(),
            ..NatHoleResp::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_gets_the_answer_to_its_own_question_and_nobody_waits_for_ever() {
        let (exchange, mut letters) = Exchange::new();
        let limit = Duration::from_secs(5);
        let ask = |id: &str| exchange.ask(question(id), id.to_owned(), limit);
        let answers = async {
            for _ in 0..3 {
                letters.recv().await.unwrap();
            }
            exchange.answered(answer("nobody's", ""));
            exchange.answered(answer("b", "no"));
            exchange.answered(answer("a", ""));
            exchange.answered(answer("a", "twice"));
        };
        let (a, b, c, ()) = tokio::join!(ask("a"), ask("b"), ask("c"), answers);
        assert_eq!(a.unwrap().transaction_id, "a");
        assert!(matches!(b, Err(AskError::Refused(why)) if why == "no"));
        assert!(matches!(c, Err(AskError::TimedOut(_))));
        assert!(exchange.waiting().is_empty());
        drop(letters);
        assert!(matches!(ask("d").await, Err(AskError::Gone)));
        assert!(exchange.waiting().is_empty());
    }
}
