//! The configuration files: as written, and as checked.
