//! A scripted control connection: it sends any octets in any order.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use crate::wait::PATIENCE;
use crate::{Data, Reply, Tls};

/// A control connection to a subject. Every wait for a reply ends after [`PATIENCE`].
#[derive(Debug)]
pub struct Control {
    channel: Data,
    unread: Vec<u8>,
    tls: Option<Tls>,
    private: bool,
    by_pasv: bool,
    server: SocketAddr,
    from: IpAddr,
}

impl Control {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// When nobody listens, or the greeting is not 220.
    pub fn connect(server: SocketAddr) -> Result<Self> {
        let mut control = Self::raw(server, None)?;
        control.expect_reply(220).context("greeting")?;
        Ok(control)
    }

    /// Connects from an address of the test's choice and reads the greeting.
    ///
    /// # Errors
    /// As [`Control::connect`].
    pub fn connect_from(source: IpAddr, server: SocketAddr) -> Result<Self> {
        let mut control = Self::raw(server, Some(source))?;
        control.expect_reply(220).context("greeting")?;
        Ok(control)
    }

    /// Connects and leaves the greeting unread.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn raw(server: SocketAddr, source: Option<IpAddr>) -> Result<Self> {
        let stream = dial(server, source)?;
        let from = stream.local_addr()?.ip();
        let channel = Data::Plain(stream);
        Ok(Self { channel, unread: Vec::new(), tls: None, private: false, by_pasv: false, server, from })
    }

    /// Connects under TLS from the first octet and reads the greeting; data is private. RFC 4217
    /// does not know this form, clients call it implicit.
    ///
    /// # Errors
    /// As [`Control::connect`], and when the handshake fails.
    pub fn implicit(server: SocketAddr, tls: &Tls) -> Result<Self> {
        let mut control = Self::raw(server, None)?;
        control.shake(tls)?;
        control.expect_reply(220).context("greeting")?;
        control.private = true;
        Ok(control)
    }

    /// `USER` and `PASS`, and `TYPE I`.
    ///
    /// # Errors
    /// When the server does not answer 230.
    pub fn login(&mut self, (user, password): (&str, &str)) -> Result<()> {
        if self.say(format!("USER {user}"))?.code == 331 {
            self.expect(format!("PASS {password}"), 230)?;
        }
        self.expect("TYPE I", 200)?;
        Ok(())
    }

    /// `AUTH TLS`, handshake, `PBSZ 0`, `PROT P`. RFC 4217 §4, §9.
    ///
    /// # Errors
    /// When the server refuses one of them, or the handshake fails.
    pub fn secure(&mut self, tls: &Tls) -> Result<()> {
        self.expect("AUTH TLS", 234)?;
        self.shake(tls)?;
        self.expect("PBSZ 0", 200)?;
        self.expect("PROT P", 200)?;
        self.private = true;
        Ok(())
    }

    /// The handshake alone, on the control connection as it is.
    ///
    /// # Errors
    /// When it fails, or TLS is on already.
    pub fn shake(&mut self, tls: &Tls) -> Result<()> {
        let Data::Plain(stream) = &self.channel else { bail!("TLS is on already") };
        self.channel = Data::Tls(Box::new(tls.shake(self.server.ip(), stream.try_clone()?)?));
        self.tls = Some(tls.clone());
        Ok(())
    }

    /// Which tickets and settings the data connections use from here on, in place of the control
    /// connection's own.
    pub fn data_tls(&mut self, tls: Option<Tls>) {
        self.private = tls.is_some();
        self.tls = tls;
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) -> Result<()> {
        self.channel.write_all(octets.as_ref()).context("the control connection is gone")?;
        Ok(self.channel.flush()?)
    }

    /// Sends octets of which the last is TCP urgent data.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_urgent(&mut self, octets: &[u8]) -> Result<()> {
        ensure!(SockRef::from(self.channel.socket()).send_out_of_band(octets)? == octets.len());
        Ok(())
    }

    /// Sends one line with CRLF and reads one reply.
    ///
    /// # Errors
    /// When the connection is gone or the reply is none.
    pub fn say(&mut self, line: impl AsRef<[u8]>) -> Result<Reply> {
        let line = line.as_ref();
        self.send([line, b"\r\n"].concat())?;
        self.reply().with_context(|| format!("after {}", String::from_utf8_lossy(line)))
    }

    /// Sends one line and requires the reply's code.
    ///
    /// # Errors
    /// Quotes the reply when its code is another.
    pub fn expect(&mut self, line: impl AsRef<[u8]>, code: u16) -> Result<Reply> {
        let line = line.as_ref();
        let reply = self.say(line)?;
        ensure!(reply.code == code, "{} was answered «{reply}», not {code}", String::from_utf8_lossy(line));
        Ok(reply)
    }

    /// Requires the next reply's code.
    ///
    /// # Errors
    /// Quotes the reply when its code is another.
    pub fn expect_reply(&mut self, code: u16) -> Result<Reply> {
        let reply = self.reply()?;
        ensure!(reply.code == code, "the server said «{reply}», not {code}");
        Ok(reply)
    }

    /// Reads one reply, however many lines it has. RFC 959 §4.2.
    ///
    /// # Errors
    /// When the connection ends or stays silent, or the line does not begin with a code.
    pub fn reply(&mut self) -> Result<Reply> {
        let first = self.line()?;
        let code = code(&first).ok_or_else(|| anyhow!("no reply: {}", String::from_utf8_lossy(&first)))?;
        let mut last = first.get(3) != Some(&b'-');
        let mut reply = Reply { code, lines: vec![first] };
        while !last {
            let line = self.line()?;
            last = self::code(&line) == Some(code) && line.get(3) != Some(&b'-');
            reply.lines.push(line);
        }
        Ok(reply)
    }

    /// The next final reply to a transfer command: the one behind a 150, if there is one.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub fn final_reply(&mut self) -> Result<Reply> {
        let reply = self.reply()?;
        if reply.code == 150 { self.reply() } else { Ok(reply) }
    }

    /// Whether a reply has begun to arrive within `time`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn answers_within(&mut self, time: Duration) -> Result<bool> {
        if !self.unread.is_empty() {
            return Ok(true);
        }
        self.channel.socket().set_read_timeout(Some(time))?;
        let got = self.fill();
        self.channel.socket().set_read_timeout(Some(PATIENCE))?;
        match got {
            Ok(n) => Ok(n > 0),
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(why) => Err(why.into()),
        }
    }

    /// Waits for the server to end the connection, and returns what it said before that.
    ///
    /// # Errors
    /// When it does not end within [`PATIENCE`].
    pub fn ended(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => return Ok(std::mem::take(&mut self.unread)),
                Ok(_) => {}
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    bail!("the server keeps the control connection open")
                }
                Err(_) => return Ok(std::mem::take(&mut self.unread)),
            }
        }
    }

    /// `EPSV`: where to connect to. RFC 2428 §3.
    ///
    /// # Errors
    /// When the reply is not a good 229.
    pub fn epsv(&mut self) -> Result<SocketAddr> {
        let reply = self.expect("EPSV", 229)?;
        let inner = reply.between('(', ')').context("no (|||port|)")?;
        let port = inner.trim_matches('|').parse().with_context(|| format!("«{reply}»"))?;
        Ok(SocketAddr::new(self.server.ip(), port))
    }

    /// `PASV`: where to connect to. RFC 959 §4.1.2.
    ///
    /// # Errors
    /// When the reply is not a good 227.
    pub fn pasv(&mut self) -> Result<SocketAddr> {
        let reply = self.expect("PASV", 227)?;
        let inner = reply.between('(', ')').context("no (h1,h2,h3,h4,p1,p2)")?;
        let numbers = inner.split(',').map(|n| Ok(n.parse::<u8>()?)).collect::<Result<Vec<_>>>()?;
        let [a, b, c, d, high, low] = numbers.try_into().map_err(|_| anyhow!("«{reply}»"))?;
        Ok(SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low])))
    }

    /// `EPRT` with a listener of ours. RFC 2428 §2.
    ///
    /// # Errors
    /// When the server does not answer 200.
    pub fn eprt(&mut self) -> Result<TcpListener> {
        let listener = TcpListener::bind((self.from, 0))?;
        let (net, port) = (if self.from.is_ipv4() { 1 } else { 2 }, listener.local_addr()?.port());
        self.expect(format!("EPRT |{net}|{}|{port}|", self.from), 200)?;
        Ok(listener)
    }

    /// Makes a data connection to `to` from our address; under TLS the ClientHello is on its way.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn join(&self, to: SocketAddr) -> Result<Data> {
        self.protect(dial(to, Some(self.from))?)
    }

    /// Takes the server's data connection from `listener`.
    ///
    /// # Errors
    /// When none comes within [`PATIENCE`].
    pub fn take(&self, listener: &TcpListener) -> Result<Data> {
        listener.set_nonblocking(true)?;
        let stream = crate::until("the server has connected", PATIENCE, || match listener.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(why) => Err(why.into()),
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.protect(stream)
    }

    fn protect(&self, stream: TcpStream) -> Result<Data> {
        match &self.tls {
            Some(tls) if self.private => {
                let mut wrapped = Box::new(tls.wrap(self.server.ip(), stream)?);
                wrapped.conn.write_tls(&mut wrapped.sock)?;
                Ok(Data::Tls(wrapped))
            }
            _ => Ok(Data::Plain(stream)),
        }
    }

    /// Transfers begin with `PASV` from here on, for servers that know no `EPSV`.
    pub fn use_pasv(&mut self) {
        self.by_pasv = true;
    }

    /// Begins a passive transfer: `EPSV`, connection, `line`, 150.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn begin(&mut self, line: impl AsRef<[u8]>) -> Result<Data> {
        let to = if self.by_pasv { self.pasv()? } else { self.epsv()? };
        let data = self.join(to)?;
        let reply = self.say(line)?;
        ensure!(matches!(reply.code, 125 | 150), "«{reply}», not 150");
        Ok(data)
    }

    /// Ends a transfer: 226.
    ///
    /// # Errors
    /// When the server says something else.
    pub fn end(&mut self) -> Result<Reply> {
        self.expect_reply(226)
    }

    /// A whole download or listing.
    ///
    /// # Errors
    /// When any step fails.
    pub fn fetch(&mut self, line: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let mut data = self.begin(line)?;
        let octets = data.read_all()?;
        drop(data);
        self.end()?;
        Ok(octets)
    }

    /// A whole upload.
    ///
    /// # Errors
    /// When any step fails.
    pub fn store(&mut self, line: impl AsRef<[u8]>, octets: &[u8]) -> Result<Reply> {
        let mut data = self.begin(line)?;
        data.write_all(octets)?;
        data.finish()?;
        self.end()
    }

    /// The connection itself.
    #[must_use]
    pub fn channel(&self) -> &Data {
        &self.channel
    }

    /// Ends the connection the rude way, without `QUIT`.
    pub fn hang_up(self) {}

    fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&octet| octet == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=end).collect();
                ensure!(line.ends_with(b"\r\n"), "a line without CRLF: {}", String::from_utf8_lossy(&line));
                line.truncate(line.len() - 2);
                return Ok(line);
            }
            if self.fill().context("no reply")? == 0 {
                bail!("the server closed the control connection");
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut room = [0; 16384];
        let n = self.channel.read(&mut room)?;
        self.unread.extend_from_slice(room.get(..n).unwrap_or_default());
        Ok(n)
    }
}

/// Connects, from `source` if given; reading from the stream gives up after [`PATIENCE`].
pub(crate) fn dial(to: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&to.into(), PATIENCE).with_context(|| format!("cannot connect to {to}"))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(line.get(3), None | Some(b' ' | b'-')) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
