package ssh_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// client is one SSH client, and what it cannot do.
type client struct {
	name            string
	tools, packages string // left out without these tools, which the packages have
	// build makes what is needed once, in a folder of the test.
	build func(t *testing.T, dir string)
	// run returns the command, and what of its environment is set.
	run func(p place) (command, env []string)
	// session is true if the address comes on a session, and false if the program prints the
	// word port, and the public port.
	session bool
	// asked is the port that it asks for, if it cannot ask for any.
	asked int
	// users are how many it takes at once, if those are not 200.
	users int
	// refused and reset are what a user sees whose local server refuses, or resets, its
	// connection: a reset, or an end as if all were well.
	refused, reset ending
	// exit is the status with which it ends when the relay is gone.
	exit int
	// restarts is true if it comes back by itself.
	restarts bool
	// lacks are the cases that it fails, and why. They are run, and have to fail.
	lacks map[string]string
}

// ending is what a user sees of the end of a connection.
type ending string

const (
	isReset ending = "reset"
	isEnd   ending = "end"
	// isNothing is that the user hears nothing.
	isNothing ending = "nothing"
)

// place is where a client goes.
type place struct {
	dir        string // of the client, with its keys
	host, port string // of the relay
	local      string // port of the local server
	asked      int
	bind       string
	key        bool
	user       string
	// fingerprint is of the relay's key.
	fingerprint string
}

// keyFile returns the path of a key in the form of the client, or "" if there is to be none.
func (p place) keyFile(ext string) string {
	if !p.key {
		return ""
	}
	return filepath.Join(p.dir, "key"+ext)
}

func (p place) env() []string {
	return []string{"SSH_USER=" + p.user, "SSH_KEY=" + p.keyFile(""), fmt.Sprintf("ASKED_PORT=%d", p.asked), "BIND=" + p.bind}
}

// forward returns the argument of -R.
func (p place) forward() string {
	asked := fmt.Sprintf("%d:127.0.0.1:%s", p.asked, p.local)
	if p.bind != "localhost" {
		asked = p.bind + ":" + asked
	}
	return asked
}

func openSSH(p place) []string {
	args := []string{
		"-T", "-F", "none", "-p", p.port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-R", p.forward(),
	}
	if p.key {
		args = append(args, "-o", "BatchMode=yes", "-i", p.keyFile(""))
	} else { // without BatchMode, which leaves out keyboard-interactive, even if nothing is asked
		args = append(args, "-o", "PubkeyAuthentication=no")
	}
	return append(args, p.user+"@"+p.host)
}

// libraryOf returns a run of a small program of this directory.
func libraryOf(command ...string) func(place) ([]string, []string) {
	return func(p place) ([]string, []string) {
		filled := make([]string, len(command))
		for i, word := range command {
			filled[i] = strings.ReplaceAll(word, "{dir}", p.dir)
		}
		return append(filled, p.host, p.port, "127.0.0.1", p.local), p.env()
	}
}

var python = func(t *testing.T, dir string) {
	build(t, dir, "python3", "-m", "venv", "venv")
	requirements, err := filepath.Abs("python/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	build(t, dir, "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
}

var clients = []client{{
	name: "openssh", tools: "ssh", packages: "openssh-client", session: true, refused: isReset, reset: isEnd, exit: 255,
	run: func(p place) ([]string, []string) { return append([]string{"ssh"}, openSSH(p)...), nil },
}, {
	name: "autossh", tools: "autossh ssh", packages: "autossh", session: true, refused: isReset, reset: isEnd, restarts: true,
	run: func(p place) ([]string, []string) {
		// Without the variable it gives up if the first connection ends within 30 s.
		return append([]string{"autossh", "-M", "0"}, openSSH(p)...), []string{"AUTOSSH_GATETIME=0"}
	},
}, {
	name: "dropbear", tools: "dbclient dropbearconvert", packages: "dropbear-bin", session: true, refused: isReset, reset: isEnd, exit: 1,
	build: func(t *testing.T, dir string) {
		build(t, dir, "dropbearconvert", "openssh", "dropbear", "key", "key.dropbear")
	},
	run: func(p place) ([]string, []string) {
		args := []string{"dbclient", "-y", "-y", "-T", "-W", "2097152", "-p", p.port, "-R", p.forward()}
		if p.key {
			args = append(args, "-i", p.keyFile(".dropbear"))
		}
		return append(args, p.user+"@"+p.host), []string{"HOME=" + p.dir}
	},
}, {
	name: "plink", tools: "plink puttygen", packages: "putty-tools", session: true, asked: 1, refused: isEnd, reset: isEnd, exit: 1,
	build: func(t *testing.T, dir string) { build(t, dir, "puttygen", "key", "-O", "private", "-o", "key.ppk") },
	run: func(p place) ([]string, []string) {
		args := []string{"plink", "-batch", "-T", "-hostkey", p.fingerprint, "-P", p.port, "-R", p.forward()}
		if p.key {
			args = append(args, "-i", p.keyFile(".ppk"))
		}
		return append(args, p.user+"@"+p.host), []string{"HOME=" + p.dir}
	},
}, {
	name: "paramiko", tools: "python3", packages: "python3-venv", build: python, refused: isEnd, reset: isEnd, exit: 1,
	run: libraryOf("{dir}/venv/bin/python", "python/paramiko_forwarder.py"),
}, {
	name: "asyncssh", tools: "python3", packages: "python3-venv", build: python, refused: isReset, reset: isEnd, exit: 1,
	run: libraryOf("{dir}/venv/bin/python", "python/asyncssh_forwarder.py"),
}, {
	name: "go", refused: isEnd, reset: isEnd, exit: 1,
	build: func(t *testing.T, dir string) {
		build(t, "go", "go", "build", "-o", filepath.Join(dir, "forwarder"), ".")
	},
	run: libraryOf("{dir}/forwarder"),
}, {
	name: "ssh2", tools: "node npm", packages: "nodejs npm", refused: isReset, reset: isEnd, exit: 1,
	build: func(t *testing.T, dir string) {
		for _, file := range []string{"package.json", "package-lock.json", "forwarder.js"} {
			text, err := os.ReadFile(filepath.Join("node", file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		build(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional")
	},
	run: libraryOf("node", "{dir}/forwarder.js"),
}, {
	name: "russh", tools: "cargo", packages: "cargo", refused: isReset, reset: isEnd, exit: 1,
	build: func(t *testing.T, _ string) {
		build(t, "rust", "cargo", "build", "--quiet", "--release", "--locked", "--target-dir=target")
	},
	run: libraryOf("rust/target/release/forwarder"),
}, {
	name: "mina", tools: "java mvn", packages: "default-jdk-headless maven", build: java, refused: isReset, reset: isEnd, exit: 1,
	run: javaOf("Mina"),
	lacks: map[string]string{
		"a server that ends first gets what comes late": "2.20.0 sends EOF and CLOSE at once, and what comes late is lost",
	},
}, {
	name: "jsch", tools: "java mvn", packages: "default-jdk-headless maven", build: java, refused: isReset, reset: isEnd, exit: 1,
	run: javaOf("JSch"),
	lacks: map[string]string{
		"a user who ends first gets the whole answer":   "2.28.8 closes the channel at the user's end, and the answer is lost",
		"a server that ends first gets what comes late": "2.28.8 sends EOF and CLOSE at once, and what comes late is lost",
	},
}, {
	name: "sshj", tools: "java mvn", packages: "default-jdk-headless maven", build: java, refused: isReset, reset: isNothing, exit: 1,
	run: javaOf("Sshj"),
	lacks: map[string]string{
		"a user who ends first gets the whole answer": "0.40.0 closes the channel at the user's end, and the answer is lost",
	},
}}

// java builds all programs in Java, once.
func java(t *testing.T, _ string) {
	t.Helper()
	if err := buildJava(); err != nil {
		t.Fatal(err)
	}
}

var buildJava = sync.OnceValue(func() error {
	cmd := exec.Command("mvn", "--quiet", "--batch-mode", "package")
	cmd.Dir = "java"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
})

func javaOf(class string) func(place) ([]string, []string) {
	return libraryOf("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", "java/target/classes:java/target/dependency/*", class)
}
