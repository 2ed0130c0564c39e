//! Pages of lists, and what is looked for in them (frp `server/http/controller_v2.go`).

use serde::Serialize;

use super::answer::ApiError;
use super::path::Query;

const PAGE_SIZE: usize = 50;
const MAX_PAGE_SIZE: usize = 200;

/// One page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    total: usize,
    page: usize,
    page_size: usize,
    items: Vec<T>,
}

/// Which page is wanted, from 1, and how many items make one.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    page: usize,
    size: usize,
}

impl Paging {
    /// Of `page` and `pageSize`.
    ///
    /// # Errors
    /// They are no numbers, or too large.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let page = positive(query, "page", 1)?;
        let size = positive(query, "pageSize", PAGE_SIZE)?;
        if size > MAX_PAGE_SIZE {
            let text = format!("pageSize must be between 1 and {MAX_PAGE_SIZE}");
            return Err(ApiError::bad(text));
        }
        // Go's integers are signed.
        if page > i64::MAX as usize / size {
            return Err(ApiError::bad("page is too large"));
        }
        Ok(Self { page, size })
    }

    /// That part of `items`.
    pub fn page<T>(self, items: Vec<T>) -> Page<T> {
        let total = items.len();
        let before = (self.page - 1).saturating_mul(self.size);
        Page {
            total,
            page: self.page,
            page_size: self.size,
            items: items.into_iter().skip(before).take(self.size).collect(),
        }
    }
}

impl<T> Page<T> {
    /// With other items.
    #[must_use]
    pub fn map<U>(self, item: impl Fn(T) -> U) -> Page<U> {
        Page {
            total: self.total,
            page: self.page,
            page_size: self.page_size,
            items: self.items.into_iter().map(item).collect(),
        }
    }
}

fn positive(query: &Query, name: &str, default: usize) -> Result<usize, ApiError> {
    match query.value(name) {
        "" => Ok(default),
        text => match text.parse::<i64>().map(usize::try_from) {
            Ok(Ok(value)) if value > 0 => Ok(value),
            _ => Err(ApiError::bad(format!("{name} must be a positive integer"))),
        },
    }
}

/// `q`: what is looked for in any case; everything matches where it is empty.
#[derive(Debug)]
pub struct Search(String);

impl Search {
    /// Of `q`.
    pub fn of(query: &Query) -> Self {
        Self(query.value("q").to_lowercase())
    }

    /// Whether one of these has it.
    pub fn finds(&self, texts: &[&str]) -> bool {
        self.0.is_empty()
            || texts
                .iter()
                .any(|text| text.to_lowercase().contains(&self.0))
    }
}

/// `status`, in lower case: all where it is empty.
///
/// # Errors
/// It is none.
pub fn status(query: &Query) -> Result<String, ApiError> {
    let status = query.value("status").to_lowercase();
    match status.as_str() {
        "" | "all" | "online" | "offline" => Ok(status),
        _ => Err(ApiError::bad("status must be one of all, online, offline")),
    }
}
