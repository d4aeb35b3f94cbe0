//! Storage behind paths that cannot escape.
