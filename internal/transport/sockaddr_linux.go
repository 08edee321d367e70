package transport

import (
	"net"
	"syscall"
)

// netAddr returns an address of the kernel's as the net package would.
func netAddr(addr syscall.Sockaddr) net.Addr {
	if a, ok := addr.(*syscall.SockaddrUnix); ok {
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return tcpAddr(addr)
}

// sockaddr returns an address as the kernel has it.
func sockaddr(addr *net.TCPAddr) syscall.Sockaddr {
	if ip := addr.IP.To4(); ip != nil {
		return &syscall.SockaddrInet4{Addr: [4]byte(ip), Port: addr.Port}
	}
	return &syscall.SockaddrInet6{Addr: [16]byte(addr.IP.To16()), Port: addr.Port}
}

// tcpAddr is netAddr for TCP.
func tcpAddr(addr syscall.Sockaddr) *net.TCPAddr {
	switch a := addr.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		tcp := &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		if a.ZoneId != 0 {
			if link, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				tcp.Zone = link.Name
			}
		}
		return tcp
	}
	return &net.TCPAddr{}
}
