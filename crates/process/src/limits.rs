//! How long a program that was asked to end may take, and what files it reads.

use std::time::Duration;

/// How long a frpc that was asked to end may take for it, whatever hangs; whole seconds. More than
/// `LEAVE` and `LAST_TASKS` of frpc together.
pub const GRACEFUL_END: Duration = Duration::from_secs(3);

/// Bytes of a file of the user's that is read and written as a whole: a configuration, what is stored.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// How long a program that ends by a signal may take to write its last lines; whole seconds.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
