// Package sockerr compares the errors of sockets. Package syscall has POSIX names for
// them on every system, but on Windows no socket returns those values: Winsock has its
// own numbers (WSAECONNRESET is 10054), and Go has invented others for the names.
//
// [Is] compares an error of a socket with a name.
package sockerr

import (
	"errors"
	"slices"
	"syscall"
)

// Is reports whether err wraps one of the errors that POSIX calls names, or what
// Winsock returns instead. It accepts both on every system, since no POSIX system uses
// Winsock's numbers.
func Is(err error, names ...syscall.Errno) bool {
	return slices.ContainsFunc(names, func(name syscall.Errno) bool {
		return errors.Is(err, name) || slices.ContainsFunc(winsock(name), func(e syscall.Errno) bool { return errors.Is(err, e) })
	})
}

// IsShortage reports whether err says that this machine is short of descriptors, of
// source ports towards an address, or of memory for sockets. It says nothing about the
// peer.
func IsShortage(err error) bool {
	return Is(err, syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM)
}

// winsock returns what Winsock returns for the error that POSIX calls name, as winsock2.h
// numbers it: WSAEACCES for EACCES, and so on.
func winsock(name syscall.Errno) []syscall.Errno {
	switch name {
	case syscall.EACCES: // also for ports that the system has reserved (excludedportrange)
		return []syscall.Errno{10013}
	case syscall.EMFILE:
		return []syscall.Errno{10024}
	case syscall.EADDRINUSE:
		return []syscall.Errno{10048}
	case syscall.EADDRNOTAVAIL:
		return []syscall.Errno{10049}
	case syscall.ENETUNREACH:
		return []syscall.Errno{10051}
	case syscall.ECONNABORTED:
		return []syscall.Errno{10053}
	case syscall.ECONNRESET:
		return []syscall.Errno{10054}
	case syscall.ENOBUFS:
		return []syscall.Errno{10055}
	case syscall.ENOTCONN:
		return []syscall.Errno{10057}
	case syscall.ESHUTDOWN:
		return []syscall.Errno{10058}
	case syscall.EPIPE: // after the local end, and after a reset that another call has returned
		return []syscall.Errno{10058, 10053} // WSAESHUTDOWN, WSAECONNABORTED
	case syscall.ETIMEDOUT:
		return []syscall.Errno{10060}
	case syscall.ECONNREFUSED:
		return []syscall.Errno{10061}
	case syscall.EHOSTUNREACH:
		return []syscall.Errno{10065}
	}
	return nil
}
