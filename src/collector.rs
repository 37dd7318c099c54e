//! The central program.
