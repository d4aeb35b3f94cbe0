"""Drives ftplib: HOST PORT USER PASSWORD MODE SECURITY AUTHORITY ACT ARGUMENT..."""
import ftplib
import os
import ssl
import sys

host, port, user, password, mode, security, authority, act, *arguments = sys.argv[1:]


class Implicit(ftplib.FTP_TLS):
    """TLS from the first octet, which ftplib has no name for."""

    def connect(self, *args, **kwargs):
        self._wrap = True
        return super().connect(*args, **kwargs)

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, value):
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname=self.host)
        self._sock = value


def octets(name):
    """Names are octets; Latin-1 carries each of them."""
    return os.fsencode(name).decode("latin-1")


if security == "plain":
    ftp = ftplib.FTP(encoding="latin-1", timeout=20)
else:
    context = ssl.create_default_context(cafile=authority)
    kind = Implicit if security == "implicit" else ftplib.FTP_TLS
    ftp = kind(context=context, encoding="latin-1", timeout=20)
ftp.connect(host, int(port))
if security == "implicit":
    ftp.prot_p()
    ftplib.FTP.login(ftp, user, password)
else:
    ftp.login(user, password)
    if security == "explicit":
        ftp.prot_p()
ftp.set_pasv(mode == "passive")


def fetch(remote, local, offset=None):
    with open(local, "ab" if offset else "wb") as file:
        ftp.retrbinary("RETR " + remote, file.write, 1 << 18, offset)


if act == "list":
    names = ftp.nlst(octets(arguments[0]))
    sys.stdout.buffer.write("\n".join(names).encode("latin-1") + b"\n")
elif act == "get":
    fetch(octets(arguments[0]), arguments[1])
elif act == "reget":
    fetch(octets(arguments[0]), arguments[1], os.path.getsize(arguments[1]))
elif act in ("put", "append", "reput"):
    remote = octets(arguments[1])
    with open(arguments[0], "rb") as file:
        offset = None
        if act == "reput":
            ftp.voidcmd("TYPE I")
            offset = ftp.size(remote)
            file.seek(offset)
        ftp.storbinary(("APPE " if act == "append" else "STOR ") + remote, file, 1 << 18, rest=offset)
elif act == "rename":
    ftp.rename(*arguments)
elif act == "delete":
    ftp.delete(arguments[0])
elif act == "mkdir":
    ftp.mkd(arguments[0])
elif act == "rmdir":
    ftp.rmd(arguments[0])
elif act == "mirror":
    try:
        facts = {name: fact for name, fact in ftp.mlsd(arguments[0])}
        folders = [name for name, fact in facts.items() if fact["type"] == "dir"]
    except ftplib.error_perm:
        folders = [os.path.basename(name) for name in ftp.nlst(arguments[0])]
    for folder in folders:
        os.makedirs(os.path.join(arguments[1], folder), exist_ok=True)
        ftp.cwd(f"/{arguments[0]}/{folder}")
        for name in ftp.nlst():
            fetch(name, os.path.join(arguments[1], folder, name))
else:
    sys.exit(f"what is {act}?")
ftp.quit()
