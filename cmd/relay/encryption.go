package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/certificate/acme"
)

// tlsFlags say how connections between relay and forwarder are encrypted.
type tlsFlags struct {
	cert, key string // of both

	on         bool
	ca         string
	pins       []string
	serverName string

	clientCA                         string
	acmeDomain, acmeEmail, directory string
}

func (f *tlsFlags) defineForwarder(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "tls", false, "encrypt what goes to the relay; the system has to trust its certificate, unless --tlsCa or --tlsPin is given too")
	fs.StringVar(&f.ca, "tlsCa", "", "encrypt, and trust the authorities in this file and no others")
	fs.StringSliceVar(&f.pins, "tlsPin", nil, "encrypt, and trust the relay that has this key, sha256//..., whatever its certificate says; with --tlsCa both are checked")
	fs.StringVar(&f.serverName, "tlsServerName", "", "name in the relay's certificate (default its host); not checked with --tlsPin alone")
}

func (f *tlsFlags) defineBoth(fs *pflag.FlagSet) {
	fs.StringVar(&f.cert, "tlsCert", "", "file with the certificate to show, and its chain")
	fs.StringVar(&f.key, "tlsKey", "", "file with its key")
}

// defineRelay defines the relay's flags, of which one fills required.
func (f *tlsFlags) defineRelay(fs *pflag.FlagSet, required *bool) {
	fs.StringVar(&f.acmeDomain, "acmeDomain", "", "name of the relay, for which to get a certificate from Let's Encrypt, whose terms this accepts")
	fs.StringVar(&f.acmeEmail, "acmeEmail", "", "where Let's Encrypt writes to if something is wrong")
	fs.StringVar(&f.directory, "acmeDirectory", "", "URL of another authority than Let's Encrypt")
	fs.BoolVar(required, "requireTls", false, "admit no relay client that does not encrypt")
	fs.StringVar(&f.clientCA, "tlsClientCa", "", "file with authorities: a relay client with a certificate from one needs no token, and others need one")
}

// check returns what is wrong with combinations without a meaning, of relay and forwarder.
func (f *tlsFlags) check() (wrong []error) {
	if (f.cert == "") != (f.key == "") {
		wrong = append(wrong, usagef("for example:   --tlsCert=relay.crt --tlsKey=relay.key", "--tlsCert and --tlsKey go together"))
	}
	if err := certificate.CheckPins(f.pins); err != nil {
		wrong = append(wrong, usagef("for example:   --tlsPin=sha256//..., as the relay's log has it", "--tlsPin: %v", err))
	}
	if err := f.checkACME(); err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

// checkTrust refuses encryption by a forwarder that does not say which relay it trusts.
func (f *tlsFlags) checkTrust() error {
	if f.encrypts() || f.cert == "" && f.serverName == "" {
		return nil
	}
	return usagef("for example:   --tls", "--tls, --tlsCa or --tlsPin is missing: each says which relay to trust")
}

// encrypts reports whether the forwarder encrypts. Flags that are given are never empty.
func (f *tlsFlags) encrypts() bool { return f.on || f.ca != "" || len(f.pins) > 0 }

// checkACME refuses combinations without a meaning, of a certificate authority's flags.
func (f *tlsFlags) checkACME() error {
	const right = "for example:   --acmeDomain=relay.example.com"
	switch {
	case f.acmeDomain == "" && f.acmeEmail != "":
		return usagef(right+" --acmeEmail=admin@example.com", "--acmeEmail is for --acmeDomain, which is missing")
	case f.acmeDomain == "" && f.directory != "":
		return usagef(right+" --acmeDirectory=https://ca.example.com/directory", "--acmeDirectory is for --acmeDomain, which is missing")
	case f.acmeDomain == "":
		return nil
	case f.cert != "":
		return usagef("one of:   --acmeDomain=relay.example.com, --tlsCert=relay.crt --tlsKey=relay.key",
			"--acmeDomain and --tlsCert are two ways to a certificate: take one")
	}
	if err := acme.CheckDomain(f.acmeDomain); err != nil {
		return usagef(right, "--acmeDomain: %v", err)
	}
	if u, err := url.Parse(f.directory); f.directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return usagef("for example:   --acmeDirectory=https://ca.example.com/directory", "--acmeDirectory: %+.80q is no URL that begins with https://", f.directory)
	}
	return nil
}

// client returns the settings of the forwarder, or nil for plain text.
func (f *tlsFlags) client(log *slog.Logger) (*tls.Config, error) {
	if !f.encrypts() {
		return nil, f.checkTrust()
	}
	config, err := certificate.ClientConfig{
		CAFile: f.ca, Pins: f.pins, ServerName: f.serverName, CertFile: f.cert, KeyFile: f.key, Logger: log,
	}.TLS()
	return config, explainFile(err)
}

// encryption is what the relay uses for relay clients that encrypt.
type encryption struct {
	config      *tls.Config    // nil without encryption
	certificate getCertificate // likewise
	pin         string         // of a certificate that the relay has made itself
	acme        *acme.Manager  // or nil
}

// server returns the settings of the relay at a control port that is open already. Without
// a certificate the relay makes one, if it can keep it. Before is what the relay has used so
// far, if anything: a manager of certificates from an authority goes on.
func (f *tlsFlags) server(before encryption, flags *flags, port int, log *slog.Logger) (e encryption, err error) {
	var config certificate.ServerConfig
	if f.clientCA != "" {
		pool, err := certificate.ReadAuthorities(f.clientCA)
		if err != nil {
			return e, fmt.Errorf("--tlsClientCa: %w", explainFile(err))
		}
		config.ClientCAs = pool
	}
	dir, dirErr := flags.state()
	switch {
	case f.cert != "":
		files, err := certificate.FromFiles(f.cert, f.key, log)
		if err != nil {
			return e, explainFile(err)
		}
		config.GetCertificate = files.GetCertificate
	case f.acmeDomain != "":
		if dirErr != nil {
			return e, fmt.Errorf("--acmeDomain needs a folder for certificates: give one with --stateDir: %w", dirErr)
		}
		if e.acme = before.acme; e.acme == nil {
			if e.acme, err = f.startACME(flags, filepath.Join(dir, "acme"), port, log); err != nil {
				return e, err
			}
		}
		config.GetCertificate, config.Authority = e.acme.GetCertificate, true
	default:
		if err := e.makeOwn(&config, dir, dirErr); err != nil {
			if flags.stateDir != "" || flags.config.RequireTLS || f.clientCA != "" {
				return e, stateDirError(err)
			}
			log.Warn("there is no encryption, as a certificate cannot be kept; give a folder with --stateDir", "error", err)
			return e, nil
		}
	}
	e.config, e.certificate = config.TLS(), config.GetCertificate
	return e, nil
}

// close ends what runs for the certificate.
func (e encryption) close() {
	if e.acme != nil {
		e.acme.Close()
	}
}

// makeOwn uses a certificate that the relay has made itself.
func (e *encryption) makeOwn(config *certificate.ServerConfig, dir string, dirErr error) error {
	if dirErr != nil {
		return dirErr
	}
	own, err := certificate.SelfSigned(dir)
	if err != nil {
		return err
	}
	config.GetCertificate, e.pin = certificate.Fixed(own), certificate.Pin(own.Leaf)
	return nil
}

// httpsPort is where authorities check who has a name.
const httpsPort = 443

func (f *tlsFlags) startACME(flags *flags, dir string, port int, log *slog.Logger) (*acme.Manager, error) {
	c := acme.Config{
		Domain: f.acmeDomain, Email: f.acmeEmail, Dir: dir, Directory: f.directory, Bind: flags.config.Bind, Logger: log,
	}
	if port == httpsPort {
		c.TLSPort = port
	}
	manager, err := acme.Start(c)
	if err != nil {
		return nil, fmt.Errorf("--acmeDomain: %w", err)
	}
	return manager, nil
}

// hint returns what a forwarder adds to its command line in order to encrypt.
func (e encryption) hint() string {
	switch {
	case e.pin != "":
		return "--tlsPin=" + e.pin + " "
	case e.config != nil:
		return "--tls "
	}
	return ""
}
