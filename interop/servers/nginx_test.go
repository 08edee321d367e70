//go:build linux

package servers_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
)

const nginxPackages = "nginx-light"

// TestNginx tests a server that believes PROXY headers, and requires one on each
// connection.
func TestNginx(t *testing.T) {
	t.Parallel()
	server := startNginx(t)
	for version := 1; version <= 2; version++ {
		for _, tt := range []struct{ user, public, log string }{
			{"192.0.2.1:56068", "198.51.100.2:443", "192.0.2.1:56068 198.51.100.2:443"},
			{"[2001:db8::1]:56068", "[2001:db8::2]:443", "2001:db8::1:56068 2001:db8::2:443"},
			{"192.0.2.1:56068", "[2001:db8::2]:443", "::ffff:192.0.2.1:56068 2001:db8::2:443"},
			{"", "", "-:- -:-"},
		} {
			t.Run(fmt.Sprintf("v%d %s to %s", version, tt.user, tt.public), func(t *testing.T) {
				header, err := proxyproto.Header(version, tcpAddr(t, tt.user), tcpAddr(t, tt.public))
				if err != nil {
					t.Fatal(err)
				}
				path := fmt.Sprintf("/v%d/%x", version, random(8))
				get(t, server.port, header, path)
				if line := server.await(t, path); line != path+" "+tt.log {
					t.Errorf("nginx logged %q, want %q", line, path+" "+tt.log)
				}
			})
		}
	}
}

// tcpAddr returns nil for "".
func tcpAddr(t *testing.T, s string) net.Addr {
	t.Helper()
	if s == "" {
		return nil
	}
	addr, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// nginx is the server, which prints its access log: for each request the path, the user
// and the public address.
type nginx struct {
	*process
	port string
}

func startNginx(t *testing.T) nginx {
	t.Helper()
	path := program(t, "nginx", nginxPackages)
	port, dir := conntest.FreePort(t), t.TempDir()
	text := nginxConfig("log_format users \"$uri $proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port\"; access_log /dev/stdout users;",
		fmt.Sprintf("server { listen %s:%s proxy_protocol; return 200 \"hello from nginx\\n\"; }", loopback, port))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := nginx{start(t, command(t, path, "-p", dir, "-c", file, "-e", "stderr")), port}
	server.await(t, "event method") // it prints that when it listens
	return server
}

// nginxConfig returns a configuration of nginx that uses only its own folder.
func nginxConfig(log, servers string) string {
	var temp strings.Builder
	// By default all of these are elsewhere.
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "\t%s_temp_path %s;\n", name, name)
	}
	return fmt.Sprintf(`daemon off;
master_process off;
pid pid;
lock_file lock;
error_log stderr notice;
events {}
http {
%s
	%s
	%s
}
`, temp.String(), log, servers)
}

// get requests path at a port, after a header, and returns the user's address.
func get(t *testing.T, port string, header []byte, path string) (user string) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(loopback, port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(header); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n", path)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "\r\nhello from nginx\n") {
		t.Errorf("nginx answers %q, %v", answer, err)
	}
	return conn.LocalAddr().String()
}

// Users who come through a relay appear in nginx's log as if they had come directly.
func TestNginxBehindRelay(t *testing.T) {
	t.Parallel()
	server := startNginx(t)
	for _, version := range []string{"v1", "v2"} {
		for _, u := range online(t, server.port, "--proxyProtocol="+version) {
			t.Run(version+" over "+u.protocol, func(t *testing.T) {
				for range 3 {
					path := fmt.Sprintf("/%s/%x", version, random(8))
					user := get(t, u.port, nil, path)
					want := fmt.Sprintf("%s %s %s:%s", path, user, loopback, u.port)
					if line := server.await(t, path); line != want {
						t.Errorf("nginx logged %q, want %q", line, want)
					}
				}
			})
		}
	}
}
