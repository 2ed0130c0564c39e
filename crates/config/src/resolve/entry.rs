//! What is asked of an entry of `proxies` or `visitors`, whichever.

use crate::check::lacking;
use crate::keys::{At, Listed};
use crate::report::Report;
use crate::section::{Field, Section};

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

/// Reports that a plugin lacks the key `required`, which the advice says the `meaning` of.
pub(super) fn require(
    table: &Section,
    required: &str,
    (prefix, plugin): (&str, &str),
    meaning: &str,
    report: &mut Report<'_>,
) {
    let is_there = |field: &Field| !field.value.is_zero();
    if !table.fields.get(required).is_some_and(is_there) {
        report.error(
            table.at,
            format!("{prefix}plugin {plugin}: {required} is required"),
            &format!("add plugin.{required}{meaning}"),
        );
    }
}
