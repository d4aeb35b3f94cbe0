//! UPnP Internet Gateway Devices: found by SSDP, asked by SOAP (UPnP `WANIPConnection` 1 and 2).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::{LIFETIME, Mapping, Protocol, Undo, http};

/// Where devices listen for searches (UPnP Device Architecture §1.3).
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 1900);
/// A search ends here; routers answer at once.
const SEARCH: Duration = Duration::from_millis(1200);
/// Each call to the router.
const CALL: Duration = Duration::from_millis(1500);
/// Other ports tried when the same number is taken.
const TRIES: u16 = 5;

/// The part of a router that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    at: SocketAddr,
    path: String,
    kind: String,
}

/// Finds the router and asks it. The error is for a person.
pub(crate) fn map(gateway: Ipv4Addr, local: Ipv4Addr, inside: u16) -> Result<Mapping, String> {
    let (at, path) = search(gateway, local).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    })?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let (_, text) = http::call(at, &ask, CALL).map_err(|error| format!("its description: {error}"))?;
    let service = describe(&text, at).ok_or("it maps no ports")?;
    let answer = service.call("GetExternalIPAddress", "")?;
    let ip = element(&answer, "NewExternalIPAddress").and_then(|ip| ip.trim().parse::<IpAddr>().ok());
    let ip = ip.filter(|ip| !ip.is_unspecified()).ok_or("it has no outer address")?;
    let outside = service.map(local, inside)?;
    Ok(Mapping {
        outside: SocketAddr::new(ip, outside),
        inside: SocketAddr::new(local.into(), inside),
        protocol: Protocol::Upnp,
        undo: Undo::Upnp(service, outside),
    })
}

impl Service {
    fn map(&self, local: Ipv4Addr, inside: u16) -> Result<u16, String> {
        let mut lifetime = LIFETIME;
        let mut outside = inside;
        let mut left = TRIES;
        loop {
            let arguments = format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outside}</NewExternalPort>\
                 <NewProtocol>TCP</NewProtocol><NewInternalPort>{inside}</NewInternalPort>\
                 <NewInternalClient>{local}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>portway</NewPortMappingDescription>\
                 <NewLeaseDuration>{lifetime}</NewLeaseDuration>"
            );
            match self.call("AddPortMapping", &arguments) {
                Ok(_) => return Ok(outside),
                // ConflictInMappingEntry: somebody else's. The next numbers may be free.
                Err(error) if error.contains("718") && left > 0 => {
                    outside = outside.checked_add(101).unwrap_or(20_000 + left);
                    left -= 1;
                }
                // OnlyPermanentLeasesSupported.
                Err(error) if error.contains("725") && lifetime > 0 => lifetime = 0,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a mapping back.
    pub(crate) fn unmap(&self, outside: u16) -> Result<(), String> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outside}</NewExternalPort>\
             <NewProtocol>TCP</NewProtocol>"
        );
        self.call("DeletePortMapping", &arguments).map(drop)
    }

    fn call(&self, action: &str, arguments: &str) -> Result<String, String> {
        let Self { at, path, kind } = self;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
             Content-Length: {}\r\nSOAPAction: \"{kind}#{action}\"\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, text) = http::call(*at, &request, CALL).map_err(|error| error.to_string())?;
        if status == 200 {
            return Ok(text);
        }
        let code = element(&text, "errorCode").unwrap_or("no code");
        let words = element(&text, "errorDescription").unwrap_or("no reason");
        let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
        Err(format!("{action}: {} ({})", clean(words), clean(code)))
    }
}

/// Searches for the gateway; asks it directly as well as the group, since some answer only one of them. Only its
/// own answers count: anybody in the network could answer.
fn search(gateway: Ipv4Addr, local: Ipv4Addr) -> io::Result<(SocketAddr, String)> {
    let socket = UdpSocket::bind((local, 0))?;
    let end = Instant::now() + SEARCH;
    let mut ask_again = Instant::now();
    loop {
        if Instant::now() >= ask_again {
            for version in [1, 2] {
                let request = format!(
                    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                     ST: urn:schemas-upnp-org:device:InternetGatewayDevice:{version}\r\n\r\n"
                );
                // Without a route for the group the direct question is left.
                let _ = socket.send_to(request.as_bytes(), GROUP);
                socket.send_to(request.as_bytes(), (gateway, GROUP.1))?;
            }
            ask_again = Instant::now() + SEARCH / 2;
        }
        let left = end.min(ask_again).saturating_duration_since(Instant::now());
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut octets = [0; 2048];
        let (length, from) = match socket.recv_from(&mut octets) {
            Ok(came) => came,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(octets.get(..length).unwrap_or_default());
        if from.ip() == IpAddr::V4(gateway)
            && let Some(found) = location(&text)
            && found.0.ip() == from.ip()
        {
            return Ok(found);
        }
    }
}

/// Where the description is, from the answer to a search.
fn location(answer: &str) -> Option<(SocketAddr, String)> {
    let line =
        answer.lines().find(|line| line.get(..9).is_some_and(|n| n.eq_ignore_ascii_case("location:")))?;
    url(line.get(9..)?.trim())
}

/// Address and path of a URL whose host is an address.
fn url(text: &str) -> Option<(SocketAddr, String)> {
    let rest = text.strip_prefix("http://")?;
    let (place, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    if path.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let at = place.parse().ok().or_else(|| Some(SocketAddr::new(place.parse().ok()?, 80)))?;
    Some((at, path.to_owned()))
}

/// The service that maps ports, from a description. Routers write what they like around it, so only the elements
/// themselves are looked for.
fn describe(text: &str, at: SocketAddr) -> Option<Service> {
    let services = text.split("<service>").skip(1).filter_map(|part| {
        let part = part.split("</service>").next()?;
        let (kind, path) = (element(part, "serviceType")?.trim(), element(part, "controlURL")?.trim());
        let wanted = kind.contains(":WANIPConnection:") || kind.contains(":WANPPPConnection:");
        let clean = !kind.contains(['<', '>', '"', '\r', '\n']);
        let (at, path) = match url(path) {
            Some((other, path)) if other.ip() == at.ip() => (other, path),
            Some(_) => return None,
            None if path.starts_with('/') => (at, path.to_owned()),
            None => (at, format!("/{path}")),
        };
        let safe = !path.contains(|c: char| c.is_control() || c == ' ');
        (wanted && clean && safe).then(|| Service { at, path, kind: kind.to_owned() })
    });
    // An address before a dial-up line, which is there and unused on many routers.
    services.min_by_key(|service| service.kind.contains("PPP"))
}

/// The text of the first element of that name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DESCRIPTION: &str = "<?xml version=\"1.0\"?><root><device><serviceList>\
        <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/ctl/L3F</controlURL></service>\
        <service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/ctl/PPP</controlURL></service>\
        <service>\n <serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType>\n <controlURL>ctl/IP</controlURL></service>\
        </serviceList></device></root>";

    fn here() -> SocketAddr {
        "192.168.1.1:5000".parse().unwrap()
    }

    #[test]
    fn the_service_that_maps_ports_is_found_in_a_description() {
        let service = describe(DESCRIPTION, here()).unwrap();
        assert_eq!((service.path.as_str(), service.at), ("/ctl/IP", here()));
        assert_eq!(service.kind, "urn:schemas-upnp-org:service:WANIPConnection:2");
        let elsewhere = DESCRIPTION.replace("ctl/IP<", "http://198.51.100.1/x<").replace("/ctl/PPP", "a b");
        assert_eq!(describe(&elsewhere, here()), None, "another host, and a path that forges a request");
    }

    #[test]
    fn an_answer_to_a_search_names_an_address_and_a_path() {
        let answer = "HTTP/1.1 200 OK\r\nST: x\r\nLocation: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n";
        assert_eq!(location(answer), Some((here(), "/rootDesc.xml".to_owned())));
        for bad in [
            "",
            "LOCATION: https://192.168.1.1/",
            "LOCATION: http://router.example/",
            "LOCATION: http://1.2.3.4/a b",
        ] {
            assert_eq!(location(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,200}", tags in prop::collection::vec(0..8_usize, 0..12)) {
            let parts = ["<service>", "</service>", "<serviceType>", "</serviceType>", "<controlURL>", "</controlURL>",
                ":WANIPConnection:", "http://1.2.3.4:1/"];
            let mixed: String = tags.iter().map(|&tag| parts[tag]).collect::<String>() + &text;
            let _ = (describe(&mixed, here()), location(&mixed), url(&text));
        }
    }
}
