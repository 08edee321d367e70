//go:build linux

package servers_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed96252745/relay/deploy/systemd"
	"github.com/seed96252745/relay/internal/conntest"
)

// packages are the Debian packages of the programs on the pages.
var packages = map[string]string{
	"redis-server": redisPackages, "redis-cli": redisPackages, "psql": postgresPackages, "ssh": sshPackages,
	"nginx": nginxPackages, "prometheus": "prometheus", "curl": "curl", "nc": "netcat-openbsd", "python3": "python3", "openssl": "openssl",
}

// readerHas starts what the reader of a page has before reading it.
var readerHas = map[string]func(*world){
	"database.md": func(w *world) {
		program(w.t, "psql", postgresPackages)
		w.names["5432"] = startPostgres(w.t)
	},
	"ssh.md":         (*world).startSSH,
	"game-server.md": (*world).startGame,
	"service.md":     (*world).startService,
}

// systemd stands in for systemd: it returns the command that a unit runs, or has nginx reload
// what the page has put into its folder.
func (w *world) systemd(b block, command string) string {
	if command == "sudo systemctl reload nginx" {
		w.reloadNginx()
		return ":"
	}
	name, ok := strings.CutPrefix(command, "sudo systemctl enable --now ")
	if !ok {
		return command
	}
	for _, unit := range systemd.Units() {
		if unit.Name == name {
			return "relay --config " + unit.Config
		}
	}
	w.t.Fatalf("%s:%d: there is no unit %s", w.page, b.line, name)
	return ""
}

// startService makes the folder of the services. There tee writes files that only their owner may
// read: the real folder is closed to others.
func (w *world) startService() {
	if err := os.MkdirAll(filepath.Join(w.dir, "etc/relay"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.script("tee", `sh -c 'umask 077; exec /usr/bin/tee "$@"' tee`)
}

// startSSH starts an SSH server that accepts the user of the page's ssh.
func (w *world) startSSH() {
	s := ssh{program(w.t, "ssh", sshPackages), "", w.dir}
	w.names["22"] = s.startServer(w.t)
	config := fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nBatchMode yes\nStrictHostKeyChecking accept-new\nUserKnownHostsFile %s\n",
		filepath.Join(w.dir, "user"), filepath.Join(w.dir, "known_hosts"))
	w.write(block{file: "ssh_config", text: config})
	w.script("ssh", s.ssh+" -F ssh_config")
}

// script shadows one of the machine's programs by another one.
func (w *world) script(name, command string) {
	path := filepath.Join(w.dir, "bin", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec "+command+` "$@"`+"\n"), 0o700); err != nil {
		w.t.Fatal(err)
	}
}

// startGame starts a stand-in for a game: it accepts players.
func (w *world) startGame() {
	port := conntest.FreePort(w.t)
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	w.names["--localForwardPort=25565"], w.names["localhost:25565"] = "--localForwardPort="+port, "localhost:"+port
}

// reloadNginx has nginx serve what the page has put into its folder.
func (w *world) reloadNginx() {
	path := program(w.t, "nginx", nginxPackages)
	w.write(block{file: "nginx.conf", text: nginxConfig("", "include etc/nginx/conf.d/*.conf;")})
	start(w.t, command(w.t, path, "-p", w.dir, "-c", "nginx.conf", "-e", "stderr")).await(w.t, "event method")
}
