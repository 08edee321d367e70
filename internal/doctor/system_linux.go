package doctor

import (
	"net"

	"golang.org/x/sys/unix"
)

// lookAt returns what the kernel knows of a connection.
func lookAt(c *net.TCPConn) (info tcpInfo, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return tcpInfo{}, false
	}
	err = raw.Control(func(fd uintptr) {
		i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		info = tcpInfo{
			sent: int64(i.Data_segs_out), again: int64(i.Total_retrans), segment: int(i.Snd_mss), mtu: int(i.Pmtu),
		}
	})
	return info, ok && err == nil
}
