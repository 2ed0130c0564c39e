//! Frames on their way to the socket: headers and small payloads side by side in one buffer,
//! large payloads as the application's own `Bytes`, handed to the socket in vectored writes.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::frame::Header;

/// Slices of one vectored write.
const MAX_SLICES: usize = 64;
/// Payloads up to this size are copied next to their header: a slice of its own costs more.
const COPY_VECTORED: usize = 1024;
/// A transport that takes one slice at a time (a record, a message, a packet each) gets everything
/// in one.
const COPY_PLAIN: usize = usize::MAX;
/// What the header buffer may keep while a session rests.
const IDLE_SCRATCH: usize = 1024;

#[derive(Debug)]
enum Piece {
    /// A part of `scratch`.
    Scratch(Range<usize>),
    Payload(Bytes),
}

#[derive(Debug)]
pub(super) struct Batch {
    scratch: Vec<u8>,
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// It takes no further frame once it holds this many bytes.
    most: usize,
    copy_up_to: usize,
}

impl Batch {
    pub(super) fn new(vectored: bool, most: usize) -> Self {
        Self {
            scratch: Vec::new(),
            pieces: VecDeque::new(),
            bytes: 0,
            most,
            copy_up_to: if vectored { COPY_VECTORED } else { COPY_PLAIN },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.most || self.pieces.len() >= MAX_SLICES
    }

    /// Bytes that it holds when full.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Bytes that wait in it.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn header(&mut self, header: Header) {
        self.copy(&header.encode());
    }

    pub(super) fn payload(&mut self, data: Bytes) {
        if data.len() <= self.copy_up_to {
            self.copy(&data);
            return;
        }
        self.bytes += data.len();
        self.pieces.push_back(Piece::Payload(data));
    }

    /// One write of as much as the socket takes; returns the bytes taken. Ready only with at
    /// least one byte or an error.
    pub(super) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
        vectored: bool,
    ) -> Poll<io::Result<usize>> {
        let n = if vectored && self.pieces.len() > 1 {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut used = 0;
            for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
                *slot = IoSlice::new(self.bytes_of(piece));
                used += 1;
            }
            let slices = slices.get(..used).unwrap_or_default();
            ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices))?
        } else {
            let first = self
                .pieces
                .front()
                .map(|piece| self.bytes_of(piece))
                .unwrap_or_default();
            ready!(Pin::new(&mut *io).poll_write(cx, first))?
        };
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(n);
        Poll::Ready(Ok(n))
    }

    /// Gives back memory that only a busy session needs.
    pub(super) fn shrink(&mut self) {
        if self.pieces.is_empty() && self.scratch.capacity() > IDLE_SCRATCH {
            self.scratch = Vec::new();
            self.pieces = VecDeque::new();
        }
    }

    fn copy(&mut self, data: &[u8]) {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(data);
        self.bytes += data.len();
        let end = self.scratch.len();
        match self.pieces.back_mut() {
            Some(Piece::Scratch(range)) => range.end = end,
            _ => self.pieces.push_back(Piece::Scratch(start..end)),
        }
    }

    fn bytes_of<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Scratch(range) => self.scratch.get(range.clone()).unwrap_or_default(),
            Piece::Payload(data) => data,
        }
    }

    fn advance(&mut self, mut n: usize) {
        self.bytes -= n;
        while n > 0 {
            let Some(front) = self.pieces.front_mut() else {
                break;
            };
            let len = match front {
                Piece::Scratch(range) => range.len(),
                Piece::Payload(data) => data.len(),
            };
            if n < len {
                match front {
                    Piece::Scratch(range) => range.start += n,
                    Piece::Payload(data) => data.advance(n),
                }
                return;
            }
            n -= len;
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() {
            self.scratch.clear();
        }
    }

    /// Everything queued, as the peer would see it.
    #[cfg(test)]
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in &self.pieces {
            all.extend_from_slice(self.bytes_of(piece));
        }
        self.advance(all.len());
        all
    }
}
