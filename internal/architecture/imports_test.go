package architecture_test

import (
	"slices"
	"testing"
)

// mayImport bounds what packages import. Standard library and packages are told
// apart; a package that is not listed here may import what it likes.
var mayImport = []struct {
	of      string
	allowed []string // beside the standard library
	why     string
}{
	{"internal/wire", []string{"internal/conn", "internal/policy", "internal/port", "golang.org/x/sys/..."},
		"a reader finds what is on the wire in one package, and below it only how ports and policies are written, and what a connection can do"},
	{"internal/conn", []string{"golang.org/x/sys/..."},
		"everybody has connections, so it depends on nobody"},
	{"internal/join", []string{"internal/conn", "internal/crash", "internal/eventloop", "internal/memory", "internal/sockerr", "internal/splice", "golang.org/x/sys/...", "golang.org/x/time/rate"},
		"the one place where bytes are copied knows connections, and nothing about whose they are"},
	{"internal/eventloop", []string{"golang.org/x/sys/..."},
		"it knows descriptors, and nothing about what they are"},
	{"internal/splice", []string{"golang.org/x/sys/..."},
		"it knows descriptors, and nothing about what they are"},
	{"internal/yamux", []string{"internal/crash", "internal/eventloop", "internal/splice", "golang.org/x/sys/...", "golang.org/x/time/rate"},
		"it speaks a protocol of other people, and can be used and tested without Relay"},
	{"internal/memory", []string{"golang.org/x/sys/..."},
		"it asks the system, and knows nothing of what the answers are for"},
	{"internal/tcpstate", []string{"internal/conn", "internal/crash", "internal/eventloop", "golang.org/x/sys/..."},
		"it asks the kernel, and knows nothing of what the answers are for"},
	{"internal/transport", []string{"internal/conn", "internal/port", "internal/sockerr", "golang.org/x/sys/..."},
		"connections are made here for everybody else, so it can depend on nobody else"},
	{"internal/secretfile", nil,
		"it knows whose a file is, and nothing of what is in it"},
	{"internal/config", []string{"internal/policy", "internal/secretfile", "github.com/pelletier/go-toml/v2", "github.com/pelletier/go-toml/v2/unstable"},
		"it knows which keys a file has, and nothing of what a relay or a forwarder makes of them"},
	{"internal/certificate", []string{"internal/secretfile"},
		"clients that verify a relay want no client of certificate authorities with it: that is package acme below"},
	{"internal/admission", []string{"internal/conn", "internal/memory", "internal/observe", "internal/policy", "github.com/hashicorp/golang-lru/v2", "golang.org/x/time/rate", "golang.org/x/sys/..."},
		"it counts, tells what it has refused, and knows nothing of what is counted"},
	{"internal/proxyproto", []string{"internal/conn", "github.com/pires/go-proxyproto"},
		"it knows headers, and nothing of who sends them"},
	{"internal/port", nil,
		"it knows numbers, and nothing of what listens on them"},
	{"internal/lease", []string{"internal/conn", "internal/observe", "internal/port", "internal/sockerr", "go.etcd.io/bbolt/...", "golang.org/x/time/rate"},
		"it knows who owns which port, and nothing of the tunnel behind it"},
	{"internal/lossy", nil,
		"it writes lines, and knows nothing of what they say"},
	{"internal/page", nil,
		"it is files for a browser, which reads the API by its paths"},
	{"internal/policy", nil,
		"it decides, and knows nothing of who asks"},
	{"internal/api", nil,
		"it says what the admin API says: its readers and its writers need neither a server nor a client"},
	{"internal/api/client", []string{"internal/api", "internal/sockerr"},
		"it asks another process, and knows nothing of how that one works"},
	{"internal/admin", []string{"internal/admission", "internal/api", "internal/api/client", "internal/conn", "internal/crash", "internal/observe", "internal/policy",
		"golang.org/x/net/netutil"},
		"relay and forwarder have the same admin API because it knows neither"},
	{"internal/auth", []string{"golang.org/x/crypto/ssh", "internal/certificate", "internal/conn", "internal/observe", "internal/policy", "internal/port", "internal/secretfile", "internal/wire"},
		"a reader finds in one package who may enter: it knows neither endpoints nor leases, and enforces nothing"},
	{"internal/endpoint", []string{"internal/admission", "internal/auth", "internal/conn", "internal/crash", "internal/join", "internal/lease", "internal/observe",
		"internal/policy", "internal/protocol", "internal/proxyproto", "internal/quiet", "internal/roster", "internal/tcpstate", "internal/wire"},
		"what users reach knows neither how they arrive nor who registers"},
	{"internal/front", []string{"internal/auth", "internal/conn", "internal/protocol", "internal/wire"},
		"it is a seam, and on neither side"},
	{"internal/sshd", []string{"internal/auth", "internal/conn", "internal/observe", "internal/policy", "internal/protocol", "internal/secretfile", "internal/tcpstate", "internal/wire",
		"internal/front", "github.com/boombuler/barcode", "github.com/boombuler/barcode/qr", "golang.org/x/crypto/ssh", "golang.org/x/sys/cpu", "golang.org/x/time/rate"},
		"it speaks SSH, and has ports, leases and limits from the server, as every relay client has"},
	{"internal/entry", []string{"internal/admission", "internal/conn", "internal/endpoint", "internal/observe", "internal/proxyproto", "internal/sockerr"},
		"how users arrive is known here, and what becomes of them in the endpoint"},
	{"cmd/relay/forwarder", []string{".", "internal/admin", "internal/api", "internal/auth", "internal/history", "internal/observe", "internal/sockerr", "golang.org/x/sys/..."},
		"it shows a forwarder, and knows neither flags nor who looks"},
	{"internal/quiet", []string{"internal/conn"},
		"it reads and writes, and knows nothing of what"},
	{"internal/roster", []string{"internal/join"},
		"it lists who is joined, and knows nothing of whom and of what with"},
	{"cmd/relay/support", []string{"internal/api", "internal/auth"},
		"it takes what processes say about themselves, and conceals what is secret"},
	{"cmd/relay/top", []string{"cmd/relay/screen", "internal/api", "charm.land/bubbletea/v2"},
		"it shows what the admin API says, and is given whom to ask"},
	{"cmd/relay/daemon", []string{"deploy/systemd", "github.com/coreos/go-systemd/v22/util", "github.com/kardianos/service", "golang.org/x/sys/..."},
		"it tells a system of services, and is given what they run"},
	{"cmd/relay/screen", []string{"internal/api", "internal/auth", "github.com/charmbracelet/x/ansi", "golang.org/x/term"},
		"it writes what the admin API says, and asks nobody"},
	{"internal/doctor", []string{"internal/auth", "internal/conn", "internal/sockerr", "internal/transport", "internal/wire", "golang.org/x/sys/..."},
		"it asks what others ask, from outside: it is given tunnels, and knows neither protocols nor relays"},
	{"internal/doctor/machine", []string{"internal/admission", "internal/api", "internal/auth", "internal/certificate", "internal/doctor", "internal/lease", "internal/memory",
		"internal/port", "internal/secretfile", "internal/sockerr", "golang.org/x/sys/..."},
		"it reads what a relay reads, and never runs one"},
	{"internal/observe", []string{"internal/crash", "internal/join", "internal/protocol"},
		"relay and forwarder have the same events because neither is asked for them"},
	{"internal/metrics", []string{"internal/admission", "internal/api", "internal/observe", "internal/wire",
		"github.com/prometheus/client_golang/...", "github.com/prometheus/client_model/go"},
		"it counts what it is told and shows what it is given: what runs knows nothing of who watches"},
	{"internal/history", []string{"internal/api", "internal/conn", "internal/observe"},
		"a sink of events, of relay and forwarder alike, knows nothing but those"},
	{"internal/protocol", []string{"internal/conn", "internal/wire"},
		"the seams are between server and protocols: they can be on neither side"},
}

func TestMayImport(t *testing.T) {
	packages := load(t)
	for _, rule := range mayImport {
		p := packages[rule.of]
		if p == nil {
			t.Errorf("there is a rule for %s, but no such package", rule.of)
			continue
		}
		for _, imported := range p.imports {
			if inner, ours := within(imported); ours {
				imported = inner
			} else if standard(imported) {
				continue
			}
			if !slices.ContainsFunc(rule.allowed, func(pattern string) bool { return matches(pattern, imported) }) {
				t.Errorf("%s imports %s: %s", rule.of, imported, rule.why)
			}
		}
	}
}

// mustNotDepend forbids what packages depend on, directly or through others.
var mustNotDepend = []struct {
	of        string
	forbidden []string
	except    []string
	why       string
}{
	{".", []string{"internal/server", "cmd/...", "relaytest", "net/http", "os/exec", "testing"}, nil,
		"a program that goes online with the library does not want a relay in it, nor what only tests need"},
	{".", []string{"github.com/...", "gopkg.in/..."}, nil,
		"what the library depends on, its users depend on: the flags and the colors of the command are not for them"},
	{"internal/protocol/multiplex", []string{"internal/protocol/pool", "internal/protocol/event"}, nil,
		"each protocol can be understood, and removed, without the others"},
	{"internal/protocol/pool", []string{"internal/protocol/multiplex", "internal/protocol/event", "internal/yamux"}, nil,
		"each protocol can be understood, and removed, without the others"},
	{"internal/protocol/event", []string{"internal/protocol/multiplex", "internal/protocol/pool", "internal/yamux"}, nil,
		"each protocol can be understood, and removed, without the others"},
	{"internal/protocol/...", []string{"internal/server", "internal/transport", ".", "cmd/..."}, []string{"internal/protocol/protocoltest"},
		"protocols are given connections, from whatever makes them, and know nothing of users and public ports"},
	{"internal/server", []string{
		"internal/protocol/multiplex", "internal/protocol/pool", "internal/protocol/event",
		"internal/transport", "internal/yamux", ".", "github.com/spf13/...", "github.com/lmittmann/...",
	}, nil, "the server cannot tell one protocol from another, and does not choose what it stands on"},
	{"internal/...", []string{"cmd/...", ".", "relaytest", "github.com/spf13/...", "github.com/lmittmann/...", "os/signal", "log"}, []string{"internal/checker/player"},
		"flags, signals and the look of the log are the command's; below it there is log/slog, which is given"},
	{"...", []string{"internal/yamux"}, []string{".", "cmd/relay", "cmd/relay/forwarder", "relaytest", "internal/node", "internal/protocol/multiplex"},
		"only multiplex speaks yamux; the others have it through multiplex, if at all"},
	{"...", []string{"unsafe"}, nil,
		"nothing here is worth it"},
}

// tolerated is what a package may depend on although a rule forbids all of its
// kind.
var tolerated = []struct{ of, dependency, why string }{
	{".", "github.com/pires/go-proxyproto",
		"a format of other people is best read by code that many use, and this module brings no other one along"},
}

func isTolerated(of, dependency string) bool {
	for _, t := range tolerated {
		if t.of == of && t.dependency == dependency {
			return true
		}
	}
	return false
}

func TestMustNotDepend(t *testing.T) {
	packages := load(t)
	for _, rule := range mustNotDepend {
		applies := false
		for name := range packages {
			if !matches(rule.of, name) || slices.Contains(rule.except, name) {
				continue
			}
			applies = true
			for dependency, way := range dependencies(packages, name) {
				if isTolerated(name, dependency) {
					continue
				}
				if slices.ContainsFunc(rule.forbidden, func(pattern string) bool { return matches(pattern, dependency) }) {
					t.Errorf("%s: %s", way, rule.why)
				}
			}
		}
		if !applies {
			t.Errorf("there is a rule for %s, but no such package", rule.of)
		}
	}
}

// onlyImportedBy says who may import what.
var onlyImportedBy = []struct {
	what string
	by   []string
	why  string
}{
	{"internal/yamux", []string{"internal/protocol/multiplex"},
		"a reader who looks for the use of yamux finds it in one place"},
	{module + "/internal/server", []string{"internal/node", "cmd/relay", "relaytest"},
		"a relay is put together in one place, and run where a program begins, and in tests"},
	{"github.com/hashicorp/golang-lru/v2", []string{"internal/admission"}, "what is forgotten, and when, is decided in one place"},
	{"github.com/pires/go-proxyproto", []string{"internal/proxyproto"}, "how much of a connection is read is decided in one place"},
	{"internal/certificate/acme", []string{"cmd/relay"},
		"it takes much code, which nobody else needs: a relay is given its certificates"},
	{"github.com/caddyserver/certmagic", []string{"internal/certificate/acme"}, "who asks authorities for certificates is in one place"},
	{"go.uber.org/zap", []string{"internal/certificate/acme"}, "certmagic logs through it, and nobody else"},
	{"github.com/spf13/cobra", []string{"cmd/relay"}, "flags are the command's"},
	{"github.com/prometheus/client_golang/prometheus", []string{"internal/metrics"}, "what is shown to Prometheus, and under which name, is decided in one place"},
	{"internal/metrics", []string{"cmd/relay"}, "a relay is given its sinks: those of a test, and of a program with the library, need no Prometheus"},
	{"github.com/pelletier/go-toml/v2", []string{"internal/config"}, "how a file is read is decided in one place"},
	{"internal/config", []string{"cmd/relay"}, "flags, environment and file come together where a program begins"},
	{"github.com/lmittmann/tint", []string{"cmd/relay"}, "colors are the command's"},
	{"charm.land/bubbletea/v2", []string{"cmd/relay/top"}, "a screen that stays is one command's, and no library's"},
	{"github.com/creack/pty", []string{"cmd/relay/termtest"}, "what only tests need does not ship"},
	{"github.com/charmbracelet/x/vt", []string{"cmd/relay/termtest"}, "what only tests need does not ship"},
	{"cmd/relay/termtest", nil, "what only tests need does not ship"},
	{"github.com/charmbracelet/x/ansi", []string{"cmd/relay/screen"}, "how wide a text is on a screen is known in one place"},
	{"internal/page", []string{"cmd/relay"}, "a process is given its page, or none, where a program begins"},
	{"github.com/chromedp/chromedp", nil, "what only tests need does not ship"},
	{"github.com/kardianos/service", []string{"cmd/relay/daemon"}, "how a system is told of services is known in one place"},
	{"testing", []string{"relaytest", "internal/conntest", "internal/protocol/protocoltest", "internal/systemdtest"}, "what ships does not test itself"},
	{"internal/checker", []string{"internal/checker/player"}, "what only tests need does not ship"},
	{"internal/conntest", []string{"internal/protocol/protocoltest"}, "what only tests need does not ship"},
	{"internal/netlab", nil, "what only tests need does not ship"},
	{"internal/protocol/protocoltest", nil, "what only tests need does not ship"},
	{"internal/systemdtest", nil, "what only tests need does not ship"},
}

func TestOnlyImportedBy(t *testing.T) {
	packages := load(t)
	for _, rule := range onlyImportedBy {
		what := rule.what
		if inner, ours := within(what); ours {
			what = inner
		}
		for name, p := range packages {
			for _, imported := range p.imports {
				if inner, ours := within(imported); ours {
					imported = inner
				}
				if imported == what && !slices.Contains(rule.by, name) {
					t.Errorf("%s imports %s: %s", name, what, rule.why)
				}
			}
		}
	}
}
