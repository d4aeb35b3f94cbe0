//! Runs server sessions on storage and accounts.
