//! A server with one bad habit at a time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

mod habit;

pub(crate) use habit::Habit;

/// A fake server; it lives as long as the test.
pub(crate) struct Fake {
    pub(crate) at: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) files: Files,
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

impl Fake {
    pub(crate) fn start(habit: Habit, files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let files: Files =
            Arc::new(Mutex::new(files.iter().map(|(n, c)| ((*n).to_owned(), c.clone())).collect()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let first = Arc::new(Mutex::new(true));
        let places = match habit {
            Habit::JoinsForOne => 1,
            Habit::JoinsForTwo => 2,
            _ => 1000,
        };
        let places = Arc::new(AtomicUsize::new(places));
        let fake = Self { at, seen: Arc::clone(&seen), files: Arc::clone(&files) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, seen, first) = (Arc::clone(&files), Arc::clone(&seen), Arc::clone(&first));
                let places = Arc::clone(&places);
                std::thread::spawn(move || {
                    let place = places.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1));
                    if place.is_err() {
                        let _ = (&stream).write_all(b"421 too many connections\r\n");
                        return;
                    }
                    // The client hanging up is no failure of the test.
                    let _ = Session {
                        habit,
                        files,
                        seen,
                        first,
                        way: Data::None,
                        offset: 0,
                        told: String::new(),
                        from: String::new(),
                        _fill: Vec::new(),
                    }
                    .run(stream);
                    places.fetch_add(1, Relaxed);
                });
            }
        });
        fake
    }

    pub(crate) fn saw(&self, start: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
    }
}

enum Data {
    None,
    Passive(TcpListener),
    Active(SocketAddr),
}

struct Session {
    habit: Habit,
    files: Files,
    seen: Arc<Mutex<Vec<String>>>,
    /// True until the first transfer of this server.
    first: Arc<Mutex<bool>>,
    way: Data,
    offset: usize,
    /// What PRET announced.
    told: String,
    /// What RNFR named.
    from: String,
    _fill: Vec<TcpStream>,
}

impl Session {
    fn run(mut self, mut control: TcpStream) -> std::io::Result<()> {
        match self.habit {
            Habit::Mute => {
                control.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Habit::EndlessGreeting => loop {
                control.write_all(b"220-and another thing\r\n")?;
            },
            _ => control.write_all(b"220 fake\r\n")?,
        }
        let mut reader = BufReader::new(control.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            let (verb, arg) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            let (verb, arg) = (verb.to_ascii_uppercase(), arg.to_owned());
            self.seen.lock().unwrap().push(line.trim_end().to_owned());
            if self.habit == Habit::LosesPipelined && verb == "RETR" {
                let rest = reader.buffer().len();
                reader.consume(rest);
            }
            if !self.command(&mut control, &verb, &arg)? {
                return Ok(());
            }
            line.clear();
        }
        Ok(())
    }

    fn command(&mut self, control: &mut TcpStream, verb: &str, arg: &str) -> std::io::Result<bool> {
        let text = match verb {
            "USER" => "331 password".to_owned(),
            "PASS" => "230 in".to_owned(),
            "FEAT" if self.habit == Habit::WantsPret => {
                "211-features\r\n SIZE\r\n PRET\r\n211 end".to_owned()
            }
            "PRET" if self.habit == Habit::WantsPret => {
                self.told = arg.to_owned();
                "200 OK, planning for it".to_owned()
            }
            "EPSV" | "PASV" if self.habit == Habit::WantsPret && self.told.is_empty() => {
                "503 PRET first".to_owned()
            }
            "FEAT" if self.habit == Habit::Loops => {
                "211-features\r\n MLST type*;unique*;\r\n211 end".to_owned()
            }
            "SIZE" if self.habit == Habit::SizeZero => "213 0".to_owned(),
            "FEAT" if self.habit.has_comb() => "211-features\r\n SIZE\r\n COMB\r\n211 end".to_owned(),
            "COMB" if self.habit == Habit::RefusesComb => "502 not for you".to_owned(),
            "COMB" if self.habit.has_comb() => {
                let mut names = arg.split('"').filter(|name| !name.trim().is_empty());
                let mut files = self.files.lock().unwrap();
                let target = names.next().unwrap_or_default().to_owned();
                let mut whole = files.remove(&target).unwrap_or_default();
                let mut parts: Vec<Vec<u8>> = names.map(|name| files.remove(name).unwrap()).collect();
                if self.habit == Habit::JoinsHalf {
                    parts.pop();
                }
                whole.extend(parts.concat());
                files.insert(target, whole);
                if self.habit == Habit::JoinsMutely {
                    return Ok(false);
                }
                "250 joined".to_owned()
            }
            "DELE" => match self.files.lock().unwrap().remove(arg) {
                Some(_) => "250 gone".to_owned(),
                None => "550 no".to_owned(),
            },
            "RNFR" => {
                self.from = arg.to_owned();
                "350 to what".to_owned()
            }
            "RNTO" => {
                let mut files = self.files.lock().unwrap();
                match files.remove(&self.from) {
                    Some(content) => {
                        files.insert(arg.to_owned(), content);
                        "250 renamed".to_owned()
                    }
                    None => "550 no".to_owned(),
                }
            }
            "FEAT" => "211-features\r\n SIZE\r\n REST STREAM\r\n211 end".to_owned(),
            "SIZE" if self.habit == Habit::SaysDone => "500 what".to_owned(),
            "RETR" if self.habit == Habit::SaysDone => "226 done".to_owned(),
            "TYPE" if self.habit == Habit::Stammers => "200 ok\r\n200 ok\r\n200 ok".to_owned(),
            "TYPE" | "NOOP" | "OPTS" => "200 ok".to_owned(),
            "SIZE" => match self.files.lock().unwrap().get(arg) {
                Some(content) => {
                    format!("213 {}", content.len() - usize::from(self.habit == Habit::SizeSmall))
                }
                None => "550 no".to_owned(),
            },
            "REST" if self.habit == Habit::NoRest && arg != "0" => "502 no".to_owned(),
            "REST" => {
                self.offset = arg.parse().unwrap_or(0);
                "350 ok".to_owned()
            }
            "EPSV"
                if matches!(
                    self.habit,
                    Habit::NoEpsv | Habit::NoPassive | Habit::PrivateAddress | Habit::Odd227
                ) =>
            {
                "500 what".to_owned()
            }
            "PASV" if self.habit == Habit::NoPassive => "550 no".to_owned(),
            "EPSV" => format!("229 (|||{}|)", self.listen()),
            "PASV" => {
                let port = self.listen();
                let (high, low) = (port / 256, port % 256);
                match self.habit {
                    Habit::PrivateAddress => format!("227 (10,9,9,9,{high},{low})"),
                    Habit::Odd227 => format!("227-hello\r\n227 =127,0,0,1,{high},{low}"),
                    _ => format!("227 (127,0,0,1,{high},{low})"),
                }
            }
            "PORT" => {
                let numbers: Vec<u16> = arg.split(',').filter_map(|n| n.parse().ok()).collect();
                self.way =
                    Data::Active(SocketAddr::from((Ipv4Addr::LOCALHOST, numbers[4] * 256 + numbers[5])));
                "200 ok".to_owned()
            }
            "APPE" if self.habit == Habit::NoAppe => "502 Command 'APPE' not implemented".to_owned(),
            "RETR" | "LIST" | "MLSD" | "STOR" | "APPE" => return self.transfer(control, verb, arg),
            "QUIT" => {
                control.write_all(b"221 bye\r\n")?;
                return Ok(false);
            }
            _ => "500 what".to_owned(),
        };
        control.write_all(format!("{text}\r\n").as_bytes())?;
        Ok(true)
    }

    fn listen(&mut self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        match self.habit {
            Habit::PassiveReset => {}
            Habit::PassiveSilent | Habit::AllSilent => {
                // With a full queue the kernel drops further SYNs without a word.
                rustix::net::listen(&listener, 0).unwrap();
                for _ in 0..4 {
                    let socket = rustix::net::socket_with(
                        rustix::net::AddressFamily::INET,
                        rustix::net::SocketType::STREAM,
                        rustix::net::SocketFlags::NONBLOCK,
                        None,
                    )
                    .unwrap();
                    let _ = rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                    self._fill.push(TcpStream::from(socket));
                }
                self.way = Data::Passive(listener);
            }
            _ => self.way = Data::Passive(listener),
        }
        port
    }

    fn transfer(&mut self, control: &mut TcpStream, verb: &str, arg: &str) -> std::io::Result<bool> {
        if self.habit == Habit::WantsPret && std::mem::take(&mut self.told) != format!("{verb} {arg}") {
            control.write_all(b"550 that was not announced\r\n")?;
            return Ok(true);
        }
        let first = std::mem::replace(&mut *self.first.lock().unwrap(), false);
        let offset = std::mem::take(&mut self.offset) * usize::from(self.habit != Habit::IgnoresRest);
        let content = match verb {
            "LIST" if self.habit == Habit::HostileNames => {
                let row = |name: &str| format!("-rw-r--r-- 1 u g 3 Jan 01 2024 {name}\r\n");
                ["../evil", "/etc/evil", "a\\..\\evil", "good"].map(row).concat().into_bytes()
            }
            "LIST" if self.habit == Habit::ListsPage => b"<html>please log in</html>\r\n".to_vec(),
            "LIST" if self.habit == Habit::ListsNoise => {
                b"-rw-r--r-- 1 u g 3 Jan 01 2024 new\r\nwhat is this\r\n".to_vec()
            }
            "MLSD" => ["a", "b"].map(|name| format!("type=dir;unique=1g1; {name}\r\n")).concat().into_bytes(),
            "LIST" => Vec::new(),
            "RETR" => match self.files.lock().unwrap().get(arg.rsplit('/').next().unwrap_or(arg)) {
                Some(content) => content.get(offset..).unwrap_or_default().to_vec(),
                None => {
                    control.write_all(b"550 no such file\r\n")?;
                    return Ok(true);
                }
            },
            _ => Vec::new(),
        };
        if self.habit == Habit::Early226 {
            control.write_all(b"150 go\r\n226 done\r\n")?;
        } else if self.habit != Habit::No150 {
            control.write_all(b"150 go\r\n")?;
        }
        let mut data = match std::mem::replace(&mut self.way, Data::None) {
            Data::Passive(listener) => listener.accept()?.0,
            Data::Active(_) if self.habit == Habit::AllSilent => {
                std::thread::sleep(std::time::Duration::from_secs(30));
                return Ok(false);
            }
            Data::Active(to) => TcpStream::connect(to)?,
            Data::None => {
                control.write_all(b"425 no data connection\r\n")?;
                return Ok(true);
            }
        };
        match verb {
            "STOR" | "APPE" => {
                let mut got = Vec::new();
                data.read_to_end(&mut got)?;
                let mut files = self.files.lock().unwrap();
                let file = files.entry(arg.to_owned()).or_default();
                if verb == "STOR" {
                    file.clear();
                }
                file.extend(got);
            }
            _ => {
                let half = first && matches!(self.habit, Habit::Half226 | Habit::DropsHalfWay);
                data.write_all(if half { &content[..content.len() / 2] } else { &content })?;
            }
        }
        drop(data);
        let last: &[u8] = match self.habit {
            Habit::Early226 => b"",
            Habit::Two226 => b"226 done\r\n226 really\r\n",
            Habit::Says250 => b"250 done\r\n",
            Habit::False426 => b"426 broken\r\n",
            Habit::LosesControl | Habit::DropsHalfWay if first => return Ok(false),
            _ => b"226 done\r\n",
        };
        control.write_all(last)?;
        Ok(true)
    }
}
