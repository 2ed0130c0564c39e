//! What rendering takes and gives, and why it fails.

/// Output of one file; more is not meant.
pub(super) const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;
/// Actions that one file may execute.
pub(super) const STEP_LIMIT: usize = 2_000_000;
/// How deep actions and parentheses may stand in each other.
pub(super) const DEPTH_LIMIT: usize = 100;

/// Which functions a file may call beyond Go's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// `parseNumberRange` and `parseNumberRangePair`: TOML, YAML and JSON.
    Frp,
    /// None: legacy INI.
    Builtin,
}

/// The output with the places that its parts came from.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// Begins of stretches: offset in the output, offset in the template, and whether the two run
    /// on side by side (text that is copied) or not (output of an action).
    pub(super) map: Vec<(usize, usize, bool)>,
}

/// Why a template cannot be rendered; the texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// Byte offset in the template.
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl TemplateError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl Rendered {
    /// The offset in the template of an offset in the output.
    pub(crate) fn origin(&self, at: usize) -> usize {
        let index = self.map.partition_point(|(begin, _, _)| *begin <= at);
        match self.map.get(index.wrapping_sub(1)) {
            Some((begin, from, true)) => from + (at - begin),
            Some((_, from, false)) => *from,
            None => 0,
        }
    }
}
