// Package splice moves bytes from socket to socket through a kernel pipe, so that they
// never come to user space. The same system call moves them in ([Pipe.Fill]) and out
// ([Pipe.Pour]).
//
// Pipes are scarce, since an unprivileged process has 64 MiB of them, and there may be
// none. A caller holds a pipe only while bytes are in it, and copies with [Read] if
// there is none. Only Linux has them.
package splice
