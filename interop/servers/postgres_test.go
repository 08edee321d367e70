//go:build linux

package servers_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

const postgresPackages = "postgresql postgresql-client"

// TestPostgres tests a server with long requests and answers, whose connections begin
// with a request of its own protocol.
func TestPostgres(t *testing.T) {
	t.Parallel()
	port := startPostgres(t)
	psql, pgDump := program(t, "psql", postgresPackages), program(t, "pg_dump", postgresPackages)
	for _, tunnel := range online(t, port) {
		t.Run(tunnel.protocol, func(t *testing.T) {
			table := "rows_" + tunnel.protocol
			query := func(stdin []byte, sql string) string {
				t.Helper()
				return string(run(t, command(t, psql, "-XAtq", "-v", "ON_ERROR_STOP=1",
					"-h", loopback, "-p", tunnel.port, "-U", "postgres", "-c", sql), stdin))
			}
			query(nil, "CREATE TABLE "+table+" (id int PRIMARY KEY, word text NOT NULL)")
			data := rows(100_000)
			query(data, "COPY "+table+" FROM STDIN")
			got := query(nil, "SELECT md5(string_agg(id || E'\\t' || word || E'\\n', '' ORDER BY id)) FROM "+table)
			if want := fmt.Sprintf("%x\n", md5.Sum(data)); got != want {
				t.Errorf("the server's rows have the checksum %s, not %s", got, want)
			}
			if got := query(nil, "COPY (SELECT * FROM "+table+" ORDER BY id) TO STDOUT"); got != string(data) {
				t.Errorf("%d bytes came back, or wrong ones, of %d", len(got), len(data))
			}
			if !bytes.Equal(dump(t, pgDump, tunnel.port, table), dump(t, pgDump, port, table)) {
				t.Error("a dump through the relay differs from one without")
			}
		})
	}
}

func startPostgres(t *testing.T) (port string) {
	t.Helper()
	initdb, server := program(t, "initdb", postgresPackages), program(t, "postgres", postgresPackages)
	home := newHome(t, "postgres")
	run(t, home.command(t, initdb, "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"), nil)
	port = conntest.FreePort(t)
	cmd := home.command(t, server, "-D", "data", "-p", port, "-c", "listen_addresses="+loopback,
		"-c", "unix_socket_directories=", "-c", "fsync=off")
	// If it were killed, its shared memory would stay.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	start(t, cmd).await(t, "database system is ready to accept connections")
	return port
}

func dump(t *testing.T, pgDump, port, table string) []byte {
	t.Helper()
	out := run(t, command(t, pgDump, "-h", loopback, "-p", port, "-U", "postgres", "-t", table, "postgres"), nil)
	if !bytes.Contains(out, []byte("\n99999\t")) {
		t.Errorf("the dump lacks the last row: %d bytes", len(out))
	}
	// A line at each end differs in every dump.
	return slices.Concat(slices.DeleteFunc(bytes.SplitAfter(out, []byte("\n")), func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(`\restrict `)) || bytes.HasPrefix(line, []byte(`\unrestrict `))
	})...)
}
