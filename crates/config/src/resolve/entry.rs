//! What is asked of an entry of `proxies` or `visitors`, whichever.

use crate::check::lacking;
use crate::keys::{At, Listed};
use crate::report::Report;

pub(super) fn is_active<E: Listed>(entry: &At<'_, E>, start: &[String]) -> bool {
    let starts = start.is_empty() || start.contains(&entry.of(E::NAME).text());
    entry.of(E::ENABLED).bool() && starts
}

/// Refuses a type that this build does not have.
pub(super) fn refuse_type<E: Listed>(entry: &At<'_, E>, prefix: &str, report: &mut Report<'_>) {
    let at = entry.of(E::TYPE);
    let kind = at.text();
    let Some(tag) = E::TAGGED.tag(&kind) else {
        return;
    };
    let what = format!("type = {kind:?}");
    lacking(prefix, &what, tag.needs.of(&kind), at.value_at(), report);
}
