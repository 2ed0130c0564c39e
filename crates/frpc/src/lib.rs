//! frpc
