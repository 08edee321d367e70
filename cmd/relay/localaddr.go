package main

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// unixScheme is what the address of a Unix socket begins with.
const unixScheme = "unix:"

// localAddrs returns the addresses of the local servers that the flags name.
func (f *flags) localAddrs() (addrs []string, err error) {
	for _, text := range f.localForwardPort {
		addr, err := f.localAddr(text)
		if err != nil {
			return nil, err
		}
		if slices.Contains(addrs, addr) {
			return nil, usagef(rightForwarder, "--localForwardPort has %s twice: one server is online once", text)
		}
		addrs = append(addrs, addr)
	}
	for _, name := range []string{"port", "name"} {
		if f.ofForwarder.Changed(name) && len(addrs) > 1 {
			return nil, usagef("a file says more of each server:   relay init", "--%s is given, and there are %d servers that could be meant", name, len(addrs))
		}
	}
	return addrs, nil
}

// localAddr returns the address of a local server, by the value of --localForwardPort.
func (f *flags) localAddr(text string) (string, error) {
	if strings.HasPrefix(text, unixScheme) {
		return f.localSocket(text)
	}
	number, err := parsePort(text, "--localForwardPort", rightSocket(text, rightForwarder))
	if err != nil {
		return "", err
	}
	if err := checkHost(f.localForwardHost); err != nil {
		right := rightHost(err, text, rightSocket(f.localForwardHost, "for example:   --localForwardHost=localhost"), func(host, port string) string {
			return fmt.Sprintf("for example:   --localForwardHost=%s --localForwardPort=%s", host, port)
		})
		return "", usagef(right, "--localForwardHost: %v", err)
	}
	return net.JoinHostPort(f.localForwardHost, strconv.Itoa(number)), nil
}

// localSocket returns the address of a Unix socket, with an absolute path: it is what the log
// shows.
func (f *flags) localSocket(addr string) (string, error) {
	const right = "for example:   --localForwardPort=unix:/run/web.sock"
	if f.ofForwarder.Changed("localForwardHost") {
		return "", usagef("for this socket:   --localForwardPort="+quoteArg(addr), "--localForwardHost is given, and a Unix socket is on this machine, without a host")
	}
	if path := addr[len(unixScheme):]; path != "" && path[0] != '@' {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return "", usagef(right, "--localForwardPort: %v", err)
		}
		addr = unixScheme + absolute
	}
	if _, err := transport.ParseLocalAddr(addr); err != nil {
		return "", usagef(right, "--localForwardPort: %v", err)
	}
	return addr, nil
}

// rightSocket returns how a Unix socket is given, if a text looks like the path of one, and
// right otherwise.
func rightSocket(text, right string) string {
	if strings.Contains(text, "/") && !strings.Contains(text, "://") {
		return "for example:   --localForwardPort=unix:" + quoteArg(text)
	}
	return right
}

// parseLocal returns the address of a local server in a file: a port of localhost, a host with
// a port, or a Unix socket.
func parseLocal(text string) (addr string, err error) {
	if strings.HasPrefix(text, unixScheme) {
		_, err := transport.ParseLocalAddr(text)
		return text, err
	}
	if number, err := port.Parse(text); err == nil {
		return net.JoinHostPort("localhost", strconv.Itoa(number)), nil
	}
	if err := checkAddress(text); err != nil {
		return "", err
	}
	return text, nil
}
