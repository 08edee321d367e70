//go:build !linux

package doctor

import "net"

// lookAt reports that this system has no TCP_INFO of Linux.
func lookAt(*net.TCPConn) (tcpInfo, bool) { return tcpInfo{}, false }
