//go:build linux

package servers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

const mariadbPackages = "mariadb-server mariadb-client"

// TestMariaDB tests a server whose client sends nothing before the greeting. In a pool
// the greetings wait for the users.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	m := installMariaDB(t)
	server := m.startServer(t)
	tunnels := online(t, m.port)
	for _, tunnel := range tunnels {
		t.Run(tunnel.protocol, func(t *testing.T) {
			tunnel.expectGreeting(t, "MariaDB")
			m.testRows(t, tunnel)
		})
	}
	// Connections that waited with a greeting of the previous server must not serve
	// users who come after it, and the public ports stay.
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		server.cmd.Process.Signal(how)
		<-server.exited
		server = m.startServer(t)
		for _, tunnel := range tunnels {
			t.Run(tunnel.protocol+" after "+how.String(), func(t *testing.T) {
				for range 20 { // more than wait in a pool
					tunnel.expectGreeting(t, "MariaDB")
				}
				if got := m.query(t, tunnel.port, "SELECT 6*7"); string(got) != "42\n" {
					t.Errorf("6*7 is %q", got)
				}
			})
		}
	}
}

// mariadb is an installation of the server.
type mariadb struct {
	home
	port           string
	server, client string
}

func installMariaDB(t *testing.T) mariadb {
	t.Helper()
	m := mariadb{server: program(t, "mariadbd", mariadbPackages), client: program(t, "mariadb", mariadbPackages)}
	install := program(t, "mariadb-install-db", mariadbPackages)
	m.home = newHome(t, "mysql")
	m.port = conntest.FreePort(t)
	run(t, m.command(t, install, "--no-defaults", "--datadir="+filepath.Join(m.dir, "data"),
		"--auth-root-authentication-method=normal", "--skip-test-db"), nil)
	return m
}

func (m mariadb) startServer(t *testing.T) *process {
	t.Helper()
	server := start(t, m.command(t, m.server, "--no-defaults", "--datadir="+filepath.Join(m.dir, "data"),
		"--bind-address="+loopback, "--port="+m.port, "--socket="+filepath.Join(m.dir, "socket"),
		"--pid-file="+filepath.Join(m.dir, "pid"), "--skip-name-resolve"))
	server.await(t, "ready for connections")
	return server
}

func (m mariadb) query(t *testing.T, port, sql string) []byte {
	t.Helper()
	return run(t, command(t, m.client, "--no-defaults", "--protocol=tcp", "--host="+loopback, "--port="+port, "--user=root",
		"--local-infile", "--batch", "--raw", "--quick", "--skip-column-names", "--execute="+sql), nil)
}

func (m mariadb) testRows(t *testing.T, tunnel tunnel) {
	table := tunnel.protocol + ".words"
	data := rows(50_000)
	file := filepath.Join(t.TempDir(), "rows")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m.query(t, tunnel.port, "CREATE DATABASE "+tunnel.protocol+
		"; CREATE TABLE "+table+" (id int PRIMARY KEY, word text NOT NULL)"+
		"; LOAD DATA LOCAL INFILE '"+file+"' INTO TABLE "+table)
	if got := m.query(t, tunnel.port, "SELECT * FROM "+table+" ORDER BY id"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, or wrong ones, of %d", len(got), len(data))
	}
	sum := "CHECKSUM TABLE " + table
	if got, want := m.query(t, tunnel.port, sum), m.query(t, m.port, sum); !bytes.Equal(got, want) {
		t.Errorf("the checksum through the relay is %q, without it is %q", got, want)
	}
}
