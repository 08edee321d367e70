//go:build !linux

package tcpstate

import "net"

func stateOf(*net.TCPConn) State { return Open }

func start(*net.TCPConn, State, func()) (stop func()) { return func() {} }
