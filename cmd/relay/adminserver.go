package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sockerr"
)

// adminServerFlags say where the admin API is served, beside the socket.
type adminServerFlags struct {
	listen, tokenFile string
	metricsTunnels    int
}

func (a *adminServerFlags) define(fs *pflag.FlagSet) {
	fs.StringVar(&a.listen, "adminListen", "", "address of the admin page and API, such as 127.0.0.1:8081; elsewhere than on loopback it needs --adminTokenFile, and speaks TLS (default none but a socket in the state directory)")
	fs.StringVar(&a.tokenFile, "adminTokenFile", "", "file with the token for --adminListen")
	fs.IntVar(&a.metricsTunnels, "metricsTunnels", metrics.DefaultTunnels, "tunnels that have series of their own in /metrics; the others are summed up")
}

const rightAdminListen = "for example:   --adminListen=127.0.0.1:8081"

// check returns what is wrong with values that have no meaning.
func (a *adminServerFlags) check() (wrong []error) {
	if a.metricsTunnels < 0 {
		wrong = append(wrong, usagef("for example:   --metricsTunnels=500", "--metricsTunnels=%d is negative", a.metricsTunnels))
	}
	if err := a.checkListen(); err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

func (a *adminServerFlags) checkListen() error {
	if a.listen == "" {
		if a.tokenFile != "" {
			return usagef(rightAdminListen+" --adminTokenFile="+a.tokenFile, "--adminTokenFile is for --adminListen, which is missing")
		}
		return nil
	}
	host, number, err := net.SplitHostPort(a.listen)
	if _, wrong := port.Parse(number); err != nil || wrong != nil {
		return usagef(rightAdminListen, "--adminListen: %+.80q is no host:port", a.listen)
	}
	if host == "" {
		return nil // everywhere
	}
	if err := checkHost(host); err != nil {
		return usagef(rightAdminListen, "--adminListen: %v", err)
	}
	return nil
}

// adminServer serves the admin API of a relay or of a forwarder.
type adminServer struct {
	flags *flags
	// kind and number name the socket: see api.SocketName.
	kind   string
	number int
	// listens reports that --adminListen is for this one, of those that the process has.
	listens bool
	// certificate returns the certificate for --adminListen elsewhere than on loopback.
	certificate func() (getCertificate, error)
	// from is what this process has from the one before it, or nil.
	from *node.Inheritance
	log  *slog.Logger
}

// getCertificate returns the certificate of a handshake.
type getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// adminListeners are where the admin API of a relay or of a forwarder is served. Make them
// with start, and stop them.
type adminListeners struct {
	server  *admin.Server
	serving sync.WaitGroup
	socket  admin.Socket // or nil
	path    string       // of the socket
	former  string       // its path once another process has taken over
	tcp     net.Listener // or nil
	name    string       // of tcp, for another process
}

// start serves the API. It returns the error of a wrong command line. Everything else that is
// wrong costs the operator the API, and nobody a connection: it is logged, and shown as a
// problem in the status.
func (a adminServer) start(c admin.Config) (*adminListeners, error) {
	if c.Settings == nil {
		c.Settings = a.flags.settings
	}
	r := &adminListeners{server: admin.New(c), name: adminListenerName(a.flags.adminServer.listen)}
	l, access, err := a.listen()
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return nil, err
	case err != nil:
		a.log.Error("there is no admin page", "error", err)
		r.server.Report(api.Problem{Code: "admin_listen", Text: fmt.Sprintf("there is no admin page: %v", err)})
	case l != nil:
		r.tcp = l
		r.serve(l, access, a.log)
		a.log.Info("the admin page is ready", "url", pageURL(l.Addr(), access))
	}
	if err := a.listenSocket(r); err != nil {
		a.log.Warn("relay status and the like cannot reach this process: there is no admin socket", "error", err)
		r.server.Report(api.Problem{Code: "admin_socket", Text: fmt.Sprintf("there is no admin socket: %v", err)})
	} else {
		r.serve(r.socket, admin.Access{Owner: true}, a.log)
	}
	return r, nil
}

func (r *adminListeners) serve(l net.Listener, access admin.Access, log *slog.Logger) {
	r.serving.Go(func() {
		if err := r.server.Serve(l, access); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin API is served no more", "address", l.Addr().String(), "error", err)
		}
	})
}

// stop ends serving.
func (r *adminListeners) stop() {
	r.server.Close()
	r.serving.Wait()
}

// let has the usual path of the socket be free for another process.
func (r *adminListeners) let() error {
	if r.socket == nil {
		return nil
	}
	return r.socket.Move(r.former)
}

// unlet ends let.
func (r *adminListeners) unlet() error {
	if r.socket == nil {
		return nil
	}
	return r.socket.Move(r.path)
}

// leave ends serving at --adminListen, where another process does from now on.
func (r *adminListeners) leave() {
	if r.tcp != nil {
		r.server.Leave(r.tcp)
	}
}

// adminListenerName names the listener of --adminListen for another process.
func adminListenerName(address string) string { return "admin " + address }

// listenSocket opens the socket.
func (a adminServer) listenSocket(r *adminListeners) error {
	dir, err := a.flags.state()
	if err != nil {
		return fmt.Errorf("%w: give a folder with --stateDir", err)
	}
	if dir, err = filepath.Abs(dir); err != nil { // it is removed at the end, wherever that is
		return err
	}
	r.path = filepath.Join(dir, api.SocketName(a.kind, a.number))
	r.former = filepath.Join(dir, api.FormerSocketName(a.kind, a.number, os.Getpid()))
	socket, err := admin.ListenSocket(r.path)
	if err == nil {
		r.socket = socket
	}
	return err
}

// minAdminToken is how many characters a token has at least: as many as a key of 80 bits
// in base 32. Strangers may try them.
const minAdminToken = 16

// listen listens at --adminListen, if that is given.
func (a adminServer) listen() (l net.Listener, access admin.Access, err error) {
	of := a.flags.adminServer
	if of.listen == "" || !a.listens {
		return nil, access, nil
	}
	if of.tokenFile != "" {
		if access.Token, err = readAdminToken(of.tokenFile); err != nil {
			return nil, access, fmt.Errorf("--adminTokenFile: %w", err)
		}
	}
	if l, err = a.from.Other(adminListenerName(of.listen)); l == nil {
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", of.listen)
	}
	if err != nil {
		return nil, access, explainAdminListen(err, of.listen)
	}
	if host, _, _ := net.SplitHostPort(of.listen); !isAddress(host) {
		access.Host = host
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		if access.Token == "" {
			err = usagef("one of:   --adminListen=127.0.0.1:8081, --adminListen="+of.listen+" --adminTokenFile=<file with a token>",
				"--adminListen=%s is reached from other machines, and has no token", of.listen)
		} else if access.GetCertificate, err = a.certificate(); err == nil && access.GetCertificate == nil {
			err = errors.New("--adminListen: other machines reach it, and there is no certificate: give a folder with --stateDir")
		}
	}
	if err != nil {
		_ = l.Close()
		return nil, access, err
	}
	return l, access, nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == ""
}

func readAdminToken(path string) (string, error) {
	token, err := auth.ReadSecretFile(path)
	if err != nil {
		return "", explainFile(err)
	}
	if len(token) < minAdminToken {
		return "", fmt.Errorf("%s: a token has %d characters or more, as nobody must guess it: (umask 077; openssl rand -hex 32 > %[1]s)", path, minAdminToken)
	}
	return token, nil
}

// explainAdminListen adds to the error of an address that cannot be listened at what to do.
func explainAdminListen(err error, address string) error {
	switch {
	case sockerr.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--adminListen: the port of %s is in use already: stop the program that uses it, or choose another port", address)
	case sockerr.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--adminListen: this machine does not have the address %s: give one that it has", address)
	case sockerr.Is(err, syscall.EACCES):
		return fmt.Errorf("--adminListen: the port of %s needs privileges: choose one from 1024 on", address)
	}
	return fmt.Errorf("--adminListen: %w", err)
}

// pageURL returns where a browser finds the page.
func pageURL(addr net.Addr, access admin.Access) string {
	scheme, tcp := "http", addr.(*net.TCPAddr)
	if access.GetCertificate != nil {
		scheme = "https"
	}
	host := tcp.IP.String()
	switch {
	case access.Host != "":
		host = access.Host
	case tcp.IP.IsUnspecified():
		host = "<this machine>"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port)) + "/"
}

// ownCertificate returns the certificate that a process makes itself and keeps in its state
// directory.
func (f *flags) ownCertificate() (getCertificate, error) {
	dir, err := f.state()
	if err != nil {
		return nil, err
	}
	own, err := certificate.SelfSigned(dir)
	if err != nil {
		return nil, err
	}
	return certificate.Fixed(own), nil
}
