//! Uploads that break: nothing half is shown, nothing that arrived is lost.

use std::io::Write;

use anyhow::{Result, ensure};
use portway_e2e::{Control, Data, Options, PATIENCE, Subject, TlsOptions, bytes, until};

use crate::subject;

const WHOLE: usize = 300_000;
const PART: usize = 200_000;

/// Whatever the server says, it is no success.
fn refused(control: &mut Control) -> Result<()> {
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 426 | 450 | 451 | 425), "«{reply}»");
    Ok(())
}

/// No other client sees anything under the name, and SIZE tells how much a resumed upload can skip.
fn hidden(subject: &Subject, control: &mut Control, name: &str) -> Result<usize> {
    ensure!(!subject.tree.has(name), "{name} is in the folder");
    let listed = control.fetch("NLST")?;
    ensure!(listed.is_empty(), "NLST shows {}", String::from_utf8_lossy(&listed));
    let listed = control.fetch("LIST")?;
    ensure!(
        !listed.windows(name.len()).any(|at| at == name.as_bytes()),
        "LIST: {}",
        String::from_utf8_lossy(&listed)
    );
    let listed = control.fetch("MLSD")?;
    ensure!(
        !listed.windows(name.len()).any(|at| at == name.as_bytes()),
        "MLSD: {}",
        String::from_utf8_lossy(&listed)
    );
    let reply = control.say(format!("RETR {name}"))?;
    ensure!(reply.code == 550 || reply.code == 425, "«{reply}»");
    Ok(control.expect(format!("SIZE {name}"), 213)?.value().parse()?)
}

/// A broken upload of `PART` octets that ended as `end` ends it, and was then resumed with `line`.
fn breaks_and_resumes(private: bool, end: impl Fn(Data) -> Result<()>, append: bool) -> Result<()> {
    let subject = subject(&[])?;
    let whole = bytes(9, WHOLE);
    let mut control =
        if private { subject.private_session(TlsOptions::default())?.0 } else { subject.session()? };
    let mut data = control.begin("STOR up.bin")?;
    data.write_all(whole.get(..PART).unwrap_or_default())?;
    end(data)?;
    refused(&mut control)?;
    let there = hidden(&subject, &mut control, "up.bin")?;
    ensure!(there <= PART && there > 0, "{there} octets are said to be there");
    let rest = whole.get(there..).unwrap_or_default();
    if append {
        control.store("APPE up.bin", rest)?;
    } else {
        control.expect(format!("REST {there}"), 350)?;
        control.store("STOR up.bin", rest)?;
    }
    ensure!(subject.tree.read("up.bin")? == whole, "the resumed file is not the file");
    ensure!(subject.tree.names()? == [b"up.bin".to_vec()], "something is left over");
    Ok(())
}

// Case 15. In clear an ABOR-less FIN cannot be told from the end: only a reset can.
#[test]
fn an_upload_that_is_reset_is_hidden_and_resumed_by_rest_and_stor() -> Result<()> {
    // The octets must have been read before the reset throws them away: a pause of the peer's making.
    breaks_and_resumes(false, settle_then_reset, false)
}

// Case 15.
#[test]
fn an_upload_that_is_reset_is_hidden_and_resumed_by_appe() -> Result<()> {
    breaks_and_resumes(false, settle_then_reset, true)
}

// Case 16.
#[test]
fn a_tls_upload_without_close_notify_is_hidden_and_resumed() -> Result<()> {
    breaks_and_resumes(true, Data::cut, false)?;
    breaks_and_resumes(true, Data::cut, true)
}

/// Resets once the server has taken what was sent: a reset discards what is still queued.
fn settle_then_reset(data: Data) -> Result<()> {
    let local = data.socket().local_addr()?.port();
    until("the server has read everything", PATIENCE, || {
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let queued = table
            .lines()
            .filter(|line| line.contains(&format!(":{local:04X} ")))
            .any(|line| line.split_whitespace().nth(4).is_some_and(|queues| queues != "00000000:00000000"));
        Ok((!queued).then_some(()))
    })?;
    data.reset()
}

// Case 15: the file that is there already is untouched by a broken upload over it.
#[test]
fn a_broken_upload_leaves_the_old_file_as_it_was() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("up.bin", "the old contents")?;
    let mut control = subject.session()?;
    let mut data = control.begin("STOR up.bin")?;
    data.write_all(&bytes(1, 100_000))?;
    ensure!(
        subject.tree.read("up.bin")? == b"the old contents",
        "the old file is gone while the upload runs"
    );
    settle_then_reset(data)?;
    refused(&mut control)?;
    ensure!(subject.tree.read("up.bin")? == b"the old contents");
    ensure!(control.fetch("RETR up.bin")? == b"the old contents");
    Ok(())
}

// Case 17.
#[test]
fn a_client_that_leaves_after_its_close_notify_has_stored_its_file() -> Result<()> {
    let subject = subject(&[])?;
    for old in [false, true] {
        let (mut control, _) = subject.private_session(TlsOptions { old, ..TlsOptions::default() })?;
        for i in 0..10 {
            let contents = bytes(i, 200_000);
            let mut data = control.begin("STOR up.bin")?;
            data.write_all(&contents)?;
            if let Data::Tls(stream) = &mut data {
                stream.conn.send_close_notify();
            }
            data.flush()?;
            drop(data);
            control.end()?;
            ensure!(subject.tree.read("up.bin")? == contents);
        }
    }
    Ok(())
}

// Case 17: Perl's Net::FTP and rclone close without reading; a ticket sent to them would turn FIN into RST.
#[test]
fn uploads_by_clients_that_never_read_the_data_connection_arrive_whole() -> Result<()> {
    let subject = subject(&[])?;
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    for i in 0..30 {
        let contents = bytes(i, 1 << 20);
        let mut data = control.begin("STOR up.bin")?;
        data.write_all(&contents)?;
        if let Data::Tls(stream) = &mut data {
            stream.conn.send_close_notify();
        }
        data.flush()?;
        // Closed with unread octets in the receive queue, the kernel would send a reset.
        drop(data);
        control.end()?;
        ensure!(subject.tree.read("up.bin")? == contents, "round {i}");
    }
    Ok(())
}

// Case 45.
#[test]
fn two_uploads_of_one_name_do_not_mix_and_a_reader_sees_one_whole_file() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("up.bin", bytes(0, WHOLE))?;
    let (mut first, mut second, mut reader) = (subject.session()?, subject.session()?, subject.session()?);
    let mut one = first.begin("STOR up.bin")?;
    let reply = {
        let to = second.epsv()?;
        let data = second.join(to)?;
        (second.say("STOR up.bin")?, data)
    };
    one.write_all(&vec![b'1'; PART])?;
    ensure!(
        reader.fetch("RETR up.bin")? == bytes(0, WHOLE),
        "the reader saw something else than the old file"
    );
    let mut refused = true;
    if let (reply, mut two) = reply
        && reply.code == 150
    {
        two.write_all(&vec![b'2'; PART])?;
        two.finish()?;
        second.end()?;
        refused = false;
    }
    one.write_all(&vec![b'1'; WHOLE - PART])?;
    one.finish()?;
    first.end()?;
    let now = reader.fetch("RETR up.bin")?;
    let whole = now == vec![b'1'; WHOLE] || (!refused && now == vec![b'2'; PART]);
    ensure!(whole, "{} octets of a mixture", now.len());
    Ok(())
}

// Case 45: the file shrinks under a reader.
#[test]
fn a_file_truncated_while_it_is_sent_ends_the_transfer_and_not_the_server() -> Result<()> {
    let mut subject = subject(&[])?;
    let path = subject.tree.sparse("large", 1 << 30)?;
    let mut control = subject.session()?;
    let mut data = control.begin("RETR large")?;
    std::io::Read::read_exact(&mut data, &mut [0; 4096])?;
    std::fs::File::options().write(true).open(path)?.set_len(100)?;
    // What was promised cannot be sent; what comes is less, and it ends.
    let got = data.read_all().map(|rest| rest.len()).unwrap_or_default();
    ensure!(got < 1 << 30);
    drop(data);
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 226 | 426 | 451 | 550), "«{reply}»");
    control.expect("NOOP", 200)?;
    ensure!(subject.alive()?);
    Ok(())
}

// Case 47.
#[test]
fn after_a_crash_the_part_that_arrived_can_be_resumed() -> Result<()> {
    let mut subject = subject(&[])?;
    let whole = bytes(11, WHOLE);
    let mut control = subject.session()?;
    let mut data = control.begin("STOR up.bin")?;
    data.write_all(whole.get(..PART).unwrap_or_default())?;
    // An answer on the control connection does not say that the data has been written: its file does.
    until("something is on disk", PATIENCE, || {
        let files = std::fs::read_dir(subject.tree.path())?.filter_map(|entry| entry.ok()?.metadata().ok());
        Ok(files.map(|file| file.len()).max().filter(|length| *length > 0))
    })?;
    let tree = subject.crash()?;
    drop(subject);
    let subject = Subject::start_on(tree, &Options::default())?;
    let mut control = subject.session()?;
    let there = hidden(&subject, &mut control, "up.bin")?;
    ensure!(there > 0 && there <= PART);
    control.expect(format!("REST {there}"), 350)?;
    control.store("STOR up.bin", whole.get(there..).unwrap_or_default())?;
    ensure!(subject.tree.read("up.bin")? == whole);
    // And a whole new upload of the name works over a left-over, too.
    control.store("STOR other.bin", b"new")?;
    ensure!(subject.tree.names()? == [b"other.bin".to_vec(), b"up.bin".to_vec()]);
    Ok(())
}

// Case 46.
#[test]
fn a_full_disk_is_answered_452_and_other_users_go_on() -> Result<()> {
    let subject = Subject::start(&Options { disk: Some(4 << 20), ..Options::default() })?;
    let (mut control, mut other) = (subject.session()?, subject.session()?);
    other.store("STOR small", b"fits")?;
    let mut data = control.begin("STOR large")?;
    // The server may close before all is sent.
    let _ = data.write_all(&bytes(1, 8 << 20));
    let _ = data.finish();
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 452 | 552), "«{reply}»");
    ensure!(other.fetch("RETR small")? == b"fits");
    let reply = control.say("SIZE large")?;
    println!("after a full disk, SIZE of the name is «{reply}»");
    // What filled the disk can be got rid of by name.
    control.expect("DELE large", 250)?;
    control.store("STOR next", &bytes(2, 1 << 20))?;
    Ok(())
}
