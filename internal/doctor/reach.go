package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
)

// maxAddrs bounds how many addresses of a name are tried.
const maxAddrs = 8

// resolve finds the addresses of the relay's name.
func (f *Forwarder) resolve(ctx context.Context) Finding {
	if ip, err := netip.ParseAddr(f.Host); err == nil {
		f.addrs = []netip.Addr{ip}
		return ok("%s is an address, and needs no resolver", ip)
	}
	var texts []string
	var failure error
	for _, family := range []struct{ network, record string }{{"ip4", "A"}, {"ip6", "AAAA"}} {
		begin := time.Now()
		addrs, err := f.Resolver.LookupNetIP(ctx, family.network, f.Host)
		took := Millis(time.Since(begin))
		if err != nil || len(addrs) == 0 {
			texts = append(texts, fmt.Sprintf("%s: %s (%s)", family.record, whyNoAddr(err), took))
			failure = errors.Join(failure, err)
			continue
		}
		var words []string
		for _, a := range addrs {
			f.addrs = append(f.addrs, a.Unmap())
			words = append(words, a.Unmap().String())
		}
		texts = append(texts, fmt.Sprintf("%s: %s (%s)", family.record, Some(words, maxAddrs), took))
	}
	found := strings.Join(texts, "; ")
	if len(f.addrs) > 0 {
		return ok("%s", found)
	}
	advice := "check how the name is written, and that it has an A or AAAA record:   nslookup " + f.Host
	var dns *net.DNSError
	if errors.As(failure, &dns) && !dns.IsNotFound {
		advice = "the resolver of this machine does not answer: see /etc/resolv.conf, and whether a firewall blocks port 53"
	}
	return problem(advice, "%s", found)
}

func whyNoAddr(err error) string {
	var dns *net.DNSError
	var family *net.AddrError // of a name that is not asked for, as localhost
	switch {
	case err == nil, errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &family):
		return "none"
	case errors.As(err, &dns) && dns.IsTimeout:
		return "no answer from the resolver"
	}
	return Plain(err.Error())
}

// attempt is connecting to one address.
type attempt struct {
	addr string
	took time.Duration
	err  error
}

// connect tries each address of the relay, at the same time.
func (f *Forwarder) connect(ctx context.Context) Finding {
	if len(f.addrs) == 0 {
		return skipped("there is no address to connect to: see above")
	}
	attempts := make([]attempt, min(len(f.addrs), maxAddrs))
	var all sync.WaitGroup
	for i := range attempts {
		attempts[i].addr = netip.AddrPortFrom(f.addrs[i], uint16(f.Port)).String() //nolint:gosec // it is a port
		all.Go(func() { attempts[i].try(ctx, f.Wait) })
	}
	all.Wait()
	var texts []string
	failed := 0
	for _, a := range attempts {
		texts = append(texts, a.String())
		switch {
		case a.err == nil && f.addr == "":
			f.addr = a.addr
		case a.err != nil && !isWithoutFamily(a.err):
			failed++
		}
	}
	found := strings.Join(texts, "; ")
	switch {
	case f.addr == "":
		return problem(adviceForDial(attempts[0].err, f.Port), "%s", found)
	case failed > 0:
		return warning("the forwarder goes on to the next address, but users who have only that family or address do not come through: "+
			"repair it, or take it out of the DNS", "%s", found)
	}
	return ok("%s", found)
}

func (a *attempt) try(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	begin := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.addr)
	a.took, a.err = time.Since(begin), err
	if err == nil {
		_ = conn.Close()
	}
}

func (a *attempt) String() string {
	if a.err != nil {
		return a.addr + ": " + whyNot(a.err)
	}
	return fmt.Sprintf("%s in %s", a.addr, Millis(a.took))
}

// isWithoutFamily reports whether this machine itself has no IPv6, or no IPv4.
func isWithoutFamily(err error) bool {
	return sockerr.Is(err, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT)
}

// whyNot returns why connecting has failed, without the address.
func whyNot(err error) string {
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case sockerr.Is(err, syscall.ENETUNREACH):
		return "no route from here (network unreachable)"
	case sockerr.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case sockerr.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case isTimeout(err):
		return "no answer"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return Plain(err.Error())
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || sockerr.Is(err, syscall.ETIMEDOUT) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func adviceForDial(err error, port int) string {
	p := strconv.Itoa(port)
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return "the machine answers, and nothing listens there: check that the relay runs, and that " + p +
			" is its control port; at its machine:   relay doctor " + p
	case isWithoutFamily(err):
		return "this machine has no way to that address: check its network, and its default route"
	case isTimeout(err):
		return "a firewall drops it, or the machine is down: open port " + p + " in the firewall of the relay's machine and of its provider; " +
			"if this network lets out only web traffic, run the relay at port 443"
	}
	return "check host and port, and the network of this machine"
}
