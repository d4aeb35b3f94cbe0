//! Block mode with a server that is less careful than ours.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use portway_client::{Connection, Offered, PutOptions, Settings, Target};
use support::{here, name, shared};

type Stored = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A server with block mode that refuses the first upload and keeps the data connection all the same: whatever
/// was sent for the refused file, it takes for the next one's.
fn careless() -> (SocketAddr, Stored) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let stored = Stored::default();
    let shelf = Arc::clone(&stored);
    std::thread::spawn(move || {
        for control in listener.incoming().flatten() {
            // The client hanging up is no failure of the test.
            let _ = serve(control, &shelf);
        }
    });
    (at, stored)
}

fn serve(mut control: TcpStream, stored: &Stored) -> std::io::Result<()> {
    control.write_all(b"220 fake\r\n")?;
    let (mut passive, mut data, mut blocks, mut refused) = (None, None, false, false);
    for line in BufReader::new(control.try_clone()?).lines() {
        let line = line?;
        let (verb, arg) = line.split_once(' ').unwrap_or((&line, ""));
        let reply = match verb {
            "USER" => "331 password".to_owned(),
            "PASS" => "230 in".to_owned(),
            "FEAT" => "211-features\r\n MODE B\r\n SIZE\r\n211 end".to_owned(),
            "MODE" => {
                blocks = arg == "B";
                data = None;
                "200 ok".to_owned()
            }
            "TYPE" | "OPTS" | "NOOP" => "200 ok".to_owned(),
            "EPSV" => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let port = listener.local_addr()?.port();
                (passive, data) = (Some(listener), None);
                format!("229 (|||{port}|)")
            }
            "SIZE" => match stored.lock().unwrap().get(arg) {
                Some(octets) => format!("213 {}", octets.len()),
                None => "550 no".to_owned(),
            },
            "STOR" if blocks && !std::mem::replace(&mut refused, true) => "553 not now".to_owned(),
            "STOR" => {
                let mut conn: TcpStream = match (data.take(), &passive) {
                    (Some(conn), _) => conn,
                    (None, Some(passive)) => passive.accept()?.0,
                    (None, None) => {
                        control.write_all(b"425 no\r\n")?;
                        continue;
                    }
                };
                control.write_all(b"150 go\r\n")?;
                let mut octets = Vec::new();
                if blocks {
                    let mut last = false;
                    while !last {
                        let mut head = [0; 3];
                        conn.read_exact(&mut head)?;
                        let mut block = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
                        conn.read_exact(&mut block)?;
                        octets.extend(block);
                        last = head[0] & 64 != 0;
                    }
                    data = Some(conn);
                } else {
                    conn.read_to_end(&mut octets)?;
                }
                stored.lock().unwrap().insert(arg.trim_start_matches('/').to_owned(), octets);
                "250 done".to_owned()
            }
            "QUIT" => return control.write_all(b"221 bye\r\n"),
            _ => "500 what".to_owned(),
        };
        control.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

#[tokio::test]
async fn no_file_gets_the_octets_of_one_that_was_refused() {
    let (at, stored) = careless();
    let target = Target::parse(&format!("ftp://{at}/")).unwrap();
    let mut connection = Connection::open(&target, shared(Settings::default())).await.unwrap();
    let (folder, local) = here();
    let names: Vec<String> = (0..9).map(|n| format!("file{n}")).collect();
    for name in &names {
        // All of one length, so that nothing but the octets tells them apart.
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let offered = names.iter().map(|file| Offered {
        path: file.as_bytes().to_vec(),
        name: name(file),
        size: file.len() as u64,
        modified: 0,
        mode: 0o644,
    });
    let mut good = 0;
    connection
        .put_many(&local, offered, PutOptions::default(), |_, result| good += usize::from(result.is_ok()))
        .await;
    let stored = stored.lock().unwrap();
    for name in &names {
        assert_eq!(
            stored.get(name).map(|octets| String::from_utf8_lossy(octets)),
            Some(name.into()),
            "{name}"
        );
    }
    assert_eq!(good, names.len());
}
