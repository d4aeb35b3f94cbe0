//! The seam to a packet filter: one hole for one announced data connection.
