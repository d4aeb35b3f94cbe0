//! Pictures of the scenarios: what stands where, and what it lets through by itself.

use portway_lab::Scenario;

/// One line that shows the machines. An arrow says who may open connections.
pub(crate) const fn of(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Open => "[client]---------( router )---------[server]",
        Scenario::Strict => "[client]--------| port 21 > |-------[server]",
        Scenario::ClientSide => "[client]--| all > |-----------------[server]",
        Scenario::ServerSide => "[client]---------| port 21 >  < all |--[server]",
        Scenario::Both => "[client]--| all > |----| port 21 >  < all |--[server]",
        Scenario::Snat => "[client]--| port 21 >  client's address hidden |--[server]",
        Scenario::Dnat => "[client]--| port 21 >  server's address hidden |--[server]",
        Scenario::ClientHost => "[client| all > ]--------------------[server]",
        Scenario::ServerHost => "[client]---------------[ port 21 > |server]",
    }
}

/// What the words of the tables mean.
pub(crate) fn legend() -> String {
    "\
FTP moves files over a second connection, the data connection. Who opens it is a choice:
   active     the client announces a port, the server connects to it     [client] <--- [server]
   passive    the server announces a port, the client connects to it     [client] ---> [server]
A firewall that does not know the announced port drops that connection. Cures:
   no cure    the firewall is left alone
   helper     the kernel reads the announcement; with TLS (ftps) it cannot
   portway    the firewall is told which port, for whom, once
   inspect    the same by a gate that ends no connection (--cure inspect)
works: the file arrived. blocked: silence, until the client's patience or the time was over. refused: an error.
*: portway promises nothing here: another client or server opens no firewall on its own machine.
"
    .to_owned()
}
