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

// The errors of winsock2.h that stand for a POSIX error.
const (
	wsaEACCES        syscall.Errno = 10013
	wsaEMFILE        syscall.Errno = 10024
	wsaEADDRINUSE    syscall.Errno = 10048
	wsaEADDRNOTAVAIL syscall.Errno = 10049
	wsaENETUNREACH   syscall.Errno = 10051
	wsaECONNABORTED  syscall.Errno = 10053
	wsaECONNRESET    syscall.Errno = 10054
	wsaENOBUFS       syscall.Errno = 10055
	wsaENOTCONN      syscall.Errno = 10057
	wsaESHUTDOWN     syscall.Errno = 10058
	wsaETIMEDOUT     syscall.Errno = 10060
	wsaECONNREFUSED  syscall.Errno = 10061
	wsaEHOSTUNREACH  syscall.Errno = 10065
)

// winsock returns what Winsock returns for the error that POSIX calls name.
func winsock(name syscall.Errno) []syscall.Errno {
	switch name {
	case syscall.EACCES: // also for ports that the system has reserved (excludedportrange)
		return []syscall.Errno{wsaEACCES}
	case syscall.EMFILE:
		return []syscall.Errno{wsaEMFILE}
	case syscall.EADDRINUSE:
		return []syscall.Errno{wsaEADDRINUSE}
	case syscall.EADDRNOTAVAIL:
		return []syscall.Errno{wsaEADDRNOTAVAIL}
	case syscall.ENETUNREACH:
		return []syscall.Errno{wsaENETUNREACH}
	case syscall.ECONNABORTED:
		return []syscall.Errno{wsaECONNABORTED}
	case syscall.ECONNRESET:
		return []syscall.Errno{wsaECONNRESET}
	case syscall.ENOBUFS:
		return []syscall.Errno{wsaENOBUFS}
	case syscall.ENOTCONN:
		return []syscall.Errno{wsaENOTCONN}
	case syscall.ESHUTDOWN:
		return []syscall.Errno{wsaESHUTDOWN}
	case syscall.EPIPE: // after the local end, and after a reset that another call has returned
		return []syscall.Errno{wsaESHUTDOWN, wsaECONNABORTED}
	case syscall.ETIMEDOUT:
		return []syscall.Errno{wsaETIMEDOUT}
	case syscall.ECONNREFUSED:
		return []syscall.Errno{wsaECONNREFUSED}
	case syscall.EHOSTUNREACH:
		return []syscall.Errno{wsaEHOSTUNREACH}
	}
	return nil
}
