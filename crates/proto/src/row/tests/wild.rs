use super::*;
use crate::row::Perm;

const FILE: RowKind = RowKind::File;
const DIR: RowKind = RowKind::Dir;

#[test]
fn dos_listings_are_read() {
    check(
        RowFormat::Auto,
        &[
            (
                b"02-14-24  10:31AM       <DIR>          aspnet client",
                DIR,
                None,
                "202402141031",
                b"aspnet client",
            ),
            (
                b"02-14-24  10:31PM                 1234 readme.txt",
                FILE,
                Some(1234),
                "202402142231",
                b"readme.txt",
            ),
            (
                b"02-14-2024  12:05AM               1234 midnight",
                FILE,
                Some(1234),
                "202402140005",
                b"midnight",
            ),
            (b"02-14-2024  12:05PM               1234 noon", FILE, Some(1234), "202402141205", b"noon"),
            (b"02-14-99  22:31                   1234 24h", FILE, Some(1234), "199902142231", b"24h"),
            (b"2024-02-14  22:31                 1234 iso", FILE, Some(1234), "202402142231", b"iso"),
            (b"14.02.2024  22:31    <DIR>          deutsch", DIR, None, "202402142231", b"deutsch"),
            (b"14.02.2024  22:31         1.234.567 deutsch", FILE, Some(1234567), "202402142231", b"deutsch"),
            (b"02/14/2024  10:31 PM         1,234 cmd", FILE, Some(1234), "202402142231", b"cmd"),
            (b"14/02/2024  22:31         1,234 british", FILE, Some(1234), "202402142231", b"british"),
            (
                b"02-14-24  10:31AM       <JUNCTION>     docs [C:\\x y]",
                RowKind::Symlink,
                None,
                "202402141031",
                b"docs",
            ),
            (b"02-14-24  10:31AM       <SYMLINKD>     docs", RowKind::Symlink, None, "202402141031", b"docs"),
            (b"02-14-24  10:31AM       <DIR>           one space", DIR, None, "202402141031", b" one space"),
            (b"02-14-24  10:31AM       <DIR> near", DIR, None, "202402141031", b"near"),
            (b"02-14-24  10:31AM                 1234  space", FILE, Some(1234), "202402141031", b" space"),
            (b"02-14-24  10:31AM       <DIR>          ..", RowKind::Pdir, None, "202402141031", b".."),
        ],
    );
    for line in [
        "",
        " Volume in drive C has no label.",
        " Directory of C:\\x",
        "               2 File(s)          1,234 bytes",
    ] {
        assert_eq!(parse_as(RowFormat::Dos, line.as_bytes()), Ok(None), "{line}");
    }
    for line in
        ["13-32-24  10:31AM 5 x", "02-14-24  10:31AM <WHAT> x", "02-14-24  10:31AM", "02-14-24 10:31AM 5 "]
    {
        assert_eq!(parse_as(RowFormat::Auto, line.as_bytes()), Err(RowError), "{line}");
    }
}

#[test]
fn mlsd_is_read_as_written_and_as_sent() {
    check(
        RowFormat::Mlsx,
        &[
            (b"type=file;size=17;modify=20240229123456; a.txt", FILE, Some(17), "20240229123456", b"a.txt"),
            (b"Type=File;Size=17;Modify=20240229123456.123; a", FILE, Some(17), "20240229123456", b"a"),
            (b"type=dir;modify=20240229123456; d", DIR, None, "20240229123456", b"d"),
            (b"type=dir;sizd=4096; d", DIR, Some(4096), "-", b"d"),
            (b"type=cdir;perm=el; /pub", RowKind::Cdir, None, "-", b"/pub"),
            (b"type=pdir;perm=el; ..", RowKind::Pdir, None, "-", b".."),
            (b"type=OS.unix=slink:; l", RowKind::Symlink, None, "-", b"l"),
            (b"type=OS.unix=symlink; l", RowKind::Symlink, None, "-", b"l"),
            (b"type=OS.unix=chr-1/3; null", RowKind::Other, None, "-", b"null"),
            (b"type=file;size=17 no semicolon; see", FILE, Some(17), "-", b"no semicolon; see"),
            (b"type=file;size=17;  one space", FILE, Some(17), "-", b" one space"),
            (b"type=file;size=17;   ", FILE, Some(17), "-", b"  "),
            (b"type=file; a=b;c=d; e", FILE, None, "-", b"a=b;c=d; e"),
            (b" no facts", FILE, None, "-", b"no facts"),
            (b"type=file;modify=191240229123456; y2k", FILE, None, "20240229123456", b"y2k"),
            (b"type=file;modify=yesterday;size=-5;;=;x; odd", FILE, None, "-", b"odd"),
            (b"size=99999999999999999999;type=file; huge", FILE, None, "-", b"huge"),
            (b"type=file;size=17; \xff\x80", FILE, Some(17), "-", b"\xff\x80"),
        ],
    );
    for line in [
        &b"-rw-r--r-- 1 u g 5 Jan  1  2020 x"[..],
        b"type=file;size=5;",
        b"type=file;size=5; ",
        b"foo=bar; x",
    ] {
        assert_eq!(parse_as(RowFormat::Mlsx, line), Err(RowError), "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn every_fact_finds_its_place() {
    let line = b"type=OS.unix=slink:/my docs;unique=801g2;unix.mode=0644;perm=RWadf;unix.uid=7;UNIX.ownername=joe;unix.gid=8;create=20200101000000;lang=en; x";
    let row = parse_as(RowFormat::Mlsx, line).unwrap().unwrap();
    assert_eq!(
        row,
        ListRow {
            target: Some(b"/my docs".to_vec()),
            unique: Some(b"801g2".to_vec()),
            mode: Some(0o644),
            perm: Some(Perm::parse(b"adfrw")),
            owner: Some(b"joe".to_vec()),
            group: Some(b"8".to_vec()),
            created: Some(at("20200101000000")),
            ..ListRow::new("x", RowKind::Symlink)
        }
    );
    assert_eq!(ListRow::parse_mlst(b" type=file; /a b"), Ok(ListRow::new("/a b", FILE)));
    assert_eq!(ListRow::parse_mlst(b"type=file; /a b"), Ok(ListRow::new("/a b", FILE)));
    assert_eq!(ListRow::parse_mlst(b"End"), Err(RowError));
}

#[test]
fn eplf_is_read() {
    check(
        RowFormat::Auto,
        &[
            (b"+i8388621.48594,m825718503,r,s280,\tdjb.html", FILE, Some(280), "19960301221503", b"djb.html"),
            (b"+i8388621.50690,m824255907,/,\t514", DIR, None, "19960213235827", b"514"),
            (b"+m825718503,/,r,up755,\ta\tb ", DIR, None, "19960301221503", b"a\tb "),
            (b"+\tunknown", RowKind::Other, None, "-", b"unknown"),
        ],
    );
    let row = row(b"+i1.2,up644,r,\tx");
    assert_eq!((row.mode, row.unique), (Some(0o644), Some(b"1.2".to_vec())));
}

#[test]
fn vms_is_read_in_one_line_and_in_two() {
    check(
        RowFormat::Auto,
        &[
            (
                b"README.TXT;4        5  19-JAN-2024 14:11:03.22  [SYSTEM,OWNER]  (RWED,RWED,RE,)",
                FILE,
                Some(2560),
                "20240119141103",
                b"README.TXT;4",
            ),
            (
                b"CORE.DIR;1          1  8-SEP-1996 16:09 [SYSTEM] (RWE,RWE,RE,RE)",
                DIR,
                None,
                "199609081609",
                b"CORE",
            ),
            (
                b"CII-MANUAL.TEX;1  213/216  29-JAN-1996 03:33:12  [ANONYMOU,ANONYMOUS]   (RWED,RWED,,)",
                FILE,
                Some(109056),
                "19960129033312",
                b"CII-MANUAL.TEX;1",
            ),
            (b"NOSIZE.TXT;1   2-JUN-2023 07:30 [X]", FILE, None, "202306020730", b"NOSIZE.TXT;1"),
            (
                b"DENIED.TXT;1 %RMS-E-PRV, insufficient privilege or file protection violation",
                FILE,
                None,
                "-",
                b"DENIED.TXT;1",
            ),
        ],
    );
    let mut parser = RowParser::new(RowFormat::from_syst(b"VMS V7.3"));
    let mut read = |line: &str| parser.parse_line(line.as_bytes(), now()).unwrap();
    assert_eq!(read("Directory DKA0:[USER.JOE]"), None);
    assert_eq!(read(""), None);
    assert_eq!(read("A_NAME_SO_LONG_THAT_IT_STANDS_ALONE.TXT;12"), None);
    let row = read("                        7/9  19-JAN-2024 14:11 [G,U] (RWED,RWED,RE,)").unwrap();
    assert_eq!(
        (row.name.as_slice(), row.size, row.rounded),
        (&b"A_NAME_SO_LONG_THAT_IT_STANDS_ALONE.TXT;12"[..], Some(3584), true)
    );
    assert_eq!(row.owner, Some(b"G,U".to_vec()));
    assert_eq!(read("ONE.TXT;1"), None);
    assert_eq!(read("TWO.TXT;1").map(|r| r.name), Some(b"ONE.TXT;1".to_vec()), "a listing of names alone");
    assert_eq!(read("Total of 3 files, 21/30 blocks."), None);
    assert_eq!(parser.finish().map(|r| r.name), Some(b"TWO.TXT;1".to_vec()));
    assert_eq!(parser.finish(), None);
}

#[test]
fn z_os_data_sets_are_read() {
    let mut parser = RowParser::new(RowFormat::Auto);
    let mut read = |line: &str| {
        parser
            .parse_line(line.as_bytes(), now())
            .unwrap()
            .map(|r| (r.kind, String::from_utf8(r.name).unwrap()))
    };
    assert_eq!(read("Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname"), None);
    for (line, kind, name) in [
        ("WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE", None, ""),
        (
            "WPTA01 3290   2004/03/04  1    3  FB      80  3125  PO  MVSDATASET.ONE",
            Some(DIR),
            "MVSDATASET.ONE",
        ),
        ("WPTA01 3290   2004/03/04  1    3  FB      80  3125  PS  'USER.SEQ'", Some(FILE), "USER.SEQ"),
        ("NRP004 3390   **NONE**    1   15  NONE     0     0  PO  USER.LOAD", Some(DIR), "USER.LOAD"),
        ("TSO005 3390   2005/06/06 213000 U 0 27998  PO-E USER.PDSE", Some(DIR), "USER.PDSE"),
        ("NRP004 3390   VSAM USER.CLUSTER", Some(RowKind::Other), "USER.CLUSTER"),
        ("Migrated                                                USER.OLD", Some(FILE), "USER.OLD"),
        ("MIGRAT                                                  USER.OLD", Some(FILE), "USER.OLD"),
        (
            "ARCIVE Not Direct Access Device                    KJ.IOP998.ERROR.PL.UNITTEST",
            Some(FILE),
            "KJ.IOP998.ERROR.PL.UNITTEST",
        ),
        ("V43525 Tape                                             USER.TAPE", Some(FILE), "USER.TAPE"),
        ("Pseudo Directory                                        USER.SUB", Some(DIR), "USER.SUB"),
    ] {
        match kind {
            Some(kind) => assert_eq!(read(line), Some((kind, name.into())), "{line}"),
            // A qualifier begins with a letter.
            None => assert_eq!(parse_as(RowFormat::Mvs, line.as_bytes()), Err(RowError)),
        }
    }
}

#[test]
fn z_os_members_and_jobs_are_read() {
    let mut parser = RowParser::new(RowFormat::from_syst(b"MVS is the operating system of this server."));
    let mut read = |line: &str| {
        parser
            .parse_line(line.as_bytes(), now())
            .unwrap()
            .map(|r| (when(&r), String::from_utf8(r.name).unwrap()))
    };
    assert_eq!(read(" Name     VV.MM   Created       Changed      Size  Init   Mod   Id   "), None);
    assert_eq!(
        read("TBSHELF   01.03 2002/09/12 2002/10/11 09:37    11    11     0 KIL001 "),
        Some(("200210110937".into(), "TBSHELF".into()))
    );
    assert_eq!(read("TBTOOL  "), Some(("-".into(), "TBTOOL".into())));

    let mut parser = RowParser::new(RowFormat::Auto);
    assert_eq!(parser.parse_line(b"JOBNAME  JOBID    OWNER    STATUS CLASS", now()), Ok(None));
    let job = parser
        .parse_line(b"IBMUSER1 JOB01906 IBMUSER  OUTPUT A        RC=0000 3 spool files", now())
        .unwrap()
        .unwrap();
    assert_eq!((job.name, job.owner), (b"JOB01906".to_vec(), Some(b"IBMUSER".to_vec())));
}

#[test]
fn other_old_systems_are_read() {
    check(
        RowFormat::Auto,
        &[
            (
                b"QSYS            77824 02/23/00 15:09:55 *DIR       QOpenSys/",
                DIR,
                Some(77824),
                "20000223150955",
                b"QOpenSys",
            ),
            (
                b"QDOC            77824 95-11-23 15:09:55 *FLR       QDLS",
                DIR,
                Some(77824),
                "19951123150955",
                b"QDLS",
            ),
            (
                b"QPGMR            4096 24.02.04 09:05:00 *STMF      a b.txt",
                FILE,
                Some(4096),
                "20040224090500",
                b"a b.txt",
            ),
            (
                b"QPGMR                                    *MEM       QRPGSRC.MBR",
                FILE,
                None,
                "-",
                b"QRPGSRC.MBR",
            ),
            (
                b"QPGMR           36864 02/23/00 15:09:55 *FILE      SRC.FILE/",
                DIR,
                Some(36864),
                "20000223150955",
                b"SRC.FILE",
            ),
            (b"     0           DIR   05-12-97   16:44  PSFONTS", DIR, None, "199705121644", b"PSFONTS"),
            (
                b" 36611      A    04-23-103   10:57  OS2 test1.file",
                FILE,
                Some(36611),
                "200304231057",
                b"OS2 test1.file",
            ),
            (
                b" 1123 A S H     04-14-99   16:40  two attributes",
                FILE,
                Some(1123),
                "199904141640",
                b"two attributes",
            ),
            (
                b"IARPTS01      101           16354  18-Feb-09 16:11:58 200,  8 \"nnnn\"",
                FILE,
                Some(16354),
                "20090218161158",
                b"IARPTS01",
            ),
            (
                b"IARPTS02      101 O         16354  18-Feb-09 16:11:58 200,255 \"oooo\"",
                FILE,
                Some(16354),
                "20090218161158",
                b"IARPTS02",
            ),
            (
                b"README   ANONYMOU V         71         26          1 1997-04-02 12:33:20 TCP291",
                FILE,
                None,
                "19970402123320",
                b"README.ANONYMOU",
            ),
            (
                b"SUBDIR   DIR      -          -          -          - 1997-04-02 12:33:20 -",
                DIR,
                None,
                "19970402123320",
                b"SUBDIR",
            ),
        ],
    );
    assert_eq!(row(b"IARPTS01 101 16354 18-Feb-09 16:11:58 200,  8 \"nnnn\"").owner, Some(b"200,8".to_vec()));
    let heading = b"File         Code             EOF  Last Modification    Owner  RWEP";
    assert_eq!(parse_as(RowFormat::Auto, heading), Ok(None));
}

#[test]
fn the_format_sticks_and_no_name_can_change_it() {
    let mut parser = RowParser::new(RowFormat::Dos);
    assert!(parser.parse_line(b"-rw-r--r-- 1 u g 5 Jan  1  2020 hint was wrong", now()).unwrap().is_some());
    assert_eq!(parser.format(), Some(RowFormat::Unix));
    assert_eq!(parser.parse_line(b"02-14-24  10:31AM       <DIR>          ..", now()), Err(RowError));
    assert_eq!(parser.parse_line(b"type=dir; x", now()), Err(RowError));
    assert!(parser.parse_line(b"-rw-r--r-- 1 u g 5 Jan  1  2020 next", now()).unwrap().is_some());
}

#[test]
fn syst_is_a_hint() {
    for (text, format) in [
        ("UNIX Type: L8", RowFormat::Unix),
        ("Windows_NT", RowFormat::Dos),
        ("OpenVMS AXP", RowFormat::Vms),
        ("VMS V5.5-2", RowFormat::Vms),
        ("MVS is the operating system of this server. FTP Server is running on z/OS.", RowFormat::Mvs),
        ("z/VM Version 4 Release 4.0", RowFormat::Zvm),
        (" OS/400 is the remote operating system.", RowFormat::Os400),
        ("Nonstop (tm) server", RowFormat::NonStop),
        ("NETWARE  Type : L8", RowFormat::Unix),
        ("", RowFormat::Auto),
        ("MACOS Peter's Server", RowFormat::Auto),
    ] {
        assert_eq!(RowFormat::from_syst(text.as_bytes()), format, "{text}");
    }
}
