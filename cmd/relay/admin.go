package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
)

// serviceState is the state directory of the service relay, as docs/how-to/service.md has it.
// Others have its name, a hyphen and more. They are looked at where nothing runs with the usual
// directory.
const serviceState = "/var/lib/relay"

// serviceStates returns the state directories of all services of this machine.
func serviceStates() []string {
	more, err := filepath.Glob(serviceState + "-*")
	if err != nil {
		panic(err) // the pattern above is wrong
	}
	return append([]string{serviceState}, more...)
}

const rightAdmin = "to run a relay:             relay 8080\nto say which one it is:     --stateDir=<its folder>, --socket=<its socket> or --url=<its page>"

// adminFlags say which processes a command asks.
type adminFlags struct {
	socket, stateDir, url, tokenFile string
	tlsCA                            string
	tlsPin                           []string
}

func (a *adminFlags) define(fs *pflag.FlagSet) {
	fs.StringVar(&a.stateDir, "stateDir", "", "state directory of the relay or the forwarder (default ~/.local/state/relay, and then "+serviceState+" and "+serviceState+"-*)")
	fs.StringVar(&a.socket, "socket", "", "its socket, if several run with the same state directory")
	fs.StringVar(&a.url, "url", "", "where it has its admin API, if that is on another machine: https://host:port")
	fs.StringVar(&a.tokenFile, "tokenFile", "", "file with the token for --url")
	fs.StringVar(&a.tlsCA, "tlsCa", "", "file with the authorities that vouch for --url (default those of the system)")
	fs.StringSliceVar(&a.tlsPin, "tlsPin", nil, "key of --url, sha256//... as its log has it")
}

func adminExamples() map[string]string {
	return map[string]string{
		"stateDir": serviceState, "socket": serviceState + "/admin-relay-8080.sock",
		"url": "https://relay.example.com:8081", "tokenFile": "admin.token",
		"tlsCa": "ca.crt", "tlsPin": "sha256//..., as the log has it",
		"limit": "100", "sort": "sent", "ban": "10m", "lines": "100",
		"event": "user_done,user_reset", "tunnel": "20001", "identity": "db1", "user": "192.0.2.7",
		"output": "relay-support.tar.gz",
	}
}

// instance is a relay or a forwarder that runs.
type instance struct {
	*client.Client
	socket client.Socket // or
	url    string
}

// flag returns the flag that says that a command means this one.
func (p instance) flag() string {
	if p.url != "" {
		return "--url=" + p.url
	}
	return "--socket=" + quoteArg(p.socket.Path)
}

// String returns what it is, in a few words.
func (p instance) String() string {
	switch {
	case p.url != "":
		return p.url
	case p.socket.Former != 0:
		return fmt.Sprintf("process %d, which was the relay at port %d before", p.socket.Former, p.socket.Number)
	case p.socket.Kind == api.Relay:
		return fmt.Sprintf("the relay at port %d", p.socket.Number)
	case p.socket.Kind == api.Forwarder:
		return fmt.Sprintf("the forwarder with process ID %d", p.socket.Number)
	}
	return p.socket.Path
}

// errNothingRuns is the error of a command that finds no process.
var errNothingRuns = errors.New("nothing runs")

// find returns the processes that the flags mean: at least one.
func (a *adminFlags) find() ([]instance, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	switch {
	case a.url != "":
		p, err := a.remote()
		return []instance{p}, err
	case a.socket != "":
		s, _ := client.ParseName(filepath.Base(a.socket))
		s.Path = a.socket
		if err := reachable(a.socket); err != nil {
			return nil, err
		}
		return []instance{{Client: client.Dial(a.socket), socket: s}}, nil
	}
	return a.local()
}

// check refuses flags that do not belong together.
func (a *adminFlags) check() error {
	const right = "one of:   --stateDir=<folder>, --socket=<path>, --url=<https://host:port>"
	given := 0
	for _, value := range []string{a.stateDir, a.socket, a.url} {
		if value != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return usagef(right, "--stateDir, --socket and --url each say which process is meant: take one")
	case a.url == "" && (a.tokenFile != "" || a.tlsCA != "" || len(a.tlsPin) > 0):
		return usagef("for example:   --url=https://relay.example.com:8081 --tokenFile=admin.token",
			"--tokenFile, --tlsCa and --tlsPin are for --url; a socket needs none of them")
	}
	return nil
}

// local returns the processes of this machine.
func (a *adminFlags) local() ([]instance, error) {
	dir, err := (&flags{stateDir: cmp.Or(a.stateDir, readEnvironment()[variable("stateDir")])}).state()
	if err != nil {
		return nil, err
	}
	found, err := instancesIn(dir)
	if len(found) > 0 || err != nil {
		return found, err
	}
	looked := dir
	if a.stateDir == "" && dir != serviceState {
		looked += " or " + serviceState
		for _, dir := range serviceStates() {
			more, err := instancesIn(dir)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, fmt.Errorf("%w: no relay and no forwarder has its socket in %s\n%s", errNothingRuns, looked, rightAdmin)
}

// instancesIn returns the processes whose state directory is dir. It is an error if there are
// only such as this user may not ask.
func instancesIn(dir string) (found []instance, err error) {
	sockets, err := client.Find(dir)
	if err != nil {
		return nil, explainSocket(err, dir)
	}
	for _, s := range sockets {
		found = append(found, instance{Client: client.Dial(s.Path), socket: s})
	}
	if socket := closedToUs(dir); len(found) == 0 && socket != "" {
		return nil, explainSocket(fs.ErrPermission, socket)
	}
	return found, nil
}

// remote returns the process at --url.
func (a *adminFlags) remote() (instance, error) {
	const right = "for example:   --url=https://relay.example.com:8081"
	u, err := url.Parse(a.url)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return instance{}, usagef(right, "--url: %+.80q is no URL of an admin API", a.url)
	}
	token := ""
	if a.tokenFile != "" {
		if token, err = auth.ReadSecretFile(a.tokenFile); err != nil {
			return instance{}, fmt.Errorf("--tokenFile: %w", explainFile(err))
		}
	}
	if u.Scheme == "http" && token != "" && !isLoopback(u.Hostname()) {
		return instance{}, usagef(right, "--url: the token would go to %+.80q in plain text", u.Host)
	}
	config, err := a.tls()
	if err != nil {
		return instance{}, err
	}
	c, err := client.Open(u.Scheme+"://"+u.Host, token, config)
	if err != nil {
		return instance{}, usagef(right, "--url: %v", err)
	}
	return instance{Client: c, url: a.url}, nil
}

func (a *adminFlags) tls() (*tls.Config, error) {
	if err := certificate.CheckPins(a.tlsPin); err != nil {
		return nil, usagef("for example:   --tlsPin=sha256//..., as the log of the relay has it", "--tlsPin: %v", err)
	}
	config, err := certificate.ClientConfig{CAFile: a.tlsCA, Pins: a.tlsPin}.TLS()
	return config, explainFile(err)
}

// one returns the only process that the flags mean. Where there are several and one of
// them is a relay, it is the relay: it sees what its forwarders see. Command is what to
// type.
func (a *adminFlags) one(command string) (instance, error) {
	all, err := a.find()
	if err != nil {
		return instance{}, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	if relay, ok := theRelay(all); ok {
		return relay, nil
	}
	return instance{}, several(all, command, "several run here")
}

// theRelay returns the relay among processes, if there is exactly one. Those from which it has
// taken over do not count.
func theRelay(all []instance) (relay instance, ok bool) {
	relays := 0
	for _, p := range all {
		if p.socket.Kind == api.Relay && p.socket.Former == 0 {
			relay = p
			relays++
		}
	}
	return relay, relays == 1
}

// several returns the error of a command that has to be told which process it means.
func several(all []instance, command, why string) error {
	var lines strings.Builder
	for i, p := range all {
		if i > 0 {
			lines.WriteByte('\n')
		}
		fmt.Fprintf(&lines, "for %s:   relay %s %s", p, command, p.flag())
	}
	return usagef(lines.String(), "%s: say which one is meant", why)
}

// explain adds to the error of a call what to do.
func (p instance) explain(err error) error {
	var said *client.StatusError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &said):
		return fmt.Errorf("%s says: %w", p, err)
	case p.url == "":
		return explainSocket(err, p.socket.Path)
	}
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err // its text begins with the URL
	}
	return fmt.Errorf("--url: %s cannot be reached: %w", p.url, err)
}

// explainSocket adds to the error of a socket, or of its folder, what to do.
func explainSocket(err error, path string) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is its owner's alone: %s", path, asOwner(path))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no socket %s: its process has ended, or it is another one", path)
	case isTimeout(err):
		return fmt.Errorf("%s: its process runs, and does not answer: it is stopped, or has too much to do", path)
	case refusedConnection(err):
		return fmt.Errorf("nobody answers at %s: its process has ended", path)
	}
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
