//! What checks hold of something that they let pass, until it has ended.

use std::fmt;

/// Dropped once, when what was let pass has ended; its `Drop` is the report.
pub(crate) type OnEnd = Box<dyn Send + Sync>;

/// What all checks hold. Whoever was let pass keeps it as long as it is there: so an end is reported
/// once, however it comes.
#[derive(Default)]
pub(crate) struct Guard(Vec<OnEnd>);

impl Guard {
    pub(super) fn add(&mut self, on_end: Option<OnEnd>) {
        self.0.extend(on_end);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.0.len()).finish()
    }
}
