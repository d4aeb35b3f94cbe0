//! The smart firewall.
//!
//! A gate stands in the path between clients and servers. It takes over the control connections (TPROXY), reads
//! both directions line by line through [`portway_proto::Watch`], writes every line anew, and opens one hole for
//! exactly the connection that was announced before the announcement is passed on. Data connections are never
//! touched: the kernel forwards them through the hole.
