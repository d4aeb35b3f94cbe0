# Drives Net::FTP: HOST PORT USER PASSWORD MODE SECURITY AUTHORITY ACT ARGUMENT...
use strict;
use warnings;
use Net::FTP;

my ($host, $port, $user, $password, $mode, $security, $authority, $act, @arguments) = @ARGV;
my $ftp = Net::FTP->new(
    $host,
    Port           => $port,
    Passive        => $mode eq 'passive' ? 1 : 0,
    Timeout        => 20,
    SSL            => $security eq 'implicit' ? 1 : 0,
    SSL_ca_file    => $authority,
    SSL_verify_mode => 1,
) or die "connect: $@";

sub must {
    my ($done, $what) = @_;
    die "$what: " . $ftp->code . ' ' . $ftp->message unless defined $done && $done;
    return $done;
}

must($ftp->starttls, 'starttls') if $security eq 'explicit';
must($ftp->login($user, $password), 'login');
must($ftp->prot('P'), 'prot') if $security ne 'plain';
must($ftp->binary, 'binary');

if ($act eq 'list') {
    print map { "$_\n" } $ftp->ls($arguments[0]);
    must($ftp->ok, 'ls');
} elsif ($act eq 'get') {
    must($ftp->get($arguments[0], $arguments[1]), 'get');
} elsif ($act eq 'reget') {
    must($ftp->get($arguments[0], $arguments[1], -s $arguments[1]), 'get');
} elsif ($act eq 'put') {
    must($ftp->put($arguments[0], $arguments[1]), 'put');
} elsif ($act eq 'append') {
    must($ftp->append($arguments[0], $arguments[1]), 'append');
} elsif ($act eq 'reput') {
    open(my $file, '<:raw', $arguments[0]) or die $!;
    my $size = must($ftp->size($arguments[1]), 'size');
    seek($file, $size, 0) or die $!;
    must($ftp->restart($size) || 1, 'restart');
    must($ftp->put($file, $arguments[1]), 'put');
} elsif ($act eq 'rename') {
    must($ftp->rename(@arguments), 'rename');
} elsif ($act eq 'delete') {
    must($ftp->delete($arguments[0]), 'delete');
} elsif ($act eq 'mkdir') {
    must($ftp->mkdir($arguments[0]), 'mkdir');
} elsif ($act eq 'rmdir') {
    must($ftp->rmdir($arguments[0]), 'rmdir');
} elsif ($act eq 'mirror') {
    for my $i (0 .. 9) {
        mkdir "$arguments[1]/d$i";
        must($ftp->cwd("/$arguments[0]/d$i"), 'cwd');
        for my $name ($ftp->ls) {
            must($ftp->get($name, "$arguments[1]/d$i/$name"), "get $name");
        }
    }
} else {
    die "what is $act?";
}
$ftp->quit;
