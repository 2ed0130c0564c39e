//! frps
