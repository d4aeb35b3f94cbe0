//! Black-box tests with real clients and servers.
