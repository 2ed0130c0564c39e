//! What type a file has, by its name or its first bytes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes that the type of a file without a known extension is guessed from.
const SNIFFED: u64 = 512;

/// The type that the extension tells, or else the content. Reads from the file's start.
pub(super) fn of(name: &OsStr, mut file: &File) -> io::Result<String> {
    if let Some(kind) = mime_guess::from_path(Path::new(name)).first_raw() {
        let charset = if kind.starts_with("text/") {
            "; charset=utf-8"
        } else {
            ""
        };
        return Ok(format!("{kind}{charset}"));
    }
    let mut start = Vec::new();
    file.by_ref().take(SNIFFED).read_to_end(&mut start)?;
    Ok(sniff(&start).to_owned())
}

/// Pictures, films and archives are compressed already.
pub(super) fn is_compressible(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    kind.starts_with("text/")
        || kind.ends_with("+xml")
        || kind.ends_with("+json")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/x-javascript"
                | "application/xml"
                | "application/wasm"
                | "application/x-sh"
                | "application/x-tar"
                | "application/x-yaml"
                | "application/toml"
                | "application/sql"
                | "application/rtf"
                | "application/vnd.ms-fontobject"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
                | "image/vnd.microsoft.icon"
        )
}

/// The type of a file by its first bytes: the common ones of Go's `http.DetectContentType`.
fn sniff(start: &[u8]) -> &'static str {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"%PDF-", "application/pdf"),
        (b"%!PS-Adobe-", "application/postscript"),
        (b"\xfe\xff", "text/plain; charset=utf-16be"),
        (b"\xff\xfe", "text/plain; charset=utf-16le"),
        (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"BM", "image/bmp"),
        (b"OggS\0", "application/ogg"),
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"\0asm", "application/wasm"),
        (b"PK\x03\x04", "application/zip"),
        (b"Rar!\x1a\x07", "application/x-rar-compressed"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
    ];
    const TAGS: &[&[u8]] = &[
        b"<!DOCTYPE HTML",
        b"<HTML",
        b"<HEAD",
        b"<SCRIPT",
        b"<IFRAME",
        b"<H1",
        b"<DIV",
        b"<FONT",
        b"<TABLE",
        b"<A",
        b"<STYLE",
        b"<TITLE",
        b"<B",
        b"<BODY",
        b"<BR",
        b"<P",
        b"<!--",
    ];
    let trimmed = start.trim_ascii_start();
    let is_tag = |tag: &&[u8]| {
        let name = trimmed.get(..tag.len());
        name.is_some_and(|name| name.eq_ignore_ascii_case(tag))
            && trimmed
                .get(tag.len())
                .is_some_and(|b| matches!(b, b' ' | b'>'))
    };
    if TAGS.iter().any(is_tag) {
        return "text/html; charset=utf-8";
    }
    if trimmed.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, kind)) = SIGNATURES.iter().find(|(sign, _)| start.starts_with(sign)) {
        return kind;
    }
    let is_binary = |b: &u8| matches!(b, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if start.iter().any(is_binary) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_from_content() {
        for (start, expected) in [
            (&b""[..], "text/plain; charset=utf-8"),
            (b"hello\n", "text/plain; charset=utf-8"),
            ("grüße".as_bytes(), "text/plain; charset=utf-8"),
            (b"a\0b", "application/octet-stream"),
            (b"\x7fELF\x02", "application/octet-stream"),
            (b"\n <!doctype html>", "text/html; charset=utf-8"),
            (b"<p>", "text/html; charset=utf-8"),
            (b"<pre>", "text/plain; charset=utf-8"),
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\x1f\x8b\x08\0", "application/x-gzip"),
        ] {
            assert_eq!(sniff(start), expected, "{start:?}");
        }
    }
}
