package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/seed96252745/relay/internal/sockerr"
)

// checkBind refuses what is not an address. Whether this machine has the address is found
// out by listening.
func checkBind(bind string) error {
	if bind == "" {
		return nil
	}
	if err := checkHost(bind); err != nil {
		right := rightHost(err, "", "for example:   --bind=127.0.0.1; to listen on all addresses, leave --bind out",
			func(host, _ string) string { return "for example:   --bind=" + host })
		return usagef(right, "--bind: %v", err)
	}
	return nil
}

// explainListen adds to the error of a control port that cannot be opened what to do.
func explainListen(err error, bind string, port int) error {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup):
		return fmt.Errorf("--bind: no address of %s is found (%w): give an address of this machine, as --bind=127.0.0.1, "+
			"or leave --bind out for all of them", bind, err)
	case sockerr.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d is in use already: stop the program that uses it, or choose another port", port)
	case sockerr.Is(err, syscall.EACCES) && port >= 1024: // on Windows
		return fmt.Errorf("port %d is reserved by the system, or by another program for itself: choose another port; "+
			"netsh interface ipv4 show excludedportrange protocol=tcp   lists what Windows reserves", port)
	case sockerr.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d needs privileges, as all ports below 1024 do: choose a higher one", port)
	case sockerr.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--bind: this machine does not have that address: %w; give one that it has, or leave --bind out for all of them", err)
	}
	return fmt.Errorf("cannot listen on port %d: %w", port, err)
}
