//! FTP server, client, proxy and smart firewall in one program.
fn main() {}
