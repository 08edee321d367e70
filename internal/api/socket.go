package api

import (
	"fmt"
	"strconv"
	"strings"
)

// SocketName returns the name of a process's unix socket in its state directory. Number is
// the control port of a relay, and the process ID of a forwarder.
func SocketName(kind string, number int) string {
	return fmt.Sprintf("admin-%s-%d.sock", kind, number)
}

// ParseSocketName returns what SocketName was given, and reports whether name is such a
// name.
func ParseSocketName(name string) (kind string, number int, ok bool) {
	rest, ok := strings.CutPrefix(name, "admin-")
	if !ok {
		return "", 0, false
	}
	if rest, ok = strings.CutSuffix(rest, ".sock"); !ok {
		return "", 0, false
	}
	kind, digits, _ := strings.Cut(rest, "-")
	number, err := strconv.Atoi(digits)
	if err != nil || number < 1 || kind != Relay && kind != Forwarder || name != SocketName(kind, number) {
		return "", 0, false
	}
	return kind, number, true
}

// FormerSocketName returns the name of a process's unix socket once another process has taken
// over from it, and has the usual name. Pid is its own ID.
func FormerSocketName(kind string, number, pid int) string {
	return fmt.Sprintf("former-%d-%s", pid, SocketName(kind, number))
}

// ParseFormerSocketName returns what FormerSocketName was given, and reports whether name is
// such a name.
func ParseFormerSocketName(name string) (kind string, number, pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, "former-")
	if !ok {
		return "", 0, 0, false
	}
	digits, rest, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	if kind, number, ok = ParseSocketName(rest); err != nil || !ok || pid < 1 || name != FormerSocketName(kind, number, pid) {
		return "", 0, 0, false
	}
	return kind, number, pid, true
}
