//go:build linux

package servers_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// proxiedServers are Debian's servers that take PROXY headers, each with as little configuration
// as it needs.
func proxiedServers() []proxied {
	return []proxied{
		{name: "nginx", start: startNginxHTTP, talk: askPage, set: []string{"set_real_ip_from 127.0.0.1; set_real_ip_from ::1; real_ip_header proxy_protocol;"}},
		{name: "nginx stream", start: startNginxStream, talk: askPage, set: []string{"set_real_ip_from 127.0.0.1; set_real_ip_from ::1;"}},
		{name: "HAProxy", start: startHAProxy, talk: askPage, set: []string{"accept-proxy"}},
		{name: "Apache", start: startApache, talk: askPage, set: []string{"RemoteIPProxyProtocol On"}},
		{name: "lighttpd", start: startLighttpd, talk: askPage, set: []string{`extforward.forwarder = ("127.0.0.1" => "trust", "::1" => "trust")`, `extforward.hap-PROXY = "enable"`}},
		{name: "Varnish", start: startVarnish, talk: askPage, set: []string{"PROXY"}},
		{name: "Squid", start: startSquid, talk: askPage, set: []string{"require-proxy-header", "acl forwarder src 127.0.0.1 ::1", "proxy_protocol_access allow forwarder"}},
		{name: "Postfix", start: startPostfix, talk: greetMail, set: []string{"-o smtpd_upstream_proxy_protocol=haproxy"}},
		{name: "Dovecot", start: startDovecot, talk: failLogin, set: []string{"haproxy_trusted_networks = 127.0.0.1/32 ::1/128", "haproxy = yes"}},
		{name: "MariaDB", start: startProxiedMariaDB, talk: mariadbLogin, set: []string{"proxy-protocol-networks=127.0.0.1,::1"}},
		{name: "dnsdist", start: startDNSDist, talk: dnsQuery, versions: []string{"v2"}, set: []string{`setProxyProtocolACL({"127.0.0.1","::1"})`}},
	}
}

const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

func startNginxHTTP(s *site) {
	path := program(s.T, "nginx", nginxPackages)
	text := nginxConfig(`log_format users "$remote_addr"; access_log /dev/stdout users;`, strings.ReplaceAll(
		`server { listen 127.0.0.1:{port} proxy_protocol; set_real_ip_from 127.0.0.1; set_real_ip_from ::1; real_ip_header proxy_protocol; return 200 "hello\n"; }`,
		"{port}", s.port))
	s.run(path, "-p", s.dir, "-c", s.write("nginx.conf", text), "-e", "stderr")
}

func startNginxStream(s *site) {
	path := program(s.T, "nginx", nginxPackages)
	if _, err := os.Stat(streamModule); err != nil {
		s.Skip("nginx's stream module is not installed: apt-get install libnginx-mod-stream")
	}
	s.run(path, "-p", s.dir, "-e", "stderr", "-c", s.write("nginx.conf", `daemon off; master_process off; pid pid; lock_file lock; error_log stderr;
load_module `+streamModule+`;
events {}
stream {
	log_format users "$remote_addr"; access_log /dev/stdout users;
	server { listen 127.0.0.1:{port} proxy_protocol; set_real_ip_from 127.0.0.1; set_real_ip_from ::1; return "HTTP/1.0 200 OK\r\n\r\n"; }
}
`))
}

func startHAProxy(s *site) {
	s.run(program(s.T, "haproxy", "haproxy"), "-db", "-f", s.write("haproxy.cfg", `global
	log stdout format raw local0
defaults
	mode http
	log global
	option httplog
	timeout client 30s
	timeout server 30s
	timeout connect 5s
frontend web
	bind 127.0.0.1:{port} accept-proxy
	http-request return status 200
`))
}

// as returns lines for a server that gives up root, if the test is root.
func as(lines string) string {
	if os.Getuid() != 0 {
		return ""
	}
	return lines
}

func startApache(s *site) {
	s.log.file = filepath.Join(s.dir, "access")
	s.run(program(s.T, "apache2", "apache2"), "-X", "-d", s.dir, "-f", s.write("apache.conf", `ServerName example.org
Listen 127.0.0.1:{port}
PidFile {dir}/pid
DefaultRuntimeDir {dir}
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so
RemoteIPProxyProtocol On
LogFormat "%a" users
CustomLog {dir}/access users
`+as("User www-data\nGroup www-data\n")))
}

func startLighttpd(s *site) {
	s.log.file = filepath.Join(s.dir, "access")
	s.run(program(s.T, "lighttpd", "lighttpd"), "-D", "-f", s.write("lighttpd.conf", `server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{dir}"
server.modules = ("mod_extforward", "mod_accesslog")
extforward.forwarder = ("127.0.0.1" => "trust", "::1" => "trust")
extforward.hap-PROXY = "enable"
accesslog.filename = "{dir}/access"
accesslog.format = "%h"
`))
}

func startVarnish(s *site) {
	varnishd, ncsa := program(s.T, "varnishd", "varnish"), program(s.T, "varnishncsa", "varnish")
	work := filepath.Join(s.dir, "work")
	s.run(varnishd, "-F", "-n", work, "-a", loopback+":"+s.port+",PROXY", "-b", "none", "-s", "malloc,10m", "-j", "none")
	s.awaitPort()
	s.run(ncsa, "-n", work, "-F", "%h")
	// It prints what comes once it is there.
	for since := time.Now(); !strings.Contains(s.log.String(), "192.0.2.1") && time.Since(since) < patience/4; <-time.After(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", net.JoinHostPort(loopback, s.port)); err == nil {
			_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1 1\r\n")
			_ = askPage(c)
			_ = c.Close()
		}
	}
}

func startSquid(s *site) {
	if os.Getuid() == 0 {
		s.own("proxy")
	}
	s.log.file = filepath.Join(s.dir, "access")
	s.run(program(s.T, "squid", "squid"), "-N", "-f", s.write("squid.conf", `http_port 127.0.0.1:{port} require-proxy-header
acl forwarder src 127.0.0.1 ::1
proxy_protocol_access allow forwarder
http_access deny all
access_log stdio:{dir}/access
logfile_rotate 0
buffered_logs off
cache_log /dev/stderr
pid_filename none
coredump_dir {dir}
netdb_filename none
icp_port 0
shutdown_lifetime 0 seconds
visible_hostname example.org
`))
}

// own gives the folder to the user that a server becomes.
func (s *site) own(name string) {
	s.Helper()
	account, err := user.Lookup(name)
	if err != nil {
		s.Fatalf("the user that comes with the server's package: %v", err)
	}
	if err := os.Chown(s.dir, atoi(account.Uid), atoi(account.Gid)); err != nil {
		s.Fatal(err)
	}
}

func startPostfix(s *site) {
	path := program(s.T, "postfix", "postfix")
	if os.Getuid() != 0 {
		s.Skip("only root can run Postfix")
	}
	for _, dir := range []string{"queue", "data"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil { //nolint:gosec // its users have to come in
			s.Fatal(err)
		}
	}
	account, err := user.Lookup("postfix")
	if err != nil {
		s.Fatal(err)
	}
	if err := os.Chown(filepath.Join(s.dir, "data"), atoi(account.Uid), atoi(account.Gid)); err != nil {
		s.Fatal(err)
	}
	s.log.file = filepath.Join(s.dir, "maillog")
	s.write("main.cf", `compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = all
myhostname = example.org
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject
alias_maps =
local_recipient_maps =
`)
	s.write("master.cf", `127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`)
	s.Cleanup(func() { // its master has a session of its own
		text, _ := os.ReadFile(filepath.Join(s.dir, "queue/pid/master.pid"))
		if pid := atoi(strings.TrimSpace(string(text))); pid > 1 {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	})
	s.run(path, "-c", s.dir, "start-fg")
}

func greetMail(c net.Conn) error {
	if _, err := wantText(c, "220 "); err != nil {
		return err
	}
	_, err := io.WriteString(c, "QUIT\r\n")
	return err
}

func startDovecot(s *site) {
	path := program(s.T, "dovecot", "dovecot-imapd")
	if os.Getuid() != 0 {
		s.Skip("only root can run Dovecot with users of its own")
	}
	s.run(path, "-F", "-c", s.write("dovecot.conf", `base_dir = {dir}/run
log_path = /dev/stderr
info_log_path = /dev/stderr
protocols = imap
ssl = no
disable_plaintext_auth = no
haproxy_trusted_networks = 127.0.0.1/32 ::1/128
passdb {
  driver = static
  args = password=right
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home={dir}
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener proxied {
    address = 127.0.0.1
    port = {port}
    haproxy = yes
  }
}
`))
}

func failLogin(c net.Conn) error {
	if _, err := wantText(c, "* OK"); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "a LOGIN somebody wrong\r\nb LOGOUT\r\n"); err != nil {
		return err
	}
	_, err := wantText(c, "b OK")
	return err
}

func startProxiedMariaDB(s *site) {
	m := installMariaDB(s.T)
	s.log.file = filepath.Join(m.dir, "users")
	cmd := m.command(s.T, m.server, "--no-defaults", "--datadir="+filepath.Join(m.dir, "data"), "--bind-address="+loopback,
		"--port="+s.port, "--socket="+filepath.Join(m.dir, "socket"), "--pid-file="+filepath.Join(m.dir, "pid"), "--skip-name-resolve",
		"--proxy-protocol-networks=127.0.0.1,::1", "--skip-grant-tables", "--general-log=1", "--general-log-file="+s.log.file)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// mariadbLogin logs in as nobody, whom a server without accounts lets in: the packet has what a
// client can (protocol 4.1, secure connection), the name, and no password. The answer is OK.
func mariadbLogin(c net.Conn) error {
	if _, err := wantText(c, "MariaDB"); err != nil {
		return err
	}
	login := binary.LittleEndian.AppendUint32(nil, 0x00000200|0x00008000)
	login = binary.LittleEndian.AppendUint32(login, 1<<24)
	login = append(login, 33)
	login = append(login, make([]byte, 23)...)
	login = append(login, "nobody\x00\x00"...)
	packet := append([]byte{byte(len(login)), 0, 0, 1}, login...)
	if _, err := c.Write(packet); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

func startDNSDist(s *site) {
	// It has the port of UDP as well, by which the other ports of tests are marked.
	free, err := net.ListenPacket("udp", loopback+":0")
	if err != nil {
		s.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(free.LocalAddr().String())
	_ = free.Close()
	s.run(program(s.T, "dnsdist", "dnsdist"), "--supervised", "--disable-syslog", "-C", s.write("dnsdist.conf", `setLocal("127.0.0.1:{port}")
setACL({"0.0.0.0/0", "::/0"})
setProxyProtocolACL({"127.0.0.1","::1"})
newServer({address="127.0.0.1:1", healthCheckMode="up"})
addAction(AllRule(), LogAction("", false, true, false, false, false))
addAction(AllRule(), RCodeAction(DNSRCode.REFUSED))
`))
}

// dnsQuery asks for a name over TCP (RFC 1035, section 4.2.2).
func dnsQuery(c net.Conn) error {
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01")
	if _, err := c.Write(append([]byte{0, byte(len(query))}, query...)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 2+12))
	return err
}
