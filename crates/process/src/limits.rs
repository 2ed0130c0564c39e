//! How long a program that was asked to end may take.

use std::time::Duration;

/// How long a frpc that was asked to end may take for it, whatever hangs; whole seconds. More than
/// `LEAVE` and `LAST_TASKS` of frpc together.
pub const GRACEFUL_END: Duration = Duration::from_secs(3);

/// How long a program that ends by a signal may take to write its last lines; whole seconds.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
