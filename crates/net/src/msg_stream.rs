//! msg_stream
